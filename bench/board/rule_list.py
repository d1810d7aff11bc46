"""A companion's rule list line by line, from its record: what it says, and what is then right."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from bench.board.panels import curve, short
from bench.board.rows import number
from bench.board.table import printable
from bench.record import Record

ARROW = " -> "
MOST = 1000
"""Rules of a record that are read at most."""
WIDTH, LINES = 64, 3
"""Letters of a condition in a line of text, and lines for one condition, at most."""
HELD = "\N{NO-BREAK SPACE}"
LETTERS = 24
"""Letters of a label, at most."""
HEADS = ("", "", "", "then", "T", "A", "black box")


@dataclass(frozen=True)
class Step:
    """One line of a list.

    Attributes
    ----------
    lead : `if`, `else if`, `else`; nothing in the first line. condition : what must hold,
        nothing in the last line. label : what is then predicted.
    transparency, accuracy : T and A on the test rows, of a user who goes no further than here.
    """

    lead: str
    condition: str
    label: str
    transparency: float
    accuracy: float

    @property
    def left(self) -> float:
        """The black box's share."""
        return 1 - self.transparency


@dataclass(frozen=True)
class RuleTable:
    """The black box alone, each rule, the default rule; below it what is known about the list."""

    steps: tuple[Step, ...]
    foot: str


def rule_table(record: Record) -> RuleTable | None:
    """The list that a record holds; None where it lacks a part, or holds something else."""
    default, rules = record.details.get("default"), _parts(record.details.get("rules"))
    points = curve(record, "transparency", "accuracy")
    if rules is None or points is None or not isinstance(default, str):
        return None
    shares = np.array(points)
    if shares.shape[1] != len(rules) + 2 or not np.all((shares >= 0) & (shares <= 1)):
        return None
    leads = ["", *(["if"] + ["else if"] * len(rules))[: len(rules)], "else"]
    said = [("black box alone", ""), *rules, ("", default)]
    steps = [
        Step(lead, printable(condition), printable(label), float(t), float(a))
        for lead, (condition, label), t, a in zip(leads, said, *shares, strict=True)
    ]
    return RuleTable(tuple(steps), _foot(record))


def _parts(rules: Any) -> list[tuple[str, str]] | None:
    """(condition, label) of each text; None where one is no rule's."""
    if not isinstance(rules, list) or len(rules) > MOST:
        return None
    if not all(isinstance(text, str) and ARROW in text for text in rules):
        return None
    parts = [text.rpartition(ARROW) for text in rules]
    return [(condition, label) for condition, _, label in parts]


def _foot(record: Record) -> str:
    """The training objective, alpha, and the certificate's status, as far as they are told."""
    objective, alpha = (number(record.details.get(name)) for name in ("train_objective", "alpha"))
    certificate = record.details.get("certificate")
    status = certificate.get("status") if isinstance(certificate, dict) else None
    parts = [
        f"training objective {objective:.4f}" if objective == objective else "",
        f"alpha {alpha:g}" if alpha == alpha else "",
        f"certificate: {printable(short(status, 60))}" if isinstance(status, str) else "",
    ]
    return ", ".join(filter(None, parts))


def wrapped(condition: str, width: int) -> list[str]:
    """The lines of a condition, broken before an `and` where that is possible.

    There are `LINES` at most, the last one ended by dots where the condition is longer.
    """
    parts = condition.replace(" ", HELD).replace(f"{HELD}and{HELD}", f" and{HELD}")
    cut = textwrap.TextWrapper(width, max_lines=LINES, placeholder=" …", break_on_hyphens=False)
    return [line.replace(HELD, " ") for line in cut.wrap(parts)] or [""]


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def as_objects(table: RuleTable | None) -> dict[str, Any] | None:
    """For JSON."""
    return None if table is None else asdict(table)


def as_text(table: RuleTable) -> str:
    """For a terminal, in letters of one width."""
    cells = (_cells(place, step) for place, step in enumerate(table.steps))
    lines = [HEADS, *chain.from_iterable(cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = (_line(cells, widths) for cells in lines)
    return "\n".join([*texts, *filter(None, [table.foot])])


def _cells(place: int, step: Step) -> Iterator[Sequence[str]]:
    """The cells of a step; a long condition takes more lines than one."""
    first, *more = wrapped(step.condition, WIDTH)
    told = percent(step.transparency), f"{step.accuracy:.3f}", percent(step.left)
    yield str(place), step.lead, first, short(step.label, LETTERS), *told
    for text in more:
        yield "", "", text, "", "", "", ""


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers and the words before a condition to the right."""
    pairs = zip(cells, widths, strict=True)
    padded = (c.ljust(w) if i in (2, 3) else c.rjust(w) for i, (c, w) in enumerate(pairs))
    return "  ".join(padded).rstrip()

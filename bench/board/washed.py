"""A washed model as its reader sees it, beside the honest one, with what an auditor would see."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any

from bench.board.fairwashing import share
from bench.board.panels import short
from bench.board.table import printable
from bench.record import Record

MOST = 1000
"""Lines of a model that are read at most."""
WIDTH = 60
"""Letters of a model's line in a terminal."""
NAME = 40
"""Letters of a group's name, at most."""
COLUMNS = ("black box", "honest", "washed")
PARTS = ("black_box", "honest", "published")
"""Where a record's details tell of them."""
PLACES = ("suing", "unseen")
"""The suing group, whom the attacker knows; people whom he doesn't."""


Numbers = tuple[tuple[float, float], ...]
"""Of each of `COLUMNS`, on each of `PLACES`; NaN where a record doesn't tell."""


@dataclass(frozen=True)
class Row:
    """One number of the black box, the honest and the washed model.

    Attributes
    ----------
    name : what it is. numbers : how large.
    """

    name: str
    numbers: Numbers


@dataclass(frozen=True)
class Washed:
    """What is published, and what would honestly have been.

    Attributes
    ----------
    honest, washed : the models, line by line; the honest one is empty where nobody looked for it.
    rows : fidelity, unfairness, and how often each group gets what it wishes for.
    """

    honest: tuple[str, ...]
    washed: tuple[str, ...]
    rows: tuple[Row, ...]


def washed(record: Record) -> Washed | None:
    """The models that a record holds; None where it lacks what was published, or its numbers."""
    details = record.details
    black_box, honest, published = (_part(details.get(name)) for name in PARTS)
    lines, groups = _lines(published.get("text")), _lines(details.get("groups"))
    known = (share(published.get(name)) for name in ("fidelity", "unfairness"))
    if details.get("kind") != "model" or not lines or not all(map(math.isfinite, known)):
        return None
    told = ({"fidelity": 1.0, "test_fidelity": 1.0, **black_box}, honest, published)
    measure = f"unfairness: {details.get('measure')}".replace("_", " ")
    rows = [
        Row("fidelity", _numbers(told, "fidelity")),
        Row(printable(short(measure, NAME)), _numbers(told, "unfairness")),
        *(Row(_favourable(name), _rates(told, name)) for name in groups[:2]),
    ]
    other = _lines(honest.get("text"))
    return Washed(tuple(map(printable, other)), tuple(map(printable, lines)), tuple(rows))


def _favourable(group: str) -> str:
    return printable(f"favourable to {short(group, NAME)}")


def _part(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _lines(text: Any) -> tuple[str, ...]:
    """Of a model, or names; none where it is no list of texts."""
    if not isinstance(text, list) or len(text) > MOST:
        return ()
    return tuple(text) if all(isinstance(line, str) for line in text) else ()


def _numbers(told: Sequence[dict[str, Any]], name: str) -> Numbers:
    return tuple((share(one.get(name)), share(one.get(f"test_{name}"))) for one in told)


def _rates(told: Sequence[dict[str, Any]], group: str) -> Numbers:
    """How often it is decided as people of the group wish."""
    pairs = [[one.get(name) for name in ("rates", "test_rates")] for one in told]
    return tuple((_rate(seen, group), _rate(unseen, group)) for seen, unseen in pairs)


def _rate(rates: Any, group: str) -> float:
    return share(rates.get(group)) if isinstance(rates, dict) else math.nan


def decimal(value: float) -> str:
    """A share as it is shown; a dash where it isn't known."""
    return f"{value:.3f}" if math.isfinite(value) else "\N{EN DASH}"


def as_objects(found: Washed | None) -> dict[str, Any] | None:
    """For JSON: numbers as they are shown."""
    if found is None:
        return None
    rows = [
        {"name": row.name, "numbers": [decimal(x) for pair in row.numbers for x in pair]}
        for row in found.rows
    ]
    return {**asdict(found), "rows": rows, "columns": COLUMNS, "places": PLACES}


def as_text(found: Washed) -> str:
    """For a terminal, in letters of one width: the numbers, then the models."""
    heads = ["", *(f"{name}, {place}" for name in COLUMNS for place in PLACES)]
    table = [[row.name, *(decimal(x) for pair in row.numbers for x in pair)] for row in found.rows]
    return "\n\n".join([_aligned([heads, *table]), *_models(found)])


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join(
        "  ".join([name.ljust(first), *(x.rjust(w) for x, w in zip(rest, widths, strict=True))])
        for name, *rest in lines
    )


def _models(found: Washed) -> list[str]:
    """The models side by side."""
    columns = [
        [title, *chain.from_iterable(folded(line, WIDTH) for line in lines)]
        for title, lines in (("honest", found.honest), ("washed", found.washed))
        if lines
    ]
    width = max(map(len, columns[0]))
    texts = (
        "  ".join([x.ljust(width) for x in row]).rstrip()
        for row in zip_longest(*columns, fillvalue="")
    )
    return ["\n".join(texts)]


def folded(line: str, width: int) -> list[str]:
    """A line in several, what depends on it and what it goes on with indented."""
    indent = line[: len(line) - len(line.lstrip(" "))][: width // 2]
    return textwrap.wrap(
        line.strip(), width, initial_indent=indent, subsequent_indent=f"{indent}    "
    ) or [""]

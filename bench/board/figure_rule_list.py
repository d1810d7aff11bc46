"""The best companion of a problem as a table: its rules, and what is left to the black box."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bench.board.figure_companion import is_control, of_each_data_set
from bench.board.panels import (
    COLOURS,
    GRID,
    INK,
    SOFT,
    Problem,
    Sketch,
    by_rank,
    drawing,
    headed,
    left_out,
    problems_of,
    short,
)
from bench.board.rule_list import LETTERS, RuleTable, Step, percent, rule_table, wrapped
from bench.board.table import printable
from bench.record import Record

FIGURES = 4
"""Problems drawn, each as a figure, at most."""
RULES = 24
"""Rules of a list drawn at most."""

LINE, APART, HEAD, FOOT = 0.17, 0.11, 0.62, 0.36
"""Inches from a line of text to the next, between rules, above and below them."""
WORDS = 72
"""Letters of a condition in a line."""
LETTER, BOLD = 0.07, 0.085
"""Inches for a letter."""
NUMBER, LEAD, RULE = 0.2, 0.72, 0.8
BAR, BOX, ACCURACY = 0.1, 1.75, 2.5
"""Inches from the left, those of the second line from the end of the column T; numbers and leads
end there, rules and bars begin."""
LONG, THICK = 1.15, 0.11
"""Of a bar, in inches."""


def rule_lists(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure a problem, of its first seed: the best method's list, no control's."""
    held, missing = of_each_data_set([r for r in records if rule_table(r)], FIGURES)
    for i, (cell, group) in enumerate(problems_of(held).items()):
        yield _figure(cell, best(group), i, missing if not i else 0)


def best(group: Sequence[Record], is_control: Callable[[str], bool] = is_control) -> Record:
    """Of the records of one problem's first seed that of the method with the best mean."""
    own = {r.method: r for r in group if r.seed == min(r.seed for r in group)}
    ranked = [method for method in by_rank(group) if method in own]
    honest = [method for method in ranked if not is_control(method)]
    return own[(honest or ranked)[0]]


def _figure(cell: Problem, record: Record, place: int, missing: int) -> Sketch:
    table = rule_table(record)
    assert table is not None  # none else is asked for
    setting, dataset, model = cell
    return Sketch(
        "rule_list" if not place else f"rule_list_{place + 1}",
        "A companion to read.",
        f"{dataset}, {model}, {setting}, seed {record.seed}: the rules of {record.method}, the "
        "best method by the task's first score. A user goes down the list as far as they like: T "
        "is the share of test rows that the rules have decided by then, the black box decides the "
        "rest, and the accuracy is that of both together. The certificate says up to how many "
        f"rules no list of the pool has a larger training objective.{left_out(missing)}",
        _drawn(table, headed(dataset, model)[0], record.method),
    )


def _drawn(table: RuleTable, title: str, method: str) -> Drawing:
    shown, missing = _cut(table.steps)
    lines = [wrapped(step.condition, WORDS) for _, step in shown]
    place = _places([step for _, step in shown], lines)
    end, height = place.shares + ACCURACY + 0.1, HEAD + sum(map(_height, lines)) + FOOT
    figure = drawing(end, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, end), ylim=(height, 0))
    axes.set_axis_off()
    name = printable(f"{short(title, 40)}: {short(method, 36)}")
    write(axes, 0.1, 0.16, name, weight="bold", fontsize=10.5)
    _heads(axes, 0.46, place)
    top = HEAD
    for (number, step), own in zip(shown, lines, strict=True):
        axes.plot([0.05, end - 0.05], [top, top], color=GRID, lw=0.8)
        _lead(axes, top + (LINE + APART) / 2, number, step)
        _rule(axes, top + (LINE + APART) / 2, own, INK if number else SOFT, place)
        _shares(axes, top + (LINE + APART) / 2, step, place)
        top += _height(own)
    axes.plot([0.05, end - 0.05], [top, top], color=GRID, lw=0.8)
    more = f"{missing} rules before the last aren't drawn" if missing else ""
    write(axes, 0.1, top + 0.17, ", ".join(filter(None, [table.foot, more])), color=SOFT)
    return figure


class Place(NamedTuple):
    """Inches from the left: where labels begin, where the column T ends."""

    labels: float
    shares: float


def _places(steps: Sequence[Step], lines: Sequence[Sequence[str]]) -> Place:
    """So that the longest condition and the longest label have room."""
    labels = RULE + LETTER * max(len(text) for own in lines for text in own) + 0.3
    label = BOLD * max(len(short(step.label, LETTERS)) for step in steps)
    return Place(labels, labels + max(label, 0.4) + 0.6)


def _height(lines: Sequence[str]) -> float:
    return LINE * len(lines) + APART


def _cut(steps: Sequence[Step]) -> tuple[list[tuple[int, Step]], int]:
    """The steps with their numbers, without those before the last where there are too many."""
    numbered = list(enumerate(steps))
    missing = max(len(steps) - 2 - RULES, 0)
    return (numbered[: RULES + 1] + numbered[-1:] if missing else numbered), missing


def _heads(axes: Axes, y: float, place: Place) -> None:
    write(axes, place.labels, y, "then", color=SOFT)
    write(axes, place.shares, y, "T", ha="right", color=SOFT)
    write(axes, place.shares + BAR, y, "rules", color=COLOURS[0])
    write(axes, place.shares + BOX, y, "black box", ha="right", color=SOFT)
    write(axes, place.shares + ACCURACY, y, "accuracy", ha="right", color=SOFT)


def _lead(axes: Axes, y: float, number: int, step: Step) -> None:
    write(axes, NUMBER, y, str(number), ha="right", color=SOFT)
    write(axes, LEAD, y, step.lead, ha="right", weight="bold")


def _rule(axes: Axes, y: float, lines: Sequence[str], colour: str, place: Place) -> None:
    """What must hold, cut off where letters are wider than most."""
    room = Rectangle((0, y - LINE), place.labels - 0.1, LINE * (len(lines) + 1))
    room.set_transform(axes.transData)
    for line, text in enumerate(lines):
        written = write(axes, RULE, y + LINE * line, text, color=colour, clip_on=True)
        written.set_clip_path(room)


def _shares(axes: Axes, y: float, step: Step, place: Place) -> None:
    """The label, and who decides: a bar, blue for the rules."""
    left = place.shares
    write(axes, place.labels, y, short(step.label, LETTERS), weight="bold")
    write(axes, left, y, percent(step.transparency), ha="right")
    for share, colour in ((1.0, GRID), (step.transparency, COLOURS[0])):
        axes.barh(y, LONG * share, left=left + BAR, height=THICK, color=colour, lw=0)
    write(axes, left + BOX, y, percent(step.left), ha="right")
    write(axes, left + ACCURACY, y, f"{step.accuracy:.3f}", ha="right")


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> Text:
    """Words of a table, in the middle of their line."""
    given: dict[str, Any] = {"fontsize": 8.8, "va": "center_baseline", **style}
    return axes.text(x, y, text, **given)

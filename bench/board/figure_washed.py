"""A washed model to read, beside the honest one, with the numbers that an auditor would see."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.board.fairwashing import is_control
from bench.board.figure_companion import of_each_data_set
from bench.board.figure_rule_list import LETTER, LINE, best, write
from bench.board.panels import (
    COLOURS,
    GRID,
    INK,
    SOFT,
    Problem,
    Sketch,
    drawing,
    headed,
    left_out,
    problems_of,
    short,
)
from bench.board.table import printable
from bench.board.washed import COLUMNS, PLACES, Washed, decimal, folded, washed
from bench.record import Record

FIGURES = 4
"""Problems drawn, each as a figure, at most."""
MOST = 30
"""Lines of a model drawn at most, a long one counted as several."""
WORDS = 60
"""Letters of a model's line."""
LEFT, NUMBER, ROW = 0.1, 0.78, 0.24
"""Inches to the first letter, for a number, from one row of numbers to the next."""
TITLE, HEADS, APART = 0.16, 0.48, 0.4
"""Inches from the top to the title and to the heads, and between numbers and models."""
FADED = {"black box": SOFT, "honest": INK, "washed": COLOURS[0]}
"""Colours of what is compared."""


def washed_models(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure a problem, of its first seed: what the best method publishes, no control."""
    held, missing = of_each_data_set([r for r in records if washed(r)], FIGURES)
    for i, (cell, group) in enumerate(problems_of(held).items()):
        yield _figure(cell, best(group, is_control), i, missing if not i else 0)


def _figure(cell: Problem, record: Record, place: int, missing: int) -> Sketch:
    found = washed(record)
    assert found is not None  # none else is asked for
    setting, dataset, model = cell
    return Sketch(
        "washed" if not place else f"washed_{place + 1}",
        "A washed model to read.",
        f"{dataset}, {model}, {setting}, seed {record.seed}: what {record.method}, the best method "
        "by the task's first score, publishes of the black box, beside the list that is most "
        "faithful to it. Fidelity is the share of its decisions that a model gives, favourable "
        "that of the decisions which people of a group wish for; on the suing group, which the "
        f"attacker knows, and on people unseen by him.{left_out(missing)}",
        _drawn(found, headed(dataset, model)[0], record.method),
    )


def _drawn(found: Washed, title: str, method: str) -> Drawing:
    models = {
        name: cut(lines)
        for name, lines in (("honest", found.honest), ("washed", found.washed))
        if lines
    }
    names = LEFT + LETTER * max(len(row.name) for row in found.rows) + 0.1
    lefts, end = _columns(list(models.values()))
    width = max(names + NUMBER * len(COLUMNS) * len(PLACES) + 0.1, end)
    top = HEADS + ROW * (len(found.rows) + 1.5) + APART
    height = top + LINE * (1 + max(map(len, models.values()))) + 0.15
    figure = drawing(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    name = printable(f"{short(title, 40)}: {short(method, 36)}")
    write(axes, LEFT, TITLE, name, weight="bold", fontsize=10.5)
    _numbers(axes, found, names, width)
    for left, (head, lines) in zip(lefts, models.items(), strict=True):
        _model(axes, left, top, head, lines)
    return figure


def cut(lines: Sequence[str]) -> list[str]:
    """A model's lines as they are drawn, folded where they are long; the end tells what isn't."""
    whole = list(chain.from_iterable(folded(line, WORDS) for line in lines))
    missing = len(whole) - MOST
    return [*whole[: MOST - 1], f"… {missing + 1} lines more"] if missing > 0 else whole


def _columns(models: Sequence[Sequence[str]]) -> tuple[list[float], float]:
    """Inches from the left to each model, and to the end."""
    lefts, end = list[float](), LEFT
    for lines in models:
        lefts.append(end)
        end += LETTER * max([*map(len, lines), 24]) + 0.35
    return lefts, end


def _numbers(axes: Axes, found: Washed, names: float, width: float) -> None:
    """Who, where, and how much."""
    ends = [names + NUMBER * (k + 1) for k in range(len(COLUMNS) * len(PLACES))]
    for k, name in enumerate(COLUMNS):
        write(axes, ends[2 * k + 1], HEADS, name, ha="right", weight="bold", color=FADED[name])
    for end, place in zip(ends, PLACES * len(COLUMNS), strict=True):
        write(axes, end, HEADS + ROW * 0.8, place, ha="right", color=SOFT, fontsize=8)
    for line, row in enumerate(found.rows):
        y = HEADS + ROW * (line + 1.9)
        axes.plot([LEFT / 2, width - LEFT / 2], [y - ROW / 2] * 2, color=GRID, lw=0.8)
        write(axes, LEFT, y, row.name)
        numbers = chain.from_iterable(row.numbers)
        for end, value in zip(ends, numbers, strict=True):
            colour = INK if math.isfinite(value) else SOFT
            write(axes, end, y, decimal(value), ha="right", color=colour)


def _model(axes: Axes, left: float, top: float, head: str, lines: Sequence[str]) -> None:
    """A model's lines below its name, those that depend on another further to the right."""
    write(axes, left, top, head, weight="bold", color=FADED[head])
    for place, line in enumerate(lines, start=1):
        words = line.lstrip(" ")
        write(axes, left + LETTER * (len(line) - len(words)), top + LINE * (place + 0.2), words)

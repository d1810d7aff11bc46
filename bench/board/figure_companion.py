"""Test accuracy of a companion as its rules take over from the black box."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bench.board.panels import (
    ACROSS,
    COLOURS,
    MOST,
    SOFT,
    Curve,
    Grid,
    Sketch,
    band,
    by_rank,
    chosen,
    curves,
    left_out,
    problems_of,
)
from bench.board.rows import number
from bench.record import Record

COLOURED = [*COLOURS[:7], COLOURS[9], COLOURS[8]]
"""For methods, yellow last; grey is the black box's and the controls'."""
DASHES, DOTS = ("-", "--", "-."), ":"
METHODS = 20
"""Drawn at most."""
SHARES = np.linspace(0, 1, 101)
ROOM = 0.08
"""Of a panel's height, left free below the lowest line."""


def transparency(records: Sequence[Record]) -> Iterator[Sketch]:
    """A line a method, the black box dashed; nothing where no record holds the curve."""
    held, missing = of_each_data_set([r for r in records if _curves([r])], MOST)
    if not held:
        return
    methods = styled(held)
    grid = Grid(held, width=3.7, height=2.9, across=across(held))
    for panel in grid.panels:
        _draw_black_box(panel.axes, panel.records)
        for method, colour, dashes in methods:
            drawn = _curves([r for r in panel.records if r.method == method])
            if drawn:
                band(panel.axes, drawn, method, colour, dashes)
        panel.axes.set_xlim(0, 1)
        _cut(panel.axes)
    grid.label("transparency", "test accuracy")
    grid.legend()
    yield Sketch(
        "transparency",
        "Accuracy against transparency.",
        "Transparency is the share of test rows that rules decide, the default rule last. Bands "
        "are one standard error over seeds. Random rules, dotted, may leave a panel below."
        f"{left_out(missing)}",
        grid.drawing,
    )


def is_control(method: str) -> bool:
    """Whether a method chooses its rules at random."""
    return method.split(" ")[0] in ("random", "random_rules")


def styled(
    records: Sequence[Record], is_control: Callable[[str], bool] = is_control
) -> list[tuple[str, Any, str]]:
    """Methods with their colours and dashes; a control is grey and dotted.

    At most `METHODS`, spread evenly over the ranking. Neighbours differ in colour and dashes,
    and no two agree in both.
    """
    methods = chosen(by_rank(records), METHODS)
    honest = [method for method in methods if not is_control(method)]
    styles = []
    for i, method in enumerate(honest):
        turn, place = divmod(i, len(COLOURED))
        styles.append((method, COLOURED[place], DASHES[(place + turn) % len(DASHES)]))
    return [*styles, *((method, SOFT, DOTS) for method in methods if is_control(method))]


def of_each_data_set(records: Sequence[Record], most: int) -> tuple[list[Record], int]:
    """The records of at most so many problems, and how many problems are left out.

    Each data set comes once before any comes twice.
    """
    seen: Counter[str] = Counter()
    turns = {}
    problems = problems_of(records)
    for cell in problems:
        turns[cell] = seen[cell[1]]
        seen[cell[1]] += 1
    kept = set(sorted(turns, key=turns.__getitem__)[:most])
    found = [r for r in records if (r.setting, r.dataset, r.model) in kept]
    return found, len(problems) - len(kept)


def across(records: Sequence[Record]) -> int:
    """Panels in a row at most, so that four make a square."""
    return 2 if len(problems_of(records)) == 4 else ACROSS


def _curves(records: Sequence[Record]) -> list[Curve]:
    """Each record's curve at `SHARES`; those that hold something else are left out."""
    return [
        (SHARES, np.interp(SHARES, share, accuracy, right=np.nan))
        for share, accuracy in curves(records, "transparency", "accuracy")
        if np.isfinite(share).all() and np.isfinite(accuracy).all()
    ]


def _draw_black_box(axes: Axes, records: Sequence[Record]) -> None:
    """A dashed line at its mean accuracy, where a record tells it."""
    told = np.array([number(r.details.get("black_box_accuracy")) for r in records])
    if np.isfinite(told).any():
        axes.axhline(float(np.nanmean(told)), color=SOFT, lw=1.3, ls="--", label="black box alone")


def _cut(axes: Axes) -> None:
    """Leave out what a control needs below the lowest other line."""
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_linestyle() != DOTS]
    if drawn:
        least, most = axes.get_ylim()
        lowest = min(float(np.nanmin(heights)) for heights in drawn)
        axes.set_ylim(max(least, lowest - ROOM * (most - lowest)), most)

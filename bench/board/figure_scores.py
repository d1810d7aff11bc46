"""The headline score of every method, by problem, with its seeds and interval."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.board.panels import COLOURS, SOFT, Grid, Sketch, by_rank, left_out, short
from bench.board.rows import metrics_of, number
from bench.board.statistics import over_seeds
from bench.record import Record

PANELS = 6
"""Problems drawn at most: the tables have them all."""


def by_method(records: Sequence[Record]) -> Iterator[Sketch]:
    """A row a method, the best on top; nothing where no record has a value."""
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    values = {r.key: number(r.scores.get(metric, {}).get("value")) for r in records}
    scored = [r for r in records if not math.isnan(values[r.key])]
    if not scored:
        return
    methods = by_rank(scored)
    line = 0.24 if len(methods) <= 20 else 0.19
    least, most = info.get("range") or (None, None)
    limits = number(least), number(most)
    grid = Grid(scored, width=2.8, height=0.9 + line * len(methods), most=PANELS)
    for panel in grid.panels:
        axes = panel.axes
        for y, method in enumerate(methods):
            seeds = [values[r.key] for r in panel.records if r.method == method]
            _draw_seeds(axes, y, seeds, limits)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), map(short, methods) if grid.is_first(panel) else [])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
        if limits[0] == -1:
            axes.axvline(0, color=SOFT, lw=1, zorder=0.9)
    grid.label(short(metric))
    caption = (
        "The large point is the mean over seeds (the small points), the line its 95 % interval."
        + left_out(grid.missing)
    )
    yield Sketch("by_method", f"{metric} by method.", caption, grid.drawing)


def _draw_seeds(axes: Axes, y: int, seeds: Sequence[float], limits: tuple[float, float]) -> None:
    if not seeds:
        return
    values: Float[np.ndarray, " n"] = np.array(seeds)
    mean, low, high = over_seeds(values)
    # A confidence interval stays one when it is cut to the possible values.
    low, high = np.fmax(low, limits[0]), np.fmin(high, limits[1])
    axes.plot(values, np.full(len(values), y + 0.24), ".", ms=4, color=SOFT, alpha=0.8, mew=0)
    axes.plot([low, high], [y, y], color=COLOURS[0], lw=2.5, alpha=0.45, solid_capstyle="round")
    axes.plot([mean], [y], "o", ms=5.5, color=COLOURS[0], mew=0)

"""The headline score of every method, by problem, with its seeds and interval."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.board.panels import COLOURS, SOFT, Grid, Sketch, by_rank, short
from bench.board.rows import metrics_of, number
from bench.board.statistics import interval
from bench.record import Record


def by_method(records: Sequence[Record]) -> Sketch | None:
    """A row a method, the best on top; None where no record has a value."""
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    values = {r.key: number(r.scores.get(metric, {}).get("value")) for r in records}
    scored = [r for r in records if not math.isnan(values[r.key])]
    if not scored:
        return None
    methods = by_rank(scored)
    grid = Grid(scored, width=2.8, height=0.9 + 0.24 * len(methods))
    for panel in grid.panels:
        axes = panel.axes
        for y, method in enumerate(methods):
            _draw_seeds(axes, y, [values[r.key] for r in panel.records if r.method == method])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), map(short, methods) if grid.is_first(panel) else [])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
        if number((info.get("range") or [0])[0]) == -1:
            axes.axvline(0, color=SOFT, lw=1, zorder=0.9)
    grid.label(short(metric))
    caption = (
        "The large point is the mean over seeds (the small points), the line its 95 % interval."
    )
    return Sketch("by_method", f"{metric} by method.", caption, grid.drawing)


def _draw_seeds(axes: Axes, y: int, seeds: Sequence[float]) -> None:
    if not seeds:
        return
    values: Float[np.ndarray, " n"] = np.array(seeds)
    one_problem = np.zeros(len(values), dtype=int)
    mean, low, high = interval(values, one_problem, rng=np.random.default_rng(0))
    axes.plot(values, np.full(len(values), y + 0.24), ".", ms=4, color=SOFT, alpha=0.8, mew=0)
    axes.plot([low, high], [y, y], color=COLOURS[0], lw=2.5, alpha=0.45, solid_capstyle="round")
    axes.plot([mean], [y], "o", ms=5.5, color=COLOURS[0], mew=0)

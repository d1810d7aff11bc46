"""Linear datamodeling scores beside Kendall's tau: sums over many rows average errors out."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from bench.board.panels import (
    ACROSS,
    COLOURS,
    SOFT,
    Curve,
    Grid,
    Sketch,
    band,
    by_rank,
    left_out,
    plain_names,
    score,
)
from bench.board.rows import metrics_of
from bench.board.statistics import mean_of_finite
from bench.record import Record

TAU, INFLUENCE = "kendall_tau", "sgd_influence"
BEST = 6
"""Methods drawn, beside `INFLUENCE`."""
PANELS = 12
"""Problems drawn at most."""
_LDS = re.compile(r"lds_(\d{1,2})(?:_(\d{1,3}))?")


def lds_by_share(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a line a method over the share of rows removed."""
    metrics = shares(records)
    scored = [r for r in records if any(math.isfinite(score(r, m)) for m in metrics.values())]
    if len(metrics) < 2 or not scored:
        return
    methods = _drawn(scored)
    grid = Grid(scored, width=3.4, height=2.8, most=PANELS, across=ACROSS)
    single = min(metrics) / 3
    for panel in grid.panels:
        axes = panel.axes
        axes.set_xscale("log")
        for method, colour in zip(methods, COLOURS, strict=False):
            own = [r for r in panel.records if r.method == method]
            _draw(axes, own, metrics, single, method, colour)
        axes.axhline(0, color=SOFT, lw=1, zorder=0.9)
        names = ["single\nrows", *(f"{percent:g}" for percent in metrics)]
        axes.set_xticks([single, *metrics], names)
        axes.set_xticks([], minor=True)
        axes.set_xlim(single / 1.5, max(metrics) * 1.3)
    grid.label("% of the rows removed at once", "rank correlation with the truth")
    grid.legend()
    yield Sketch(
        "lds",
        "Linear datamodeling scores by the share removed.",
        "Lines: Spearman's correlation, over random sets of removed rows, of the true change with "
        "the sum of the rows' values. Diamonds: Kendall's tau over single rows. A sum averages "
        "errors out, so that the score flatters: what it ranks high may know little of single "
        "rows. Bands are one standard error over seeds." + left_out(grid.missing),
        grid.drawing,
    )


def shares(records: Sequence[Record]) -> dict[float, str]:
    """Percent of the rows removed -> the metric's name, rising: `lds_0_5` is half a percent."""
    known = metrics_of(records)[records[0].task]
    parts = {name: found for name in known if (found := _LDS.fullmatch(name))}
    percents = {float(f"{found[1]}.{found[2] or 0}"): name for name, found in parts.items()}
    return {percent: percents[percent] for percent in sorted(percents) if percent > 0}


def _drawn(records: Sequence[Record]) -> list[str]:
    ranked = plain_names(by_rank(records, TAU))
    best = ranked[:BEST]
    return [*best, INFLUENCE] if INFLUENCE in ranked[BEST:] else best


def _draw(
    axes: Axes,
    records: Sequence[Record],
    metrics: dict[float, str],
    single: float,
    method: str,
    colour: tuple[float, float, float],
) -> None:
    """A line through the sets, a diamond for single rows, a dotted line between them."""
    x = np.array(list(metrics))
    rows = [np.array([score(r, metric) for metric in metrics.values()]) for r in records]
    lines: list[Curve] = [(x, row) for row in rows if np.isfinite(row).any()]
    if not lines:
        return
    band(axes, lines, method, colour)
    tau = float(mean_of_finite(np.array([score(r, TAU) for r in records])))
    first = float(mean_of_finite(np.array([y[0] for _, y in lines])))
    axes.plot([single, x[0]], [tau, first], ":", color=colour, lw=1)
    axes.plot([single], [tau], "D", color=colour, ms=5, mew=0)

"""What finding wrong labels has to do with what is gained by removing rows: a point a method."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from bench.board.agreement import CONTROLS
from bench.board.figure_costs import Point, name_points
from bench.board.panels import ACROSS, COLOURS, SOFT, TRUTH, Grid, Sketch, left_out, score
from bench.board.statistics import mean_of_finite
from bench.record import Record

FOUND, GAINED = "mislabel_auc", "cleansing_gain"
PANELS = 6
"""Problems drawn at most."""


def gain_against_auc(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem of which wrong labels are known, the rank correlation in its title."""
    scored = [r for r in records if math.isfinite(score(r, FOUND) + score(r, GAINED))]
    if not scored:
        return
    grid = Grid(scored, width=3.7, height=3.3, most=PANELS, across=ACROSS)
    drawn = [(panel, _points(panel.records)) for panel in grid.panels]
    for panel, points in drawn:
        _draw(panel.axes, points)
        alike = rank_correlation(points)
        if not math.isnan(alike):
            text = f"{alike:z.2f}".replace("-", "\N{MINUS SIGN}")
            grid.note(panel, f"rank correlation {text}")
    grid.label(f"{FOUND}: wrong labels found", f"{GAINED}, points")
    grid.drawing.draw_without_rendering()  # the layout is known from here on
    for panel, points in drawn:
        name_points(panel.axes, points, points, near=True)
    yield Sketch(
        "mislabels",
        f"{GAINED} against {FOUND}.",
        "Means over seeds; names where there is room, the true leave-one-out in colour. .5 is "
        "found by chance. A method that finds wrong labels need not find those rows whose removal "
        "helps: the number above each panel is Spearman's rank correlation over the methods, "
        "without the random order." + left_out(grid.missing),
        grid.drawing,
    )


def _points(records: Sequence[Record]) -> list[Point]:
    """Each method at its mean, those that gain most first."""
    by_method: dict[str, list[tuple[float, float]]] = {}
    for r in records:
        by_method.setdefault(r.method, []).append((score(r, FOUND), 100 * score(r, GAINED)))
    means = {m: mean_of_finite(np.array(pairs)) for m, pairs in by_method.items()}
    found = [Point(method, float(x), float(y)) for method, (x, y) in means.items()]
    return sorted(found, key=lambda p: -p.score)


def _draw(axes: Axes, points: Sequence[Point]) -> None:
    axes.axhline(0, color=SOFT, lw=1)
    axes.axvline(0.5, color=SOFT, lw=1)
    for point in points:
        colour = COLOURS[1] if point.method == TRUTH else COLOURS[0]
        axes.plot([point.cost], [point.score], "o", ms=5, color=colour, mew=0)
    axes.margins(x=0.2, y=0.12)


def rank_correlation(points: Sequence[Point]) -> float:
    """Spearman's, controls left out; NaN below three methods and where one of both is constant."""
    ranked = [p for p in points if p.method.split(" ")[0] not in CONTROLS]
    x, y = [p.cost for p in ranked], [p.score for p in ranked]
    if len(ranked) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return math.nan
    return float(spearmanr(x, y).statistic)

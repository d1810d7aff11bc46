"""Both sides of an explanation in one picture: features across, training rows upwards."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bench.board.figure_costs import Point, name_points
from bench.board.panels import (
    ACROSS,
    INK,
    SCORES,
    SOFT,
    Grid,
    Sketch,
    by_rank,
    heat_map,
    left_out,
    score,
)
from bench.board.statistics import mean_of_finite
from bench.record import Record

FEATURES, DATA, FIDELITY = "ideal_influence", "data_influence", "fidelity"
COLUMNS = {"features": FEATURES, "data": DATA, "fidelity": FIDELITY}
PANELS = 6
"""Problems drawn at most."""


@dataclass(frozen=True)
class Place:
    """A method's mean scores; NaN for a side, or a fidelity, that it doesn't have."""

    method: str
    features: float
    data: float
    fidelity: float

    @property
    def whole(self) -> bool:
        """Whether it has both sides."""
        return math.isfinite(self.features) and math.isfinite(self.data)

    @property
    def point(self) -> Point:
        """Where it is drawn: a side that isn't there is at chance."""
        return Point(self.method, *(float(np.nan_to_num(x)) for x in (self.features, self.data)))


def both_sides(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a point a method, its colour the fidelity."""
    sides = (FEATURES, DATA)
    known = [r for r in records if any(math.isfinite(score(r, side)) for side in sides)]
    if not known:
        return
    grid = Grid(known, width=4.3, height=3.7, most=PANELS, across=ACROSS)
    drawn = [(panel, places(panel.records)) for panel in grid.panels]
    for panel, found in drawn:
        _draw(panel.axes, found)
    grid.label("feature side: ideal influence", "data side: data influence")
    colours = ScalarMappable(Normalize(0, 1), SCORES)
    grid.drawing.colorbar(
        colours, ax=[panel.axes for panel in grid.panels], label="fidelity", shrink=0.6, aspect=30
    )
    grid.drawing.draw_without_rendering()  # the layout is known from here on
    for panel, found in drawn:
        points = [place.point for place in found]
        name_points(panel.axes, points, points, near=True)
    yield Sketch(
        "sides",
        "The data side against the feature side.",
        "Means over seeds: 0 is chance, 1 the ideal order of features or the best order of "
        "training rows known. Diamonds have both sides; a circle has one, the other is drawn at "
        "0, which is what its user gets. The colour is how often the explanation's own prediction "
        "is the model's, grey where it makes none. Names where there is room."
        + left_out(grid.missing),
        grid.drawing,
    )


def table_of_sides(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a row a method, best headline first; both sides and the fidelity."""
    known = [r for r in records if any(math.isfinite(score(r, m)) for m in (FEATURES, DATA))]
    if not known:
        return
    methods = by_rank(known)
    grid = Grid(known, width=3.3, height=0.9 + 0.24 * len(methods), most=PANELS, across=ACROSS)
    for panel in grid.panels:
        found = {place.method: place for place in places(panel.records)}
        rows = [_numbers(found.get(method)) for method in methods]
        names = methods if grid.is_first(panel) else [""] * len(methods)
        heat_map(panel.axes, np.array(rows), names, list(COLUMNS))
    yield Sketch(
        "sides_table",
        "Both sides and the fidelity of every method.",
        "Means over seeds, in hundredths: 0 is chance, 100 the ideal order of features, the best "
        "order of training rows known, or a prediction that is always the model's. Empty where an "
        "explanation has no such side, or predicts nothing itself." + left_out(grid.missing),
        grid.drawing,
    )


def _numbers(place: Place | None) -> tuple[float, float, float]:
    if place is None:
        return math.nan, math.nan, math.nan
    return place.features, place.data, place.fidelity


def places(records: Sequence[Record]) -> list[Place]:
    """Each method at its means, those with both sides first, then by the sum of both."""
    by_method: dict[str, list[list[float]]] = {}
    for r in records:
        by_method.setdefault(r.method, []).append([score(r, m) for m in (FEATURES, DATA, FIDELITY)])
    found = [
        Place(method, *(float(mean_of_finite(column)) for column in np.array(rows).T))
        for method, rows in by_method.items()
    ]
    found = [p for p in found if math.isfinite(p.features) or math.isfinite(p.data)]
    return sorted(found, key=lambda p: (not p.whole, -p.point.cost - p.point.score, p.method))


def _draw(axes: Axes, found: Sequence[Place]) -> None:
    axes.axhline(0, color=SOFT, lw=1, zorder=0.9)
    axes.axvline(0, color=SOFT, lw=1, zorder=0.9)
    for place in found:
        known = math.isfinite(place.fidelity)
        axes.plot(
            [place.point.cost],
            [place.point.score],
            "D" if place.whole else "o",
            ms=6,
            color=SCORES(place.fidelity) if known else SOFT,
            mec=INK,
            mew=0.6,
        )
    axes.margins(x=0.2, y=0.12)

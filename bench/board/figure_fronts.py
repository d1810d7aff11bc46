"""How fair a model can look at what fidelity: all candidates, and the front of each method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bench.board.fairwashing import Style, is_control, published, share, styled
from bench.board.figure_companion import across, of_each_data_set
from bench.board.panels import INK, SOFT, Curve, Grid, Sketch, band, left_out
from bench.record import Record

PANELS = 12
"""Problems drawn at most."""
DOTS = 60
"""Candidates of a method in a panel at most, evenly spread over their fidelity."""
MOST = 10_000
"""Candidates of a record that are read at most."""
FLOORS = (0.80, 0.99)
"""Of fidelity: the least unfairness above them is the score."""
LEAST = 0.5
"""Fidelity from which on a panel is drawn at most: less than a coin has."""
HIGHEST = 1.5
"""Of the black box's unfairness, up to which a panel is drawn."""


@dataclass(frozen=True)
class Front:
    """Candidates of one record, and the black box's own unfairness, on the suing group."""

    fidelity: Float[np.ndarray, " k"]
    unfairness: Float[np.ndarray, " k"]
    own: float

    def least(self, floors: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The least unfairness at each floor; the black box is its own explanation, too."""
        true = self.fidelity >= floors[:, None]
        found = np.where(true, self.unfairness, self.own).min(axis=1)
        return np.asarray(np.minimum(found, self.own))


def fronts(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a staircase a method."""
    known = [r for r in published(records, "model") if front(r)]
    held, missing = of_each_data_set(known, PANELS)
    if not held:
        return
    grid = Grid(held, width=3.7, height=3.0, across=across(held))
    styles = styled(held)
    for panel in grid.panels:
        _draw(panel.axes, panel.records, styles)
    grid.label("fidelity", "unfairness")
    grid.legend()
    yield Sketch(
        "fronts",
        "Unfairness against fidelity.",
        "On the suing group. Dots are candidates, of all seeds; a line is the least unfairness of "
        "a method's candidates of this fidelity or more, mean over seeds, with a band of one "
        "standard error; it ends where no candidate is as true, and the black box, the diamond, "
        "explains itself. Shaded are the floors of fidelity over which washability is the mean. "
        f"Candidates more than {HIGHEST:g} times as unfair as the black box lie outside."
        f"{left_out(missing)}",
        grid.drawing,
    )


def front(record: Record) -> Front | None:
    """What a record says of its candidates; None where it lacks them, or the black box."""
    told, black_box = record.details.get("candidates"), record.details.get("black_box")
    if not isinstance(told, list) or not isinstance(black_box, dict) or len(told) > MOST:
        return None
    own = share(black_box.get("unfairness"))
    points = [
        (share(one.get("fidelity")), share(one.get("unfairness")))
        for one in told
        if isinstance(one, dict)
    ]
    table = np.array(points).reshape(-1, 2)
    if not len(points) or len(points) != len(told) or not np.isfinite([own, *table.flat]).all():
        return None
    return Front(table[:, 0], table[:, 1], own)


def staircases(found: Sequence[Front]) -> list[Curve]:
    """The fronts as lines that bend at the same fidelities, from 0 to the truest candidate's."""
    floors = np.unique(np.concatenate([[0.0], *(one.fidelity for one in found)]))
    bends = np.repeat(floors, 2)[:-1]
    return [(bends, np.repeat(one.least(floors), 2)[1:]) for one in found]


def thinned(found: Sequence[Front]) -> Float[np.ndarray, "k 2"]:
    """Fidelity and unfairness of at most `DOTS` candidates."""
    points = np.concatenate([np.column_stack([one.fidelity, one.unfairness]) for one in found])
    ordered = points[np.lexsort(points.T[::-1])]
    places = np.linspace(0, len(ordered) - 1, min(DOTS, len(ordered))).round().astype(int)
    dots: np.ndarray = ordered[places]
    return dots


def _draw(axes: Axes, records: Sequence[Record], styles: Sequence[Style]) -> None:
    axes.axvspan(*FLOORS, color=SOFT, alpha=0.08, lw=0)
    whole = [one for record in records if (one := front(record))]
    for method, colour, dashes in styles:
        found = [one for r in records if r.method == method and (one := front(r))]
        if found:
            _draw_method(axes, found, method, colour, dashes)
    own = float(np.mean([one.own for one in whole]))
    axes.axhline(own, color=SOFT, lw=0.8, ls=":", zorder=0.9)
    axes.plot([1.0], [own], "D", color=INK, ms=6, ls="", label="black box", zorder=5, clip_on=False)
    washing = [one for r in records if not is_control(r.method) and (one := front(r))]
    least = min(float(one.fidelity.min()) for one in washing or whole)
    axes.set_xlim(max(LEAST, min(least, FLOORS[0]) - 0.02), 1.01)
    highest = min(axes.get_ylim()[1], HIGHEST * max(one.own for one in whole))
    axes.set_ylim(-0.04 * highest, highest or 0.1)


def _draw_method(axes: Axes, found: Sequence[Front], method: str, colour: Any, dashes: str) -> None:
    dots = thinned(found)
    axes.plot(*dots.T, "o", color=colour, ms=3, mew=0, alpha=0.35, zorder=1.5)
    band(axes, staircases(found), method, colour, dashes)

"""How unfair the black box looks to each who complains, once it has been explained to them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bench.board.fairwashing import Style, published, share, styled
from bench.board.figure_companion import across, of_each_data_set
from bench.board.panels import SOFT, Curve, Grid, Sketch, left_out
from bench.record import Record

PANELS = 12
"""Problems drawn at most."""
MOST = 10_000
"""People of a record that are read at most."""


def over_users(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a line a method: which share of the people sees at most so much."""
    held, missing = of_each_data_set([r for r in published(records, "people") if users(r)], PANELS)
    if not held:
        return
    grid = Grid(held, width=3.7, height=2.9, across=across(held))
    styles = styled(held)
    for panel in grid.panels:
        _draw(panel.axes, panel.records, styles)
    grid.label("unfairness among one's neighbours", "share of people")
    grid.legend()
    yield Sketch(
        "users",
        "Unfairness that people see.",
        "People of the protected group who were refused and complain, of all seeds: the share of "
        "them whose own model shows at most so much unfairness among their neighbours. Dashed, "
        "that of the black box among the same neighbours. Further to the left is washed more."
        f"{left_out(missing)}",
        grid.drawing,
    )


def users(record: Record) -> dict[str, Float[np.ndarray, " users"]]:
    """The unfairness that each sees, and that of the black box; empty where a record lacks it."""
    told = record.details.get("users")
    if not isinstance(told, list) or not 0 < len(told) <= MOST:
        return {}
    if not all(isinstance(one, dict) for one in told):
        return {}
    names = ("unfairness", "black_box")
    found = {name: np.array([share(one.get(name)) for one in told]) for name in names}
    return found if all(np.isfinite(values).all() for values in found.values()) else {}


def cumulative(values: Float[np.ndarray, " people"]) -> Curve:
    """The share of the values that are at most x, as a line that bends."""
    ordered = np.sort(values)
    heights = np.arange(len(values) + 1) / len(values)
    return np.repeat(ordered, 2), np.repeat(heights, 2)[1:-1]


def _draw(axes: Axes, records: Sequence[Record], styles: Sequence[Style]) -> None:
    largest = max(float(values.max()) for r in records for values in users(r).values())
    by_seed = {record.seed: users(record)["black_box"] for record in records}
    _line(axes, np.concatenate([*by_seed.values()]), "black box", SOFT, "--", largest)
    for method, colour, dashes in styles:
        found = [users(r)["unfairness"] for r in records if r.method == method]
        if found:
            _line(axes, np.concatenate(found), method, colour, dashes, largest)
    axes.set(xlim=(-0.02 * largest, 1.02 * largest or 1.0), ylim=(-0.02, 1.03))


def _line(
    axes: Axes,
    values: Float[np.ndarray, " n"],
    label: str,
    colour: Any,
    dashes: str,
    largest: float,
) -> None:
    """From one edge of the panel to the other."""
    x, y = cumulative(values)
    axes.plot([0, *x, largest], [0, *y, 1], color=colour, ls=dashes, lw=1.7, label=label)

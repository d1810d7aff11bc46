"""How alike methods rank the features of an instance."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bench.board.agreement import Matrix, agreements
from bench.board.panels import (
    MATRIX,
    Sketch,
    by_rank,
    drawing,
    entitle,
    heat_map,
    left_out,
    plain_names,
)
from bench.board.statistics import mean_of_finite
from bench.record import Record

PANELS, ACROSS, TOLD = 4, 2, 24
"""Matrices drawn at most, how many stand in a row, and from how many methods on colour alone
tells the numbers.
"""


def agreement_matrix(records: Sequence[Record]) -> Iterator[Sketch]:
    """Kendall's tau between methods, a panel a data set, after that of all data sets."""
    methods = plain_names(by_rank(records))
    by_data = _by_data(records, methods)
    if not by_data or len(methods) < 2:
        return
    overall = mean_of_finite(np.stack(list(by_data.values())))
    if not np.isfinite(overall[np.triu_indices(len(methods), 1)]).any():
        return
    panels = {"all data sets": overall} if len(by_data) > 1 else {}
    panels |= dict(list(by_data.items())[: PANELS - len(panels)])
    order = _clustered(overall)
    names = [methods[i] for i in order]
    across = min(ACROSS, len(panels))
    rows = -(-len(panels) // across)
    told = len(methods) <= TOLD
    side = (0.19 if told else 0.125) * len(methods) + 0.5
    figure = drawing(side * across + 2.3, side * rows + 0.5 * rows + 1.6)
    axes = figure.subplots(rows, across, squeeze=False)
    for unused in axes.flat[len(panels) :]:
        unused.set_axis_off()
    for i, (place, (title, matrix)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        lowest = i + across >= len(panels)
        left = names if i % across == 0 else []
        below = names if lowest else []
        heat_map(place, matrix[np.ix_(order, order)], left, below, MATRIX, numbers=told)
        place.tick_params(axis="x", labelrotation=90)
        place.tick_params(labelsize=8.5 if told else 6.5)
        place.set_aspect("equal")
        entitle(place, title, "")
    if not told:
        colours = ScalarMappable(Normalize(-1, 1), MATRIX)
        figure.colorbar(colours, ax=axes, shrink=0.3, aspect=12, label="Kendall's tau").outline.set(
            visible=False
        )
    missing = len(by_data) + (len(by_data) > 1) - len(panels)
    yield Sketch(
        "agreement",
        "Agreement between methods.",
        f"Kendall's tau{', in hundredths,' if told else ''} between two methods' rankings of the "
        "features: the mean over instances, seeds and settings. Methods that agree stand together."
        + left_out(missing),
        figure,
    )


def _by_data(records: Sequence[Record], methods: Sequence[str]) -> dict[str, Matrix]:
    """Data set and model -> the mean agreement over its settings and seeds."""
    return {
        f"{dataset} · {model}": mean_of_finite(np.stack(matrices))
        for (dataset, model), matrices in agreements(records, methods).items()
    }


def _clustered(matrix: Matrix) -> list[int]:
    """An order in which what agrees stands together."""
    from scipy.cluster.hierarchy import leaves_list, linkage  # late: only this figure needs it

    distance = 1 - np.nan_to_num(matrix)
    upper = np.triu_indices(len(matrix), 1)
    tree = linkage(distance[upper], "average", optimal_ordering=True)
    order: list[int] = leaves_list(tree).tolist()
    return order

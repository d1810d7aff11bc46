"""Test accuracy as the training rows that a method calls harmful are removed."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from bench.board.panels import SOFT, Curve, Grid, Sketch, array, band, coloured, curves
from bench.board.rows import number
from bench.record import Record


def removal(records: Sequence[Record]) -> Iterator[Sketch]:
    """A line a method, removal at random dashed; nothing where no record holds the curve."""
    records = [r for r in records if _gains([r], "accuracy")]
    if not records:
        return
    methods = coloured(records)
    grid = Grid(records, width=3.6, height=2.7)
    for panel in grid.panels:
        axes = panel.axes
        axes.axhline(0, color=SOFT, lw=1)
        # All methods of a seed share one curve of random removal: it counts once.
        by_seed = {record.seed: record for record in panel.records}
        at_random = _gains(list(by_seed.values()), "accuracy_random")
        if at_random:
            band(axes, at_random, "at random", SOFT, "--")
        for method, colour in methods:
            gains = _gains([r for r in panel.records if r.method == method], "accuracy")
            if gains:
                band(axes, gains, method, colour)
        percents = _gains(panel.records, "accuracy")[0][0]
        axes.set_xscale("function", functions=(_root, np.square))
        axes.set_xticks(percents, _spaced(percents))
    grid.label("% of the training rows removed", "test accuracy gained, points")
    grid.legend()
    yield Sketch(
        "removal",
        "Accuracy against what is removed.",
        "Trained again without the rows that a method calls most harmful. Bands are one standard "
        "error over seeds; dashed: rows removed at random.",
        grid.drawing,
    )


def _gains(records: Sequence[Record], name: str) -> list[Curve]:
    """(percent of the training rows removed, points of accuracy gained) of each record."""
    found = []
    for r in records:
        n, start = number(r.details.get("n_train")), array(r.details.get("accuracy"))
        if n > 0 and start is not None:
            for removed, accuracy in curves([r], "removed", name):
                found.append((100 * removed / n, 100 * (accuracy - start[0])))
    return found


def _spaced(ticks: Float[np.ndarray, " n"]) -> list[str]:
    """Labels for ticks on an axis of square roots, none where they would touch."""
    labels, last = [], -math.inf
    for tick in ticks:
        free = math.sqrt(tick) - last > 0.1 * math.sqrt(ticks[-1])
        labels.append(f"{tick:.2g}" if free else "")
        last = math.sqrt(tick) if free else last
    return labels


def _root(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    root: np.ndarray = np.sqrt(np.maximum(x, 0))
    return root

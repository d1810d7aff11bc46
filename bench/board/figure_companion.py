"""Test accuracy of a companion as its rules take over from the black box."""

from collections.abc import Iterator, Sequence

import numpy as np

from bench.board.panels import SOFT, Grid, Sketch, band, coloured, curves
from bench.board.rows import number
from bench.record import Record


def transparency(records: Sequence[Record]) -> Iterator[Sketch]:
    """A line a method, the black box dashed; nothing where no record holds the curve."""
    records = [r for r in records if curves([r], "transparency", "accuracy")]
    if not records:
        return
    methods = coloured(records)
    grid = Grid(records, width=3.6, height=2.7)
    share = np.linspace(0, 1, 101)
    for panel in grid.panels:
        boxes = np.array([number(r.details.get("black_box_accuracy")) for r in panel.records])
        if np.isfinite(boxes).any():
            black_box = float(np.nanmean(boxes))
            panel.axes.axhline(black_box, color=SOFT, lw=1.3, ls="--", label="black box alone")
        for method, colour in methods:
            own = [r for r in panel.records if r.method == method]
            drawn = [
                (share, np.interp(share, t, accuracy, right=np.nan))
                for t, accuracy in curves(own, "transparency", "accuracy")
            ]
            if drawn:
                band(panel.axes, drawn, method, colour)
        panel.axes.set_xlim(0, 1)
    grid.label("transparency", "test accuracy")
    grid.legend()
    yield Sketch(
        "transparency",
        "Accuracy against transparency.",
        "Transparency is the share of test rows that rules decide, the default rule last. Bands "
        "are one standard error over seeds.",
        grid.drawing,
    )

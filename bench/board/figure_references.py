"""Methods under several references: the headline score, and how alike the rankings are."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from bench.board.agreement import CONTROLS, Matrix, by_references, ranked_alike, scores_under
from bench.board.panels import (
    MATRIX,
    Sketch,
    by_rank,
    drawing,
    entitle,
    headed,
    heat_map,
    left_out,
    plain_names,
)
from bench.board.rows import metrics_of
from bench.record import Record

PANELS = 10
"""Data sets drawn at most."""


def by_reference(records: Sequence[Record]) -> Iterator[Sketch]:
    """A heat map a data set, and Kendall's tau between its columns below it."""
    groups = by_references(records)
    drawn = dict(list(groups.items())[:PANELS])
    if not drawn:
        return
    methods = plain_names(by_rank([r for g in drawn.values() for rs in g.values() for r in rs]))
    metric = next(iter(metrics_of(records)[records[0].task]))
    columns = [len(group) for group in drawn.values()]
    side = 0.42
    heights = 0.2 * len(methods) + 0.5, 0.24 * max(columns)
    figure = drawing(side * sum(columns) + 0.25 * len(columns) + 2.4, sum(heights) + 1.0)
    places = figure.add_gridspec(2, len(drawn), width_ratios=columns, height_ratios=heights)
    for i, ((dataset, model, rest), group) in enumerate(drawn.items()):
        table = scores_under(group, methods)
        top = figure.add_subplot(places[0, i])
        heat_map(top, table, methods if not i else [], list(group))
        top.tick_params(axis="x", labelrotation=90)
        alone = sum(cell[:2] == (dataset, model) for cell in groups) == 1
        entitle(top, *headed(dataset, model, "" if alone else rest))
        below = figure.add_subplot(places[1, i])
        _draw_taus(below, ranked_alike(table, methods)[0], [] if i else list(group), max(columns))
    yield Sketch(
        "references",
        f"{metric} under each reference.",
        "What a deleted feature is replaced by is part of the question. Above: means over seeds, "
        "in hundredths; below: Kendall's tau between the rankings of the methods under two "
        "references, in the same order, in hundredths too: 100 where they agree. The controls, "
        f"{' and '.join(CONTROLS)}, aren't among them: they are where they are by what they are."
        + left_out(len(groups) - len(drawn)),
        figure,
    )


def _draw_taus(axes: Axes, found: Matrix, rows: Sequence[str], most: int) -> None:
    """The lower triangle, its columns below those of the heat map, in rows of equal height."""
    heat_map(axes, np.where(np.tri(len(found)), found, np.nan), rows, [], colours=MATRIX)
    axes.set_ylim(most, 0)

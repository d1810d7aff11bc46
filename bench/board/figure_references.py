"""Methods under several references: the headline score, and how alike the rankings are."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bench.board.panels import (
    MATRIX,
    Sketch,
    by_rank,
    drawing,
    entitle,
    heat_map,
    left_out,
    mean_scores,
    plain_names,
)
from bench.board.rows import metrics_of
from bench.board.statistics import taus
from bench.record import Record

PANELS = 10
"""Data sets drawn at most."""

Problem = tuple[str, str, str]


def by_reference(records: Sequence[Record]) -> Iterator[Sketch]:
    """A heat map a data set, and Kendall's tau between its columns below it."""
    groups = {cell: group for cell, group in _groups(records).items() if len(group) > 1}
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
        table = _table(group, methods)
        top = figure.add_subplot(places[0, i])
        heat_map(top, table, methods if not i else [], list(group))
        top.tick_params(axis="x", labelrotation=90)
        alone = sum(cell[:2] == (dataset, model) for cell in groups) == 1
        entitle(top, f"{dataset} · {model}", "" if alone else rest)
        below = figure.add_subplot(places[1, i])
        _draw_taus(below, table, [] if i else list(group), max(columns))
    yield Sketch(
        "references",
        f"{metric} under each reference.",
        "What a deleted feature is replaced by is part of the question. Above: means over seeds, "
        "in hundredths; below: Kendall's tau between the rankings of the methods under two "
        "references, in the same order, in hundredths too: 100 where they agree."
        + left_out(len(groups) - len(drawn)),
        figure,
    )


def _groups(records: Sequence[Record]) -> dict[Problem, dict[str, list[Record]]]:
    """(data set, model, other fields of the setting) -> reference -> records."""
    groups: dict[Problem, dict[str, list[Record]]] = {}
    for record in records:
        if "reference" in record.settings:
            cell = (record.dataset, record.model, _rest(record.setting, record.settings))
            reference = str(record.settings["reference"])
            groups.setdefault(cell, {}).setdefault(reference, []).append(record)
    return groups


def _rest(setting: str, fields: Mapping[str, object]) -> str:
    """A setting's text without its reference and the number of its draws."""
    for name in ("reference", "draws"):
        setting = setting.replace(f"{name}={fields.get(name)}", "")
    return " ".join(setting.split())


def _table(
    group: Mapping[str, Sequence[Record]], methods: Sequence[str]
) -> Float[np.ndarray, "k references"]:
    return np.stack([mean_scores(records, methods) for records in group.values()], axis=1)


def _draw_taus(
    axes: Axes, table: Float[np.ndarray, "k references"], rows: Sequence[str], most: int
) -> None:
    """The lower triangle, its columns below those of the heat map, in rows of equal height."""
    whole = table[np.isfinite(table).all(axis=1)]
    found = taus(whole.T[:, None]) if len(whole) > 1 else np.full((table.shape[1],) * 2, np.nan)
    found[np.triu_indices(len(found), 1)] = np.nan
    heat_map(axes, found, rows, [], colours=MATRIX)
    axes.set_ylim(most, 0)

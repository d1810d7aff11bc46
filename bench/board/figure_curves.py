"""What the model says as features are deleted, or kept alone: means over instances."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bench.board.panels import (
    INK,
    SOFT,
    Curve,
    Sketch,
    array,
    band,
    by_rank,
    coloured,
    drawing,
    entitle,
    headed,
    left_out,
    legend,
    problems_of,
    settings_in_short,
)
from bench.record import Record

SIDES = ("deletion", "inclusion")
PAIRS, ACROSS = 8, 2
"""Problems drawn at most, and how many stand in a row."""


def deletion_and_inclusion(records: Sequence[Record]) -> Iterator[Sketch]:
    """Two panels a problem, some methods in colour, all others grey; the optimum's and chance's."""
    records = [r for r in records if all(_curves([r], side, "method") for side in SIDES)]
    if not records:
        return
    problems, texts = problems_of(records, PAIRS), settings_in_short(records)
    across = min(ACROSS, len(problems))
    rows = -(-len(problems) // across)
    figure = drawing(2 * 2.55 * across + 2.1, 2.45 * rows + 0.3)
    axes = figure.subplots(rows, 2 * across, squeeze=False)
    for unused in axes.flat[2 * len(problems) :]:
        unused.set_axis_off()
    methods = coloured(records)
    for i, ((setting, dataset, model), group) in enumerate(problems.items()):
        pair = axes.flat[2 * i : 2 * i + 2]
        for panel, side in zip(pair, SIDES, strict=True):
            _draw_side(panel, side, group, methods)
        entitle(pair[0], *headed(dataset, model, texts[setting]))
        entitle(pair[1], "", "")
    legend(figure, axes.flat, ["ideal", *(method for method, _ in methods), "chance"])
    missing = len(problems_of(records)) - len(problems)
    yield Sketch(
        "deletion_inclusion",
        "Deletion and inclusion.",
        "What the model says of its prediction as the features that a method calls most "
        "influential are deleted first (lower is better), or kept alone (higher is better): the "
        "mean over instances and seeds, with bands of one standard error over seeds. Grey: all "
        "other methods." + left_out(missing),
        figure,
    )


def _draw_side(
    axes: Axes, side: str, records: Sequence[Record], methods: Sequence[tuple[str, Any]]
) -> None:
    named = {method for method, _ in methods}
    for method in by_rank(records):
        own = _curves([r for r in records if r.method == method], side, "method")
        if method not in named and own:
            mean = np.mean([y for x, y in own if len(x) == len(own[0][0])], axis=0)
            axes.plot(own[0][0], mean, color=SOFT, lw=0.6, alpha=0.6, zorder=1)
    # All methods of a seed share the ideal and chance: they count once.
    by_seed = list({record.seed: record for record in records}.values())
    if ideal := _curves(by_seed, side, "ideal"):
        mean = np.mean([y for x, y in ideal if len(x) == len(ideal[0][0])], axis=0)
        axes.plot(ideal[0][0], mean, label="ideal", color=INK, lw=5, alpha=0.22, zorder=1.5)
    if chance := _curves(by_seed, side, "chance"):
        band(axes, chance, "chance", INK, ":")
    for method, colour in reversed(methods):
        own = _curves([r for r in records if r.method == method], side, "method")
        if own:
            band(axes, own, method, colour)
    done = "deleted" if side == "deletion" else "kept"
    axes.set(xlabel=f"share of features {done}", xlim=(0, 1))
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _curves(records: Sequence[Record], side: str, name: str) -> list[Curve]:
    """(share of features, F) of each record that has the curve."""
    found = []
    for record in records:
        curves = record.details.get("curves")
        both = curves.get(side) if isinstance(curves, Mapping) else None
        values = array(both.get(name)) if isinstance(both, Mapping) else None
        if values is not None and len(values) > 1:
            found.append((np.linspace(0, 1, len(values)), values))
    return found

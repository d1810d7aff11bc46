"""Where the error of SGD-influence comes from, with the Hessian and without it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.board.panels import (
    COLOURS,
    INK,
    Problem,
    Sketch,
    drawing,
    headed,
    left_out,
    problems_of,
    settings_in_short,
    short,
)
from bench.board.rows import number
from bench.record import Record

ESTIMATES = ("SGD-influence", "no Hessian")
PARTS = {
    "read_out": "loss taken for linear",
    "cross_epoch": "epochs taken one by one",
    "step": "steps taken for linear, jumps at kinks",
    "curvature": "curvature left out",
}
PROBLEMS = 12
"""Drawn at most."""
MOST = 400.0
"""Percent at which a bar of parts that make up for each other is cut."""
COLOUR_OF = dict(zip(PARTS, (COLOURS[i] for i in (9, 2, 1, 7)), strict=True))

Bars = dict[str, dict[str, float]]
"""Estimate -> part -> its share in the relative error."""


def error_split(records: Sequence[Record]) -> Iterator[Sketch]:
    """Two stacked bars a problem; nothing where no record holds the split."""
    known = {cell: bars for cell, g in problems_of(records).items() if (bars := mean_bars(g))}
    drawn = dict(list(known.items())[:PROBLEMS])
    if not drawn:
        return
    figure = drawing(10.5, 0.8 * len(drawn) + 1.3)
    axes = figure.subplots()
    extents = [_draw(axes, 2.6 * i, bars) for i, bars in enumerate(drawn.values())]
    low, high = min(e[0] for e in extents), max(e[1] for e in extents)
    axes.set_xticks([t for t in MaxNLocator(6).tick_values(low, high) if low - 10 < t <= high])
    axes.set_xlim(low - 0.03 * (high - low), high + 0.42 * (high - low))
    axes.set_ylim(2.6 * len(drawn) - 0.9, -0.7)
    texts = settings_in_short(records)
    axes.set_yticks([2.6 * i + 0.5 for i in range(len(drawn))], [_name(c, texts) for c in drawn])
    axes.axvline(0, color=INK, lw=1)
    axes.set_xlabel("% of the estimate's error")
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=colour, label=PARTS[part]) for part, colour in COLOUR_OF.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=9)
    yield Sketch(
        "error_split",
        "Where the error of influence comes from.",
        "From the truth to the estimate one simplification is made after the other. What each "
        "adds to the error, in percent of it: the parts add up to 100, and one that makes up for "
        "another lies left of 0. Beside a bar the relative error, |truth \N{MINUS SIGN} estimate| "
        "/ |truth| over fifty random rows, or all of fewer. Means over seeds."
        + left_out(len(known) - len(drawn)),
        figure,
    )


def mean_bars(records: Sequence[Record]) -> Bars:
    """Means over the seeds, of which all methods share one split each."""
    by_seed: dict[int, Bars] = {}
    for record in records:
        if split := _split(record):
            by_seed.setdefault(record.seed, split)
    bars = {}
    for estimate in ESTIMATES:
        rows = [split[estimate] for split in by_seed.values() if estimate in split]
        parts = [part for part in PARTS if all(part in row for row in rows)]
        if rows and parts:
            bars[estimate] = {part: float(np.mean([row[part] for row in rows])) for part in parts}
    return {estimate: mean for estimate, mean in bars.items() if sum(mean.values()) > 0}


def _split(record: Record) -> Bars:
    """A record's own: the parts that are numbers, where they add up to an error."""
    held = record.details.get("error_split")
    if not isinstance(held, Mapping):
        return {}
    found = {}
    for estimate in ESTIMATES:
        parts = held.get(estimate)
        if isinstance(parts, Mapping):
            numbers = {part: number(parts.get(part)) for part in PARTS}
            found[estimate] = {part: x for part, x in numbers.items() if math.isfinite(x)}
    return {estimate: parts for estimate, parts in found.items() if sum(parts.values()) > 0}


def _draw(axes: Axes, top: float, bars: Bars) -> tuple[float, float]:
    """The bars from `top` down; from where to where they reach."""
    low = high = 0.0
    for estimate, parts in bars.items():
        y, error = top + ESTIMATES.index(estimate), sum(parts.values())
        ends = [0.0, 0.0]
        for part, size in parts.items():
            way = int(size > 0)
            start, ends[way] = ends[way], ends[way] + 100 * size / error
            left, right = np.clip(sorted((start, ends[way])), -MOST, MOST)
            axes.barh(y, right - left, 0.8, left=left, color=COLOUR_OF[part], lw=0)
        low, high = max(-MOST, min(low, ends[0])), min(MOST, max(high, ends[1]))
        text = f"{estimate}: relative error {short(f'{error:.2f}', 9)}"
        beside: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8.5}
        axes.annotate(text, (min(ends[1], MOST), y), (5, 0), **beside)
    return low, high


def _name(cell: Problem, settings: Mapping[str, str]) -> str:
    setting, dataset, model = cell
    title, subtitle = headed(dataset, model, settings[setting])
    return f"{short(title)}\n{short(subtitle, 36)}"

"""Do companions of several seeds cover the same rows?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes

from bench.board.panels import COLOURS, Grid, Sketch, by_rank, left_out, problems_of, score, short
from bench.record import Record

MOST = 1 << 14
"""Rows of a record's sample that are read at most."""


def stability(records: Sequence[Record]) -> Iterator[Sketch]:
    """A bar a method: how alike the rows are that two seeds cover; nothing for single seeds."""
    held = [r for r in records if covered(r) is not None]
    if not any(math.isfinite(alike(own)) for own in _by_method(held).values()):
        return
    methods = by_rank(held)[::-1]
    grid = Grid(held, width=3.6, height=0.9 + 0.24 * len(methods))
    for panel in grid.panels:
        found = _by_method(panel.records)
        for place, method in enumerate(methods):
            _bar(panel.axes, place, found.get(method, []))
        panel.axes.set_yticks(range(len(methods)), [short(m) for m in methods], fontsize=8)
        panel.axes.set_xlim(0, 1.32)
        panel.axes.set_xticks([0, 0.5, 1])
        panel.axes.grid(False, axis="y")
    grid.label("Jaccard index of the covered rows", "")
    yield Sketch(
        "stability",
        "How alike the companions of several seeds are.",
        "Rows that two seeds' lists both cover over those that either covers, in the mean over "
        "pairs, on rows that are the same for all seeds; at the right the transparency T of the "
        "whole list, mean and standard deviation over seeds. Seeds differ in split, black box and "
        f"search.{left_out(grid.missing)}",
        grid.drawing,
    )


def _bar(axes: Axes, place: int, records: Sequence[Record]) -> None:
    index = alike(records)
    if math.isnan(index):
        return
    axes.barh(place, index, color=COLOURS[0], height=0.7)
    reach = np.array([score(r, "transparency") for r in records])
    if np.isfinite(reach).sum() > 1:
        text = f"T {np.nanmean(reach):.2f} \u00b1 {np.nanstd(reach, ddof=1):.2f}"
        axes.text(1.03, place, text, va="center", fontsize=8)


def _by_method(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.method, []).append(record)
    return found


def alike(records: Sequence[Record]) -> float:
    """The mean Jaccard index over pairs of one problem's records; NaN without a pair."""
    by_problem = problems_of(records)
    found = [
        jaccard([bits for r in own if (bits := covered(r)) is not None])
        for own in by_problem.values()
    ]
    return float(np.mean(found)) if found else math.nan


def covered(record: Record) -> Bool[np.ndarray, " rows"] | None:
    """Which of the sample's rows a record's list covers; None where it doesn't say."""
    told = record.details.get("covered")
    rows, bits = (told.get("rows"), told.get("bits")) if isinstance(told, Mapping) else (0, 0)
    if type(rows) is not int or not 0 < rows <= MOST or not isinstance(bits, str):
        return None
    try:
        packed = np.frombuffer(bytes.fromhex(bits), dtype=np.uint8)
    except ValueError:
        return None
    if len(packed) != -(-rows // 8):
        return None
    return np.unpackbits(packed, count=rows).astype(bool)


def jaccard(sets: Sequence[np.ndarray]) -> float:
    """Mean over pairs of sets over the same rows, 1 for two empty ones; NaN without a pair."""
    pairs = [(a, b) for a, b in combinations(sets, 2) if len(a) == len(b)]
    found = [float((a & b).sum() / (a | b).sum()) if (a | b).any() else 1.0 for a, b in pairs]
    return float(np.mean(found)) if found else math.nan

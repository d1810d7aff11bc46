"""The most harmful and the most helpful training rows themselves: pictures, or lines of text."""

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.board.agreement import CONTROLS
from bench.board.figure_maps import bare, enlarged, in_colour
from bench.board.panels import (
    COLOURS,
    INK,
    TRUTH,
    Problem,
    Sketch,
    by_rank,
    drawing,
    left_out,
    problems_of,
    short,
)
from bench.board.table import printable
from bench.record import Record

FIGURES, EACH = 4, 6
"""Problems drawn, and rows at each end of a ranking, at most."""
EDGE = 256
"""Pixels of a picture's side, at most."""
LETTERS = 120
LINE = 0.2
"""Inches from a line of text to the next."""
KINDS = {"harmful": "most harmful", "helpful": "most helpful"}
WRONG = COLOURS[3]


@dataclass(frozen=True)
class Exhibit:
    """A training row: its label, the right one where another, and its picture or its text."""

    label: str
    truly: str
    text: str
    pixels: UInt8[np.ndarray, "channels height width"] | None


Shown = dict[str, list[Exhibit]]
"""Kind -> rows, the most extreme first."""


def exhibits(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure a problem, of its first seed: the best method, and the true leave-one-out."""
    held = [r for r in records if shown(r)]
    known = problems_of(held)
    for i, (cell, group) in enumerate(problems_of(held, FIGURES).items()):
        missing = len(known) - FIGURES if not i else 0
        yield _figure(cell, _chosen(group), i, missing)


def shown(record: Record) -> Shown:
    """What a record holds of rows to be shown; what can't be read is left out."""
    rows = record.details.get("exhibits")
    found: Shown = {}
    for row in rows if isinstance(rows, list) else []:
        kind = row.get("kind") if isinstance(row, Mapping) else None
        if kind in tuple(KINDS) and (exhibit := _exhibit(row)):
            found.setdefault(kind, []).append(exhibit)
    return {kind: found[kind][:EACH] for kind in KINDS if kind in found}


def _exhibit(row: Mapping[str, Any]) -> Exhibit | None:
    pixels = unpacked(row.get("picture"))
    label, truly, text = (_text(row.get(name)) for name in ("label", "truly", "text"))
    told = pixels is not None or isinstance(row.get("text"), str)
    return Exhibit(label, truly, text, pixels) if told else None


def _text(value: Any) -> str:
    return printable(short(value, LETTERS)) if isinstance(value, str) else ""


def unpacked(picture: Any) -> UInt8[np.ndarray, "channels height width"] | None:
    """The pixels of a record's picture; None where it is none, or larger than it says."""
    shape, packed = (
        (picture.get("shape"), picture.get("zlib")) if isinstance(picture, Mapping) else (0, 0)
    )
    if not (isinstance(shape, list) and len(shape) == 3 and isinstance(packed, str)):
        return None
    if not all(type(edge) is int and 1 <= edge <= EDGE for edge in shape) or shape[0] not in (1, 3):
        return None
    size = int(np.prod(shape))
    try:
        found = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), size + 1)
    except (ValueError, zlib.error):
        return None
    return np.frombuffer(found, dtype=np.uint8).reshape(shape) if len(found) == size else None


def _chosen(group: Sequence[Record]) -> list[Record]:
    """The best method's record of the first seed, no control where there is another; the truth's.

    The truth alone where there is nothing else.
    """
    own = {r.method: r for r in group if r.seed == min(r.seed for r in group)}
    others = [m for m in by_rank(group) if m in own and m != TRUTH]
    honest = [m for m in others if m.split(" ")[0] not in CONTROLS]
    names = [*(honest or others)[:1], *([TRUTH] if TRUTH in own else [])]
    return [own[name] for name in names]


def _figure(cell: Problem, records: Sequence[Record], place: int, missing: int) -> Sketch:
    setting, dataset, model = cell
    rows = [(record, shown(record)) for record in records]
    pictures = any(e.pixels is not None for _, kinds in rows for es in kinds.values() for e in es)
    return Sketch(
        "exhibits" if not place else f"exhibits_{place + 1}",
        "Which rows they are.",
        f"{dataset}, {model}, {setting}, seed {records[0].seed}: the training rows that a method "
        "calls most harmful and most helpful, the most extreme first, with the labels that were "
        "trained on; in orange those that are known to be wrong. The best method by the task's "
        f"first score, and the true leave-one-out where it was computed.{left_out(missing)}",
        _pictures(rows) if pictures else _lines(rows),
    )


def _pictures(rows: Sequence[tuple[Record, Shown]]) -> Drawing:
    """A row a method: the harmful at the left, the helpful at the right."""
    height = 1.42 * len(rows)
    figure = drawing(12.4, height)
    figure.set_layout_engine("none")
    axes = figure.subplots(
        len(rows),
        2 * EACH + 1,
        squeeze=False,
        width_ratios=[1.0] * EACH + [0.25] + [1.0] * EACH,
        gridspec_kw={
            **{"left": 0.003, "right": 0.997, "wspace": 0.06},
            **{"top": 1 - 0.25 / height, "bottom": 0.36 / height, "hspace": 0.72},
        },
    )
    for line, (record, kinds) in zip(axes, rows, strict=True):
        for panel in line:
            panel.set_axis_off()
        for kind, start in zip(KINDS, (0, EACH + 1), strict=True):
            for panel, exhibit in zip(line[start:], kinds.get(kind, []), strict=False):
                _draw_picture(panel, exhibit)
            line[start].set_title(f"{short(record.method)}: {KINDS[kind]}", fontsize=9.5)
    return figure


def _draw_picture(axes: Axes, exhibit: Exhibit) -> None:
    """A picture with its label; an orange frame where the label is known to be wrong."""
    if exhibit.pixels is None:
        return
    axes.set_axis_on()
    bare(axes)
    axes.imshow(enlarged(in_colour({"pixels": exhibit.pixels})), interpolation="none")
    below = f"truly {short(exhibit.truly, 12)}" if exhibit.truly else " "
    axes.set_xlabel(f"{short(exhibit.label, 16)}\n{below}", fontsize=8, labelpad=2)
    if exhibit.truly:
        axes.spines[:].set(color=WRONG, linewidth=1.4)
        axes.xaxis.label.set_color(WRONG)


def _lines(rows: Sequence[tuple[Record, Shown]]) -> Drawing:
    """A table a method: a line a row, its label and what tells it from others."""
    count = sum(len(exhibits) + 1.6 for _, kinds in rows for exhibits in kinds.values())
    figure = drawing(11.4, LINE * count + 0.2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    axes.set(xlim=(0, 1), ylim=(count + 0.3, 0.1))
    axes.set_axis_off()
    y = 1.0
    widest = max(len(_label(e)) for _, kinds in rows for es in kinds.values() for e in es)
    for record, kinds in rows:
        for kind, exhibits in kinds.items():
            _write(axes, 0, y, f"{short(record.method)}: {KINDS[kind]}", fontweight="bold")
            for y_row, exhibit in enumerate(exhibits, start=1):
                colour = WRONG if exhibit.truly else INK
                _write(axes, 0.01, y + y_row, _label(exhibit), color=colour)
                _write(axes, 0.04 + 0.0064 * widest, y + y_row, exhibit.text or "(empty)")
            y += len(exhibits) + 1.6
    return figure


def _label(exhibit: Exhibit) -> str:
    if not exhibit.truly:
        return short(exhibit.label)
    return f"{short(exhibit.label, 20)}, truly {short(exhibit.truly, 20)}"


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, fontsize=8.5, va="center", **style)

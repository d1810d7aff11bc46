"""What methods call influential, drawn over the images: a row an instance, a column a method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from bench.board.panels import (
    GRID,
    INK,
    Sketch,
    array,
    by_rank,
    chosen,
    drawing,
    left_out,
    problems_of,
    short,
)
from bench.record import Record

FIGURES, ROWS, COLUMNS = 4, 6, 9
"""Data sets, instances and methods drawn at most."""
SIDE = 140
"""Pixels that an image is enlarged to at least, so that no viewer smooths its squares."""
DIVERGING = sns.diverging_palette(245, 30, s=95, l=52, as_cmap=True)


def attribution_maps(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure for each data set with images, of its first setting and seed."""
    problems = problems_of([r for r in records if _images(r)])
    firsts: dict[tuple[str, str], list[Record]] = {}
    for (_, *data), group in problems.items():
        firsts.setdefault((data[0], data[1]), group)
    drawn = list(firsts.values())[:FIGURES]
    for i, group in enumerate(drawn):
        yield _maps(group, i, len(problems) - len(drawn))


def _maps(group: Sequence[Record], place: int, missing: int) -> Sketch:
    first = group[0]
    own = {r.method: r for r in group if r.seed == first.seed}
    methods = chosen(by_rank([r for r in group if r.method in own]), COLUMNS)
    images = _images(first)[:ROWS]
    # A sheet that fits the page however few methods or instances there are.
    figure = drawing(1.02 * (len(methods) + 1) + 0.3, 1.17 * len(images) + 0.5)
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.03)
    axes = figure.subplots(len(images), len(methods) + 1, squeeze=False)
    for row, image in enumerate(images):
        bare(axes[row, 0])
        axes[row, 0].imshow(enlarged(in_colour(image)), interpolation="none")
        axes[row, 0].set_xlabel(f"class {image.get('target', '?')}", fontsize=8, labelpad=2)
        for column, method in enumerate(methods, start=1):
            _draw_map(axes[row, column], image, own[method], row)
    axes[0, 0].set_title("image", fontsize=8, fontweight="normal")
    for panel, method in zip(axes[0, 1:], methods, strict=True):
        panel.set_title(_in_lines(method), fontsize=8, fontweight="normal")
    return Sketch(
        "maps" if not place else f"maps_{place + 1}",
        "Attribution maps.",
        f"{first.dataset}, {first.model}, {first.setting}, seed {first.seed}; methods from the "
        "best to the worst, below each map its ideal influence. Orange: influential for the "
        "prediction; blue: against it; each map has its own scale."
        + (left_out(missing) if not place else ""),
        figure,
    )


def _images(record: Record) -> list[Mapping[str, Any]]:
    """The instances of a record that can be drawn."""
    shown, instance = record.details.get("shown"), record.details.get("instance")
    if not isinstance(shown, list) or not isinstance(instance, Mapping):
        return []
    return [s for s in shown if isinstance(s, Mapping) and s.get("pixels")]


def _draw_map(axes: Axes, image: Mapping[str, Any], record: Record, row: int) -> None:
    bare(axes)
    heat = _heat(image, record, row)
    if heat is None:
        axes.set_axis_off()
        return
    least = 0.42 if len(image["pixels"]) == 1 else 0.6  # photographs are dark all over
    axes.imshow(enlarged(_tinted(heat, _light(image), least)), interpolation="none")
    scores = array(record.details.get("ideal_influence"))
    score = scores[row] if scores is not None and row < len(scores) else np.nan
    text = "undefined" if np.isnan(score) else f"{score:z.2f}".replace("-", "\N{MINUS SIGN}")
    axes.set_xlabel(text, fontsize=8, labelpad=2)


def _heat(image: Mapping[str, Any], record: Record, row: int) -> Float[np.ndarray, "h w"] | None:
    """The value of each pixel's feature, from -1 to 1; None where the record hasn't this row."""
    rows = record.details.get("values")
    values = array(rows[row]) if isinstance(rows, list) and row < len(rows) else None
    membership = image.get("membership", record.details["instance"].get("membership"))
    if values is None or membership is None:
        return None
    feature = _of_pixel(np.asarray(membership, dtype=int), row)
    heat: np.ndarray = values[feature]
    return heat / (np.nanmax(np.abs(values)) or 1.0)


def _of_pixel(membership: Int[np.ndarray, "..."], row: int) -> Int[np.ndarray, "h w"]:
    """The feature of each pixel, whose channels share one: instances x channels x h x w or less."""
    if membership.ndim == 4:
        membership = membership[row]
    return membership[0] if membership.ndim == 3 else membership


def in_colour(image: Mapping[str, Any]) -> Float[np.ndarray, "h w 3"]:
    """An image's `pixels`, channels first, from 0 to 255; one channel as ink on paper."""
    pixels = np.asarray(image["pixels"], dtype=float) / 255
    if len(pixels) == 3:
        return np.clip(np.moveaxis(pixels, 0, 2), 0, 1)
    return np.repeat(_light(image)[..., None], 3, axis=2)


def _light(image: Mapping[str, Any]) -> Float[np.ndarray, "h w"]:
    """Lightness from 0 to 1; light strokes on a dark ground become ink on paper."""
    pixels = np.asarray(image["pixels"], dtype=float) / 255
    grey: np.ndarray = np.clip(pixels.mean(axis=0), 0, 1)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 1 - grey if len(pixels) == 1 and np.median(edge) < 0.5 else grey


def _tinted(
    heat: Float[np.ndarray, "h w"], light: Float[np.ndarray, "h w"], least: float
) -> Float[np.ndarray, "h w 3"]:
    """The map's colours, darker where the image is dark: `least` of their light where black."""
    colours = DIVERGING(0.5 + 0.5 * np.nan_to_num(heat))[..., :3]
    tinted: np.ndarray = colours * (least + (1 - least) * light[..., None])
    return tinted


def enlarged(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "H W 3"]:
    """Of `SIDE` pixels or more, each a square."""
    times = max(1, -(-SIDE // max(image.shape[:2])))
    return np.repeat(np.repeat(image, times, axis=0), times, axis=1)


def bare(axes: Axes) -> None:
    """A thin frame, and nothing on it."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=GRID, linewidth=0.6)
    axes.xaxis.label.set_color(INK)


def _in_lines(name: str, most: int = 12) -> str:
    """A name broken at underscores and spaces into lines of about so many letters."""
    lines = [""]
    for part in short(name, 3 * most).replace("_", "_\n").replace(" ", " \n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)

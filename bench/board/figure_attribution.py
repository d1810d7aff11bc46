"""One instance: what methods call influential in it, and what deleting or keeping that does."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from bench.board.panels import INK, SOFT, Sketch, array, coloured, drawing, short
from bench.record import Record

DIVERGING = sns.diverging_palette(240, 40, s=90, l=60, as_cmap=True)

Instance = Mapping[str, Any]


def deletion_and_inclusion(records: Sequence[Record]) -> Sketch | None:
    """Both curves, and each method's attribution on the image; None where no record has them.

    An image is drawn where there is one, else the curves alone.
    """
    records = [r for r in records if _instance(r)]
    images = [r for r in records if "pixels" in _instance(r)]
    if not records:
        return None
    first = (images or records)[0]
    place = (first.setting, first.dataset, first.model, first.seed)
    same = {
        r.method: _instance(r) for r in records if (r.setting, r.dataset, r.model, r.seed) == place
    }
    ranked = coloured([r for r in records if r.method in same])
    methods = [(method, colour, same[method]) for method, colour in ranked]
    figure = drawing(8.8, 4.9 if images else 3.2)
    rows = figure.add_gridspec(2, 1, height_ratios=[2.2, 1]) if images else figure.add_gridspec()
    above = rows[0].subgridspec(1, 2)
    for i, name in enumerate(("deletion", "inclusion")):
        axes = figure.add_subplot(above[i])
        _draw_orders(axes, name, _instance(first), methods)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    if images:
        pixels = _grey(_instance(first)["pixels"])
        below = rows[1].subgridspec(1, len(methods) + 1)
        axes = figure.add_subplot(below[0])
        axes.set_title(f"target {_instance(first).get('target', '?')}", fontsize=8.5)
        _draw_image(axes, pixels, None)
        for i, (method, colour, instance) in enumerate(methods, start=1):
            axes = figure.add_subplot(below[i])
            axes.set_title(_in_two_lines(short(method, 20)), fontsize=8.5, color=colour)
            _draw_image(axes, pixels, _heat(instance))
    return Sketch(
        "deletion_inclusion",
        "One instance: deletion and inclusion.",
        f"{first.dataset}, {first.model}, {first.setting}, seed {first.seed}: what the model says "
        "of the target as the most influential features are deleted, or kept alone."
        + (" Orange: influential for the target; blue: against it." if images else ""),
        figure,
    )


def _instance(record: Record) -> Instance:
    """The drawn instance in a record's details; empty where it lacks what is drawn."""
    found = record.details.get("instance")
    if isinstance(found, Mapping) and {"deletion", "inclusion"} <= found.keys():
        return found
    return {}


def _draw_orders(
    axes: Axes, name: str, instance: Instance, methods: Sequence[tuple[str, Any, Instance]]
) -> None:
    def plot(values: Any, **style: Any) -> None:
        numbers = array(values)
        if numbers is not None:
            axes.plot(np.linspace(0, 1, len(numbers)), numbers, **style)

    plot(instance[name].get("ideal"), label="ideal", color=INK, lw=4.5, alpha=0.3)
    plot(instance[name].get("chance"), label="chance", color=SOFT, lw=1.4, ls="--")
    for method, colour, own in methods:
        plot(own[name].get("method"), label=short(method), color=colour, lw=1.6)
    done = "deleted" if name == "deletion" else "kept"
    axes.set(xlabel=f"share of features {done}, most influential first", title=name, xlim=(0, 1))
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_image(axes: Axes, pixels: Float[np.ndarray, "h w"], heat: Any) -> None:
    """Each pixel a square as large as it is dark, so that the heat below it stays visible."""
    if heat is not None:
        top = np.abs(heat).max() or 1.0
        axes.imshow(heat, cmap=DIVERGING, vmin=-top, vmax=top)
    sides = np.sqrt(pixels) * (1 if heat is None else 0.62)
    squares = [
        Rectangle((x - side / 2, y - side / 2), side, side)
        for (y, x), side in np.ndenumerate(sides)
        if side > 0
    ]
    axes.add_collection(PatchCollection(squares, color=INK, lw=0))
    height, width = pixels.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.grid(visible=False)


def _heat(instance: Instance) -> Float[np.ndarray, "h w"] | None:
    """The attribution of each pixel's feature."""
    values, membership = array(instance.get("values")), instance.get("membership")
    if values is None or membership is None:
        return None
    feature = np.asarray(membership, dtype=int)
    heat: np.ndarray = values[feature[0] if feature.ndim == 3 else feature]
    return heat


def _grey(pixels: Any) -> Float[np.ndarray, "h w"]:
    """From 0 to 1, of an image given as channels x height x width."""
    grey = np.asarray(pixels, dtype=float).mean(0)
    scaled: np.ndarray = (grey - grey.min()) / ((grey.max() - grey.min()) or 1.0)
    return scaled


def _in_two_lines(name: str) -> str:
    """A long name broken at the underscore nearest to its middle."""
    breaks = [i for i, letter in enumerate(name) if letter == "_"]
    if len(name) < 13 or not breaks:
        return name
    cut = min(breaks, key=lambda i: abs(i - len(name) / 2)) + 1
    return f"{name[:cut]}\n{name[cut:]}"

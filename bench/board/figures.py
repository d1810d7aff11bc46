"""Figures of a suite, drawn from its records alone; one whose details are missing is left out."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bench.board.rows import metrics_of, number
from bench.board.statistics import interval, mean_over
from bench.record import Record

log = logging.getLogger(__name__)

INK, GRID, SOFT = "#23272b", "#e2e2de", "#8b9096"
COLOURS = sns.color_palette("colorblind", 10)
LINES = 6
"""Methods drawn as curves in one panel, spread evenly over the ranking."""
MOST = 5
"""Data sets beside, and settings below each other, at most."""

STYLE = {
    **{name: INK for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")},
    **{"axes.edgecolor": GRID, "grid.color": GRID, "xtick.bottom": False, "ytick.left": False},
    **{"font.size": 10, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.labelsize": 10},
    **{"axes.titlelocation": "left", "figure.facecolor": "none", "axes.facecolor": "none"},
    **{"legend.frameon": False, "svg.hashsalt": "earnest", "savefig.facecolor": "white"},
}

Details = Mapping[str, Any]
Curve = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its task, its files (`svg`, and `png` beside it), its width in pixels."""

    task: str
    title: str
    caption: str
    svg: Path
    width: int


@dataclass(frozen=True)
class Sketch:
    """A figure before it is saved."""

    name: str
    title: str
    caption: str
    drawing: Drawing


def draw(records: Sequence[Record], folder: Path) -> list[Figure]:
    """Draw all figures that the records allow, as SVG and PNG, into `folder`."""
    drawn = []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE}):
        for task in metrics_of(records):
            done = [r for r in records if r.task == task and r.status == "ok"]
            for sketch in filter(None, map(_tried, _sketchers(task), [done] * 2)):
                drawn.append(_saved(sketch, task, folder))
    return drawn


def _sketchers(task: str) -> tuple[Callable[[Sequence[Record]], Sketch | None], ...]:
    special = {
        "attribution": deletion_and_inclusion,
        "cleansing": removal,
        "companion": transparency,
    }
    return (by_method, special[task]) if task in special else (by_method,)


def _tried(
    sketcher: Callable[[Sequence[Record]], Sketch | None], records: Sequence[Record]
) -> Sketch | None:
    """A picture must not stop the numbers: what a stranger's details do to it is a warning."""
    try:
        return sketcher(records) if records else None
    except Exception as error:
        log.warning("figure %s left out: %s: %s", sketcher.__name__, type(error).__name__, error)
        return None


def _saved(sketch: Sketch, task: str, folder: Path) -> Figure:
    name = re.sub(r"[^\w-]+", "_", f"{task}_{sketch.name}")
    svg = folder / f"{name}.svg"
    sketch.drawing.savefig(svg, facecolor="none", metadata={"Date": None})
    sketch.drawing.set_layout_engine("none")  # it is laid out: once is enough
    sketch.drawing.savefig(folder / f"{name}.png", dpi=150)
    width = int(sketch.drawing.get_size_inches()[0] * 96)
    return Figure(task, sketch.title, sketch.caption, svg, width)


def by_method(records: Sequence[Record]) -> Sketch | None:
    """The headline score of every method: seeds as points, mean and interval over them."""
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    scored = [(r, number(r.scores.get(metric, {}).get("value"))) for r in records]
    scored = [(r, value) for r, value in scored if not math.isnan(value)]
    if not scored:
        return None
    methods = _ranked([r for r, _ in scored])
    panels = _Grid([r for r, _ in scored], width=3.1, height=0.6 + 0.24 * len(methods))
    for axes, cell in panels:
        for y, method in enumerate(methods):
            values = np.array([v for r, v in scored if cell(r) and r.method == method])
            if values.size:
                _draw_seeds(axes, y, values)
        axes.set(ylim=(len(methods) - 0.4, -0.6), xlabel=metric)
        axes.set_yticks(range(len(methods)), methods if panels.leftmost(axes) else [])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
        if info.get("direction") == "higher" and (info.get("range") or [0])[0] == -1:
            axes.axvline(0, color=SOFT, lw=1)
    return Sketch(
        "by_method",
        f"{metric} by method.",
        "Small points are seeds, the large point their mean, the line its 95 % interval "
        "(Student t).",
        panels.drawing,
    )


def _draw_seeds(axes: Axes, y: int, values: Curve) -> None:
    mean, low, high = interval(
        values, np.zeros(len(values), dtype=int), rng=np.random.default_rng(0)
    )
    axes.plot(values, np.full(len(values), y + 0.22), ".", ms=4, color=SOFT, alpha=0.7, mew=0)
    axes.plot([low, high], [y, y], color=COLOURS[0], lw=2.5, alpha=0.45, solid_capstyle="round")
    axes.plot([mean], [y], "o", ms=5.5, color=COLOURS[0], mew=0)


def removal(records: Sequence[Record]) -> Sketch | None:
    """Test accuracy as the rows that a method calls harmful are removed."""
    records = [r for r in records if _curves(r, "removed", "accuracy") is not None]
    if not records:
        return None
    panels = _Grid(records, width=3.6, height=2.7)
    for axes, cell in panels:
        shown = [r for r in records if cell(r)]
        axes.axhline(0, color=SOFT, lw=1)
        random = [c for r in shown if (c := _curves(r, "removed", "accuracy_random")) is not None]
        if random:
            _band(axes, _by_share(shown, random), "at random", SOFT, "--")
        for method, colour in _coloured(records):
            own = [r for r in shown if r.method == method]
            curves = [c for r in own if (c := _curves(r, "removed", "accuracy")) is not None]
            if curves:
                _band(axes, _by_share(own, curves), method, colour)
        axes.set_xscale("function", functions=(_root, np.square))
        ticks = _by_share(shown, [_require(_curves(shown[0], "removed", "accuracy"))])[0][0]
        axes.set_xticks(ticks, _spaced(ticks))
        axes.set(xlabel="% of the training rows removed", ylabel="test accuracy gained, points")
    return Sketch(
        "removal",
        "Cleansing: accuracy against what is removed.",
        "Retrained without the most harmful rows; bands are one standard error over seeds; "
        "dashed: rows removed at random.",
        panels.with_legend(),
    )


def _by_share(
    records: Sequence[Record], curves: Sequence[tuple[Curve, Curve]]
) -> list[tuple[Curve, Curve]]:
    """(percent removed, points of accuracy gained) of each curve."""
    sizes = [number(r.details.get("n_train")) for r in records]
    return [
        (100 * removed / n, 100 * (accuracy - accuracy[0]))
        for n, (removed, accuracy) in zip(sizes, curves, strict=False)
    ]


def transparency(records: Sequence[Record]) -> Sketch | None:
    """Test accuracy of a companion as its rules take over from the black box."""
    records = [r for r in records if _curves(r, "transparency", "accuracy") is not None]
    if not records:
        return None
    panels = _Grid(records, width=3.6, height=2.7)
    share = np.linspace(0, 1, 101)
    for axes, cell in panels:
        boxes = [number(r.details.get("black_box_accuracy")) for r in records if cell(r)]
        if np.isfinite(boxes).any():
            axes.axhline(np.nanmean(boxes), color=SOFT, lw=1.2, ls="--", label="black box alone")
        for method, colour in _coloured(records):
            own = [r for r in records if cell(r) and r.method == method]
            curves = [_require(_curves(r, "transparency", "accuracy")) for r in own]
            if curves:
                drawn = [(share, np.interp(share, t, a, right=np.nan)) for t, a in curves]
                _band(axes, drawn, method, colour)
        axes.set(xlabel="transparency", ylabel="test accuracy", xlim=(0, 1))
    return Sketch(
        "transparency",
        "Companions: accuracy against transparency.",
        "Share of test rows that rules decide, the default rule last; bands are one standard "
        "error over seeds.",
        panels.with_legend(),
    )


def deletion_and_inclusion(records: Sequence[Record]) -> Sketch | None:
    """One instance: what methods call influential in it, and what deleting and keeping that does."""
    records = [r for r in records if _instance(r)]
    images = [r for r in records if "pixels" in _instance(r)]
    chosen = (images or records)[:1]
    if not chosen:
        return None
    first = chosen[0]
    same = {
        r.method: r
        for r in records
        if (r.setting, r.dataset, r.model, r.seed)
        == (first.setting, first.dataset, first.model, first.seed)
    }
    methods = [(m, c) for m, c in _coloured([r for r in records if r.method in same]) if m in same]
    pictures = len(methods) + 1 if images else 0
    drawing = Drawing(figsize=(8.6, 5.0 if images else 3.2), layout="constrained")
    rows = drawing.add_gridspec(2 if images else 1, 1, height_ratios=[2.2, 1][: 2 if images else 1])
    for axes, name in zip(rows[0].subgridspec(1, 2).subplots(), ("deletion", "inclusion")):
        _draw_orders(axes, name, _instance(first), [(m, c, same[m]) for m, c in methods])
    drawing.legend(
        *drawing.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=9
    )
    if images:
        pixels = _pixels(_instance(first)["pixels"])
        tops = rows[1].subgridspec(1, pictures).subplots()
        _draw_digit(tops[0], pixels, None)
        tops[0].set_title(f"target {_instance(first).get('target', '?')}", fontsize=8.5)
        for axes, (method, colour) in zip(tops[1:], methods):
            _draw_digit(axes, pixels, _heat(_instance(same[method])))
            axes.set_title(_broken(method), fontsize=8.5, color=colour)
    return Sketch(
        "deletion_inclusion",
        "One instance: deletion and inclusion.",
        f"{first.dataset}, {first.model}, {first.setting}, seed {first.seed}: the model's output "
        "as the most influential features are deleted, or alone kept. Orange: influential for "
        "the target; blue: against it.",
        drawing,
    )


def _draw_orders(
    axes: Axes, name: str, instance: Details, methods: Sequence[tuple[str, Any, Record]]
) -> None:
    def plotted(curve: Any, **style: Any) -> None:
        values = _array(curve)
        if values is not None:
            axes.plot(np.linspace(0, 1, len(values)), values, **style)

    for method, colour, record in methods:
        plotted(_instance(record)[name].get("method"), color=colour, label=method, lw=1.6)
    plotted(instance[name].get("ideal"), color=INK, label="ideal", lw=2)
    plotted(instance[name].get("chance"), color=SOFT, label="chance", ls="--", lw=1.4)
    done = "deleted, most influential first" if name == "deletion" else "kept, most influential first"
    axes.set(xlabel=f"share of features {done}", title=name, xlim=(0, 1))


def _draw_digit(axes: Axes, pixels: Float[np.ndarray, "h w"], heat: Any) -> None:
    if heat is not None:
        top = np.abs(heat).max() or 1.0
        axes.imshow(heat, cmap=DIVERGING, vmin=-top, vmax=top)
    height, width = pixels.shape
    sides = np.sqrt(pixels) * (1 if heat is None else 0.62)
    squares = [
        Rectangle((x - side / 2, y - side / 2), side, side)
        for (y, x), side in np.ndenumerate(sides)
        if side > 0
    ]
    axes.add_collection(PatchCollection(squares, color=INK, lw=0))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.grid(visible=False)


def _broken(name: str) -> str:
    """A name in two lines where it is long."""
    middle = [i for i, letter in enumerate(name) if letter == "_"]
    if len(name) < 13 or not middle:
        return name
    cut = min(middle, key=lambda i: abs(i - len(name) / 2))
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}"


def _heat(instance: Details) -> Float[np.ndarray, "h w"] | None:
    values, membership = _array(instance.get("values")), instance.get("membership")
    if values is None or membership is None:
        return None
    where = np.asarray(membership, dtype=int)
    return values[where[0] if where.ndim == 3 else where]


def _pixels(pixels: Any) -> Float[np.ndarray, "h w"]:
    """Grey values from 0 to 1 of an image given as channels x height x width."""
    grey = np.asarray(pixels, dtype=float)
    grey = grey.mean(0) if grey.ndim == 3 else grey
    spread = grey.max() - grey.min()
    return (grey - grey.min()) / (spread or 1.0)


def _instance(record: Record) -> Details:
    """The drawn instance in a record's details; empty where it lacks what is drawn."""
    found = record.details.get("instance")
    if isinstance(found, Mapping) and {"deletion", "inclusion"} <= found.keys():
        return found
    return {}


class _Grid:
    """A panel for each setting (below each other) and data set with its model (beside)."""

    def __init__(self, records: Sequence[Record], width: float, height: float) -> None:
        self._settings = list(dict.fromkeys(r.setting for r in records))[:MOST]
        self._problems = list(dict.fromkeys((r.dataset, r.model) for r in records))[:MOST]
        self._cells = {(r.setting, r.dataset, r.model) for r in records}
        size = (width * len(self._problems) + 1.2, height * len(self._settings) + 0.3)
        self.drawing = Drawing(figsize=size, layout="constrained")
        self._axes = self.drawing.subplots(
            len(self._settings), len(self._problems), squeeze=False, sharey=False
        )

    def __iter__(self) -> Iterator[tuple[Axes, Callable[[Record], bool]]]:
        for i, setting in enumerate(self._settings):
            for j, (dataset, model) in enumerate(self._problems):
                axes = self._axes[i, j]
                if (setting, dataset, model) not in self._cells:
                    axes.set_axis_off()
                    continue
                axes.set_title(f"{dataset} · {model}")
                if len(self._settings) > 1:
                    axes.text(0, 1.0, setting, transform=axes.transAxes, va="bottom", fontsize=8)
                    axes.set_title(f"{dataset} · {model}", pad=18)

                def cell(r: Record, where: Any = (setting, dataset, model)) -> bool:
                    return (r.setting, r.dataset, r.model) == where

                yield axes, cell
                for side in ("top", "right", "left"):
                    axes.spines[side].set_visible(False)
                if not self.leftmost(axes):
                    axes.set_ylabel("")
                if i < len(self._settings) - 1:
                    axes.set_xlabel("")

    def leftmost(self, axes: Axes) -> bool:
        """Whether no panel stands to the left of this one."""
        row = next(row for row in self._axes if axes in row)
        return axes is next(a for a in row if a.axison)

    def with_legend(self) -> Drawing:
        """The drawing, with one legend for all panels."""
        labels = {
            label: handle
            for axes in self._axes.flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        self.drawing.legend(labels.values(), labels.keys(), loc="outside right upper", fontsize=9)
        return self.drawing


def _band(
    axes: Axes, curves: Sequence[tuple[Curve, Curve]], label: str, colour: Any, line: str = "-"
) -> None:
    """The mean of curves on one grid, and a band of one standard error."""
    x = curves[0][0]
    values = np.stack([y for at, y in curves if len(at) == len(x)], axis=-1)
    mean, se, _ = mean_over(values, np.zeros(values.shape[-1], dtype=int))
    axes.plot(x, mean, color=colour, lw=1.7, ls=line, label=label)
    if np.isfinite(se).any():
        axes.fill_between(x, mean - se, mean + se, color=colour, alpha=0.14, lw=0)


def _ranked(records: Sequence[Record]) -> list[str]:
    """Methods by the mean of their headline score over all problems, the best first."""
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    values: dict[str, list[float]] = {}
    for r in records:
        values.setdefault(r.method, []).append(number(r.scores.get(metric, {}).get("value")))
    sign = 1 if info.get("direction") == "lower" else -1
    return sorted(values, key=lambda m: (sign * np.nan_to_num(np.mean(values[m]), nan=sign * 1e99), m))


def _coloured(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """At most `LINES` methods, spread evenly over the ranking, each with its colour."""
    methods = _ranked(records)
    chosen = np.unique(np.linspace(0, len(methods) - 1, min(LINES, len(methods))).round())
    return [(methods[int(i)], COLOURS[k]) for k, i in enumerate(chosen)]


def _curves(record: Record, x: str, y: str) -> tuple[Curve, Curve] | None:
    """Two lists of a record's details as arrays of equal length, or None."""
    one, other = _array(record.details.get(x)), _array(record.details.get(y))
    return None if one is None or other is None or len(one) != len(other) else (one, other)


def _array(values: Any) -> Curve | None:
    if not isinstance(values, list) or not values:
        return None
    return np.array([number(value) for value in values])


def _require(curve: tuple[Curve, Curve] | None) -> tuple[Curve, Curve]:
    assert curve is not None
    return curve


def _spaced(ticks: Curve) -> list[str]:
    """Labels for ticks on an axis of square roots, none where they would touch."""
    labels, last = [], -math.inf
    for tick in ticks:
        free = math.sqrt(tick) - last > 0.1 * math.sqrt(ticks[-1])
        labels.append(f"{tick:.2g}" if free else "")
        last = math.sqrt(tick) if free else last
    return labels


def _root(x: Any) -> Any:
    return np.sqrt(np.maximum(x, 0))


DIVERGING = sns.diverging_palette(240, 40, s=90, l=60, as_cmap=True)

"""What all figures share: a style, a panel for each problem, curves with bands, colours."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.board.rows import metrics_of, number
from bench.board.statistics import mean_over
from bench.record import Record

INK, GRID, SOFT = "#23272b", "#e2e2de", "#8b9096"
COLOURS = sns.color_palette("colorblind", 10)
LINES = 6
"""Methods drawn as curves, spread evenly over the ranking."""
MOST, ACROSS = 20, 3
"""Panels in a figure, and those in a row where settings don't share their data sets, at most."""

STYLE: dict[str, Any] = {
    **{name: INK for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")},
    **{"axes.edgecolor": GRID, "grid.color": GRID, "xtick.bottom": False, "ytick.left": False},
    **{"font.size": 10, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.labelsize": 10},
    **{"axes.titlelocation": "left", "figure.facecolor": "none", "axes.facecolor": "none"},
    **{"legend.frameon": False, "svg.hashsalt": "earnest", "savefig.facecolor": "white"},
    "text.parse_math": False,  # a name with dollars is no formula
}

Curve = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Sketch:
    """A figure before it is saved."""

    name: str
    title: str
    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class Panel:
    """The axes of one problem, and its records."""

    axes: Axes
    records: tuple[Record, ...]


class Grid:
    """A panel for each setting and problem, those of one setting side by side."""

    def __init__(self, records: Sequence[Record], width: float, height: float) -> None:
        groups: dict[tuple[str, ...], list[Record]] = {}
        for record in records:
            cell = (record.setting, record.dataset, record.model)
            groups.setdefault(cell, []).append(record)
        groups = dict(list(groups.items())[:MOST])
        columns = _columns([setting for setting, *_ in groups])
        rows = -(-len(groups) // columns)
        self.drawing = drawing(width * columns + 2.0, height * rows + 0.3)
        axes = self.drawing.subplots(rows, columns, squeeze=False)
        for unused in axes.flat[len(groups) :]:
            unused.set_axis_off()
        self._firsts = list(axes[:, 0])
        self.panels = tuple(
            _panel(place, cell, group)
            for place, (cell, group) in zip(axes.flat, groups.items(), strict=False)
        )

    def is_first(self, panel: Panel) -> bool:
        """Whether no panel stands to the left of this one."""
        return panel.axes in self._firsts

    def label(self, x: str, y: str = "") -> None:
        """Name the axes, y in the first panel of each row."""
        for panel in self.panels:
            panel.axes.set(xlabel=x, ylabel=y if self.is_first(panel) else "")

    def legend(self) -> None:
        """One legend for all panels, at the right."""
        labels = {
            label: handle
            for panel in self.panels
            for handle, label in zip(*panel.axes.get_legend_handles_labels(), strict=True)
        }
        self.drawing.legend(
            list(labels.values()), list(map(short, labels)), loc="outside right upper", fontsize=9
        )


def _columns(settings: Sequence[str]) -> int:
    """How many panels stand in a row: those of one setting, where all settings have as many."""
    sizes = set(Counter(settings).values())
    rows = math.ceil(len(settings) / ACROSS)
    return sizes.pop() if len(sizes) == 1 and sizes != {1} else math.ceil(len(settings) / rows)


def _panel(axes: Axes, cell: tuple[str, ...], records: Sequence[Record]) -> Panel:
    setting, dataset, model = cell
    axes.set_title(short(f"{dataset} · {model}"), pad=15)
    axes.text(0, 1.01, short(setting, 44), transform=axes.transAxes, va="bottom", fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return Panel(axes, tuple(records))


def drawing(width: float, height: float) -> Drawing:
    """An empty figure of so many inches."""
    return Drawing(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def band(axes: Axes, curves: Sequence[Curve], label: str, colour: Any, line: str = "-") -> None:
    """The mean of curves at the same places, and a band of one standard error."""
    x = curves[0][0]
    values = np.stack([y for at, y in curves if len(at) == len(x)], axis=-1)
    mean, se, _ = mean_over(values, np.zeros(values.shape[-1], dtype=int))
    axes.plot(x, mean, color=colour, lw=1.7, ls=line, label=label)
    if np.isfinite(se).any():
        axes.fill_between(x, mean - se, mean + se, color=colour, alpha=0.14, lw=0)


def short(name: str, most: int = 28) -> str:
    """A name that leaves room for the figure."""
    return name if len(name) <= most else name[: most - 1] + "…"


def by_rank(records: Sequence[Record]) -> list[str]:
    """Methods by the mean of their headline score over all problems, the best first."""
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    values: dict[str, list[float]] = {}
    for r in records:
        values.setdefault(r.method, []).append(number(r.scores.get(metric, {}).get("value")))
    sign = 1 if info.get("direction") == "lower" else -1
    means = {method: sign * float(np.mean(v)) for method, v in values.items()}
    return sorted(means, key=lambda m: (math.isnan(means[m]), means[m], m))


def coloured(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """At most `LINES` methods, spread evenly over the ranking, each with its colour."""
    methods = by_rank(records)
    chosen = np.unique(np.linspace(0, len(methods) - 1, min(LINES, len(methods))).round())
    return [(methods[int(i)], COLOURS[k]) for k, i in enumerate(chosen)]


def curve(record: Record, x: str, y: str) -> Curve | None:
    """Two lists of a record's details as arrays of equal length, or None."""
    one, other = array(record.details.get(x)), array(record.details.get(y))
    return None if one is None or other is None or len(one) != len(other) else (one, other)


def curves(records: Sequence[Record], x: str, y: str) -> list[Curve]:
    """Those of all records that have them."""
    return [found for r in records if (found := curve(r, x, y)) is not None]


def array(values: Any) -> Float[np.ndarray, " n"] | None:
    """A list of a record's details as numbers; None where it is no list of them."""
    if not isinstance(values, list) or not values:
        return None
    return np.array([number(value) for value in values])

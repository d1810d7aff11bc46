"""What all figures share: a style, a panel for each problem, curves with bands, colours."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.board.rows import metrics_of, number
from bench.board.statistics import mean_of_finite, mean_over
from bench.record import Record

INK, GRID, SOFT = "#23272b", "#e2e2de", "#8b9096"
COLOURS = sns.color_palette("colorblind", 10)
SCORES = sns.color_palette("YlGnBu", as_cmap=True)
MATRIX = sns.diverging_palette(30, 245, s=90, l=55, as_cmap=True)
"""Colours of scores, of which more is better, and of what lies between -1 and 1."""
LINES = 6
"""Methods drawn as curves, spread evenly over the ranking."""
TRUTH = "leave_one_out"
"""The method that trains again without each row: what others are measured by."""
MOST, ACROSS = 20, 3
"""Panels in a figure, and those in a row where settings don't share their data sets, at most."""
BESIDE = 1.7
"""Inches that a legend of short names takes beside the panels."""

STYLE: dict[str, Any] = {
    **{name: INK for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")},
    **{"axes.edgecolor": GRID, "grid.color": GRID, "xtick.bottom": False, "ytick.left": False},
    **{"font.size": 10, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.labelsize": 10},
    **{"axes.titlelocation": "left", "figure.facecolor": "none", "axes.facecolor": "none"},
    **{"legend.frameon": False, "svg.hashsalt": "earnest", "savefig.facecolor": "white"},
    "text.parse_math": False,  # a name with dollars is no formula
}

Problem = tuple[str, str, str]
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
    """A panel for each setting and problem, those of one setting side by side.

    `missing` counts the problems beyond `most`, which have no panel. No row has more than
    `across`.
    """

    def __init__(
        self,
        records: Sequence[Record],
        width: float,
        height: float,
        most: int = MOST,
        across: int = ACROSS + 1,
    ) -> None:
        groups = problems_of(records, most)
        self.missing = len(problems_of(records)) - len(groups)
        texts = settings_in_short(records)
        columns = min(across, _columns([setting for setting, *_ in groups]))
        rows = -(-len(groups) // columns)
        self.drawing = drawing(width * columns + BESIDE + 0.3, height * rows + 0.3)
        axes = self.drawing.subplots(rows, columns, squeeze=False)
        for unused in axes.flat[len(groups) :]:
            unused.set_axis_off()
        self._firsts = list(axes[:, 0])
        self.panels = tuple(
            _panel(place, cell, texts[cell[0]], group)
            for place, (cell, group) in zip(axes.flat, groups.items(), strict=False)
        )

    def note(self, panel: Panel, text: str) -> None:
        """A few words at the right end of a panel's title."""
        panel.axes.set_title(text, loc="right", fontsize=8.5, fontweight="normal", pad=15)

    def is_first(self, panel: Panel) -> bool:
        """Whether no panel stands to the left of this one."""
        return panel.axes in self._firsts

    def label(self, x: str, y: str = "") -> None:
        """Name the axes, y in the first panel of each row."""
        for panel in self.panels:
            panel.axes.set(xlabel=x, ylabel=y if self.is_first(panel) else "")

    def legend(self) -> None:
        """One legend for all panels, at the right."""
        legend(self.drawing, [panel.axes for panel in self.panels])


def legend(figure: Drawing, panels: Iterable[Axes], order: Sequence[str] = ()) -> None:
    """One legend for all panels, at the right; the names in `order` first, as they stand there.

    The figure grows where long names would take the panels' room.
    """
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = [label for label in order if label in handles]
    labels += [label for label in handles if label not in labels]
    found = [handles[label] for label in labels]
    drawn = figure.legend(found, list(map(short, labels)), loc="outside right upper", fontsize=9)
    wide = drawn.get_window_extent().width / figure.dpi
    figure.set_figwidth(figure.get_figwidth() + max(0.0, wide - BESIDE))


def _columns(settings: Sequence[str]) -> int:
    """How many panels stand in a row: those of one setting, where all settings have as many."""
    sizes = set(Counter(settings).values())
    rows = math.ceil(len(settings) / ACROSS)
    together = sizes.pop() if len(sizes) == 1 else 1
    return together if 1 < together <= ACROSS + 1 else math.ceil(len(settings) / rows)


def _panel(axes: Axes, cell: Problem, setting: str, records: Sequence[Record]) -> Panel:
    _, dataset, model = cell
    entitle(axes, *headed(dataset, model, setting))
    return Panel(axes, tuple(records))


def headed(dataset: str, model: str, setting: str = "") -> tuple[str, str]:
    """Title and subtitle of a problem: fields of the model that were replaced go to the latter."""
    name, _, replaced = model.partition(" ")
    return f"{dataset} · {name}", " ".join(filter(None, [replaced, setting]))


def entitle(axes: Axes, title: str, subtitle: str) -> None:
    """A title with a small line below, above a panel without a frame."""
    axes.set_title(short(title, 32), pad=15 if subtitle else 5)
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    below = axes.annotate(short(subtitle, 46), (0, 1), (0, 4), va="bottom", fontsize=8, **place)
    # Where it is wider than its panel, the layout would make the panel still narrower for it.
    below.set_in_layout(False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def problems_of(records: Sequence[Record], most: int | None = None) -> dict[Problem, list[Record]]:
    """(setting, data set, model) -> its records, in the records' order.

    Where there are more than `most`, each data set comes once before any comes twice.
    """
    groups: dict[Problem, list[Record]] = {}
    for record in records:
        groups.setdefault((record.setting, record.dataset, record.model), []).append(record)
    seen: Counter[tuple[str, ...]] = Counter()
    turn = {}
    for cell in groups:
        turn[cell] = seen[cell[1:]]
        seen[cell[1:]] += 1
    kept = sorted(groups, key=turn.__getitem__)[:most]
    return {cell: group for cell, group in groups.items() if cell in kept}


def settings_in_short(records: Sequence[Record]) -> dict[str, str]:
    """A setting's text -> that of the fields in which settings of one data set differ.

    The whole text where none do; none of it where the panels differ by their models' fields.
    """
    fields: dict[tuple[str, str], dict[str, set[str]]] = {}
    shown: dict[str, dict[str, str]] = {}
    for record in records:
        texts = {name: f"{name}={value}" for name, value in record.settings.items()}
        shown[record.setting] = {n: text for n, text in texts.items() if text in record.setting}
        known = fields.setdefault((record.dataset, record.model), {})
        for name, text in texts.items():
            known.setdefault(name, set()).add(text)
    differ = {name for known in fields.values() for name, texts in known.items() if len(texts) > 1}
    told_by_models = any(n > 1 for n in Counter(dataset for dataset, _ in fields).values())
    return {
        setting: " ".join(text for name, text in texts.items() if name in differ)
        or ("" if told_by_models else setting)
        for setting, texts in shown.items()
    }


def left_out(missing: int) -> str:
    """The sentence in a caption on problems that aren't drawn."""
    return f" {missing} more problems are not drawn." if missing > 0 else ""


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
        axes.fill_between(x, mean - se, mean + se, color=colour, alpha=0.11, lw=0)


_LONG = re.compile(r"(?<==)\d{7,}(\.0)?(?= |$)")


def _rounded(found: re.Match[str]) -> str:
    """The same number in fewer digits, where three tell it."""
    text = f"{float(found[0]):.3g}"
    return text if float(text) == float(found[0]) else found[0]


def short(name: str, most: int = 28) -> str:
    """A name that leaves room for the figure; its end stays, where settings of a method differ.

    Long round numbers in it are written shorter: `flops=2e+13`.
    """
    name = _LONG.sub(_rounded, name)
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def by_rank(records: Sequence[Record], metric: str = "") -> list[str]:
    """Methods by the mean of a score, the headline unless named, over all problems, best first."""
    metrics = metrics_of(records)[records[0].task]
    metric = metric or next(iter(metrics))
    info = metrics.get(metric, {})
    values: dict[str, list[float]] = {}
    for r in records:
        values.setdefault(r.method, []).append(score(r, metric))
    sign = 1 if info.get("direction") == "lower" else -1
    means = {method: sign * float(np.mean(v)) for method, v in values.items()}
    return sorted(means, key=lambda m: (math.isnan(means[m]), means[m], m))


def score(record: Record, metric: str) -> float:
    """A record's score; NaN where it has none."""
    return number(record.scores.get(metric, {}).get("value"))


def coloured(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """At most `LINES` methods, spread evenly over the ranking, each with its colour."""
    return list(zip(chosen(by_rank(records), LINES), COLOURS, strict=False))


def chosen(methods: Sequence[str], most: int) -> list[str]:
    """At most so many of the ranked methods, evenly spread, the first and the last among them.

    `lime samples=30` only where there is no `lime`.
    """
    plain = plain_names(methods)
    places = np.unique(np.linspace(0, len(plain) - 1, min(most, len(plain))).round())
    return [plain[int(i)] for i in places]


def plain_names(methods: Sequence[str]) -> list[str]:
    """Those that aren't another one of them with other parameters."""
    return [m for m in methods if " " not in m or m.split(" ")[0] not in methods]


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


def mean_scores(records: Sequence[Record], methods: Sequence[str]) -> Float[np.ndarray, " k"]:
    """Each method's headline score, its mean over the records that have one; NaN without any."""
    metric = next(iter(metrics_of(records)[records[0].task]))
    values: dict[str, list[float]] = {method: [] for method in methods}
    for r in records:
        if r.method in values:
            values[r.method].append(score(r, metric))
    return np.array([float(mean_of_finite(np.array([*v, math.nan]))) for v in values.values()])


def heat_map(
    axes: Axes,
    table: Float[np.ndarray, "k m"],
    rows: Sequence[str],
    columns: Sequence[str],
    colours: Any = SCORES,
    numbers: bool = True,
) -> None:
    """A table of numbers of at most 1, each in hundredths on its colour; NaN stays empty.

    Scores below 0 have the colour of 0.
    """
    least = -1 if colours is MATRIX else 0
    # Squares keep a document of vectors small and sharp at every size.
    axes.pcolormesh(
        np.ma.masked_invalid(table), cmap=colours, vmin=least, vmax=1, edgecolors="white", lw=0.6
    )
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    k, m = table.shape
    axes.set_yticks(np.arange(len(rows)) + 0.5, [short(r) for r in rows], fontsize=8.5)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [short(c, 24) for c in columns], fontsize=8.5)
    for (i, j), value in np.ndenumerate(table) if numbers else ():
        if math.isfinite(value):
            deep = abs(value) > 0.62
            colour = "white" if deep and (value > 0 or least < 0) else "#23272c"
            text = f"{100 * value:z.0f}".replace("-", "\N{MINUS SIGN}")
            axes.text(j + 0.5, i + 0.52, text, ha="center", va="center", fontsize=6.5, color=colour)

"""What the network gains, or errs, as the training rows that a method calls harmful are removed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bench.board.agreement import CONTROLS
from bench.board.panels import (
    ACROSS,
    COLOURS,
    LINES,
    SOFT,
    TRUTH,
    Curve,
    Grid,
    Panel,
    Sketch,
    array,
    band,
    by_rank,
    curves,
    left_out,
    plain_names,
)
from bench.board.rows import number
from bench.board.statistics import mean_of_finite
from bench.record import Record

PANELS = 12
"""Problems drawn at most."""
LETTER = 0.034
"""Width of a letter on an axis, in axes."""
_ALL = "Trained again without the rows that a method calls most harmful. "
_LINES = (
    "Coloured: the best methods and the true leave-one-out, bands of one standard error over "
    "seeds; thin: all others"
)
_RANDOM = "; dashed: rows removed at random."


@dataclass(frozen=True)
class View:
    """One figure of the curves.

    Attributes
    ----------
    accuracy : the field of the details that holds test accuracies.
    gained : whether what is gained is drawn, or the error itself.
    """

    name: str
    title: str
    caption: str
    accuracy: str
    gained: bool = True

    @property
    def label(self) -> str:
        """Of the axis."""
        return "test accuracy gained, points" if self.gained else "test error, %"

    def of(self, records: Sequence[Record], accuracy: str = "") -> list[Curve]:
        """(removed, drawn value) of each record that holds a curve."""
        found = (self._curve(r, accuracy or self.accuracy) for r in records)
        return [curve for curve in found if curve is not None]

    def _curve(self, record: Record, accuracy: str) -> Curve | None:
        start = array(record.details.get(self.accuracy))
        n = number(record.details.get("n_train"))
        if start is None or not n > 0:
            return None
        for removed, values in curves([record], "removed", accuracy):
            if len(removed) < 2 or removed[0] < 0 or not (np.diff(removed) > 0).all():
                return None
            drawn = values - start[0] if self.gained else 1 - values
            return removed if in_rows([record]) else 100 * removed / n, 100 * drawn
        return None


VIEWS = (
    View("removal", "Accuracy against what is removed.", _ALL + _LINES + _RANDOM, "accuracy"),
    View(
        "removal_last",
        "Accuracy against what is removed, the last epoch trained again.",
        "The last epoch alone is trained again without the rows that a method calls most "
        f"harmful. {_LINES}.",
        "accuracy_last",
    ),
    View(
        "test_error",
        "Test error against what is removed.",
        f"{_ALL}The level line is the network trained on all rows. {_LINES}{_RANDOM}",
        "accuracy",
        gained=False,
    ),
)


def removal(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure a view, a panel a problem, a line a method; none where no record holds the curve."""
    for view in VIEWS:
        held = [r for r in records if view.of([r])]
        if held:
            yield _figure(view, held)


def in_rows(records: Sequence[Record]) -> bool:
    """Whether a setting counts what is removed in rows, and not in percent."""
    return str(records[0].settings.get("removals", "")).startswith("rows")


def coloured_methods(records: Sequence[Record]) -> list[str]:
    """The best, at most `LINES` of them, the true leave-one-out among them where it is one.

    Without the control: removal at random has a line of its own.
    """
    ranked = [m for m in plain_names(by_rank(records)) if m.split(" ")[0] not in CONTROLS]
    best = ranked[:LINES]
    return best if TRUTH not in ranked[LINES:] else [*best[:-1], TRUTH]


def _figure(view: View, records: Sequence[Record]) -> Sketch:
    colours = dict(zip(coloured_methods(records), COLOURS, strict=False))
    grid = Grid(records, width=3.6, height=2.8, most=PANELS, across=ACROSS)
    for panel in grid.panels:
        _draw_level(view, panel)
        for method, colour in colours.items():
            if own := view.of([r for r in panel.records if r.method == method]):
                band(panel.axes, own, method, colour)
    grid.label("", view.label)
    for panel in grid.panels:
        (_rows_axis if in_rows(panel.records) else _percent_axis)(view, panel)
        _draw_thin(view, panel, set(colours))
    grid.legend()
    return Sketch(view.name, view.title, view.caption + left_out(grid.missing), grid.drawing)


def _draw_thin(view: View, panel: Panel, coloured: set[str]) -> None:
    """The others; none of them makes the scale where there is a coloured line."""
    limits = {"xlim": panel.axes.get_xlim(), "ylim": panel.axes.get_ylim()}
    methods = list(dict.fromkeys(r.method for r in panel.records))
    for method in methods:
        own = view.of([r for r in panel.records if r.method == method])
        if method not in coloured and own:
            x = own[0][0]
            mean = mean_of_finite(np.array([y for at, y in own if len(at) == len(x)]))
            panel.axes.plot(x, mean, color=SOFT, lw=0.8, alpha=0.6, zorder=1)
    if coloured & set(methods):
        panel.axes.set(**limits)


def _draw_level(view: View, panel: Panel) -> None:
    """The network trained on all rows, and removal at random."""
    # All methods of a seed share one curve of random removal: it counts once.
    by_seed = list({record.seed: record for record in panel.records}.values())
    level = 0.0 if view.gained else float(np.mean([y[0] for _, y in view.of(by_seed)]))
    panel.axes.axhline(level, color=SOFT, lw=1)
    at_random = view.of(by_seed, "accuracy_random") if view.accuracy == "accuracy" else []
    if at_random:
        band(panel.axes, at_random, "at random", SOFT, "--")


def _percent_axis(view: View, panel: Panel) -> None:
    """Square roots: most removals are small."""
    ticks = view.of(panel.records)[0][0]
    panel.axes.set_xscale("function", functions=(_root, np.square))
    panel.axes.set_xticks(ticks, spaced(ticks, _root(ticks), [len(ticks) - 1]))
    panel.axes.set_xlabel("% of the training rows removed")


def _rows_axis(view: View, panel: Panel) -> None:
    """Logarithms, with 0 at the left."""
    ticks = view.of(panel.records)[0][0]
    panel.axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    places = np.log10(np.maximum(ticks, 0.3))
    powers = [i for i, place in enumerate(places) if place == round(place)]
    panel.axes.set_xticks(ticks, spaced(ticks, places, [0, *powers]))
    panel.axes.set_xticks([], minor=True)
    panel.axes.set_xlabel("training rows removed")


def spaced(
    ticks: Float[np.ndarray, " n"], places: Float[np.ndarray, " n"], first: Sequence[int] = ()
) -> list[str]:
    """Labels for ticks at these places of an axis, those in `first` before others.

    A tick whose label would touch another has none.
    """
    labels, taken = list(map(_brief, ticks.tolist())), list[int]()
    for i in (*first, *range(len(ticks))):
        length = places[-1] - places[0]
        away = [abs(places[i] - places[j]) / length for j in taken]
        room = [LETTER * (2 + len(labels[i]) + len(labels[j])) / 2 for j in taken]
        if all(a > r for a, r in zip(away, room, strict=True)):
            taken.append(i)
    return [label if i in taken else "" for i, label in enumerate(labels)]


def _brief(tick: float) -> str:
    """In one digit where that is near: 2 of 395 rows are half a percent."""
    if 9.5 <= tick < 1e7:
        return f"{tick:,.0f}"
    near = abs(float(f"{tick:.1g}") - tick) < 0.05 * tick
    return f"{tick:.1g}" if near else f"{tick:.2g}"


def _root(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    root: np.ndarray = np.sqrt(np.maximum(x, 0))
    return root

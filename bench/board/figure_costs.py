"""The headline score against what it costs: CPU seconds, model calls, and a budget of samples."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from bench.board.panels import (
    COLOURS,
    INK,
    SOFT,
    Sketch,
    drawing,
    entitle,
    headed,
    left_out,
    legend,
    score,
    short,
)
from bench.board.rows import metrics_of, number
from bench.board.statistics import mean_over
from bench.board.table import seconds_text
from bench.record import Record

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

NAME_SIZE = 8.0
ROWS = 4
"""Data sets drawn at most."""
ACROSS = 2
"""Panels in a row."""
NAMED = ((10, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (100, (1.0, 3.0)), (math.inf, (1.0,)))
"""Multiples of a power of ten that are named on an axis which spans at most so much."""
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
NEAR = 0.004
"""How near to 1 the score's axis still tells scores apart."""


@dataclass(frozen=True)
class Point:
    """A method's mean cost (geometric) and score."""

    method: str
    cost: float
    score: float


@dataclass(frozen=True)
class Place:
    """What one panel shows: points, and what their cost is."""

    title: str
    cost: str
    points: tuple[Point, ...]


def _seconds(record: Record) -> float:
    return number(record.cpu_seconds)


def _calls(record: Record) -> float:
    return float(np.nansum([number(record.calls.get(way)) for way in ("forward", "backward")]))


_CALLS = "model calls per instance, forward and backward"
COSTS = {"CPU time per instance": _seconds, _CALLS: _calls}
_SCALES = "costs on a logarithmic scale, scores on one that is stretched towards 1. "
_FRONT = "The line joins the methods that no cheaper one equals"


def against_costs(records: Sequence[Record]) -> Iterator[Sketch]:
    """Two panels a data set, its Pareto front drawn and named."""
    metric = next(iter(metrics_of(records)[records[0].task]))
    known = {data: _places(g, metric, COSTS) for data, g in _by_data(records).items()}
    drawn = [(data, panels) for data, panels in known.items() if any(p.points for p in panels)]
    shown = [replace(p, title="" if j else d) for d, ps in drawn[:ROWS] for j, p in enumerate(ps)]
    if shown:
        yield Sketch(
            "costs",
            f"{metric} against its costs.",
            f"Means over seeds and settings, {_SCALES}{_FRONT}; a method that asks the model "
            "nothing has no place on the axis of calls." + left_out(len(drawn) - ROWS),
            _fronts(shown, metric),
        )


def tau_against_seconds(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a data set and model: Kendall's tau with the true leave-one-out, and CPU time."""
    metric = "kendall_tau"
    known = {d: _places(g, metric, {"CPU time": _seconds}) for d, g in _by_data(records).items()}
    drawn = [replace(p, title=d) for d, panels in known.items() for p in panels if p.points]
    shown = drawn[: ACROSS * ROWS]
    if shown:
        yield Sketch(
            "costs",
            f"{metric} against CPU time.",
            "How well the order of a method's values agrees with that of the true leave-one-out. "
            f"Means over seeds and settings, {_SCALES}{_FRONT}."
            + left_out(len(drawn) - len(shown)),
            _fronts(shown, metric),
        )


def _places(
    records: Sequence[Record], metric: str, costs: Mapping[str, Callable[[Record], float]]
) -> list["Place"]:
    return [Place("", name, tuple(_points(records, cost, metric))) for name, cost in costs.items()]


def _entitle(axes: Axes, problem: str) -> None:
    dataset, _, model = problem.partition(" · ")
    entitle(axes, *(headed(dataset, model) if model else (dataset, "")))


def _fronts(places: Sequence[Place], metric: str) -> Drawing:
    """So many panels, `ACROSS` in a row, named where the layout leaves room."""
    rows, across = -(-len(places) // ACROSS), min(ACROSS, len(places))
    figure = drawing(5.7 * across, 3.2 * rows + 0.2)
    axes = figure.subplots(rows, across, squeeze=False)
    for unused in axes.flat[len(places) :]:
        unused.set_axis_off()
    for i, (panel, place) in enumerate(zip(axes.flat, places, strict=False)):
        _entitle(panel, place.title)
        lowest = i + ACROSS >= len(places)
        panel.set(xlabel=place.cost if lowest else "", ylabel="" if i % ACROSS else short(metric))
        _draw_front(panel, place.points)
        if place.points:
            _label(panel, _count if place.cost == _CALLS else _time)
    figure.draw_without_rendering()  # the layout is known from here on
    for panel, place in zip(axes.flat, places, strict=False):
        best = front(place.points)
        name_points(panel, place.points, best, joined=best)
    return figure


def call_budget(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a data set: methods run with several sample counts, the counts joined by lines."""
    groups_of = _by_data(records)
    groups = {data: lines for data, g in groups_of.items() if (lines := families(g))}
    shown = dict(list(groups.items())[:ROWS])
    if not shown:
        return
    metric = next(iter(metrics_of(records)[records[0].task]))
    names = list(dict.fromkeys(name for lines in shown.values() for name in lines))
    across = min(3 if len(shown) != 4 else 2, len(shown))
    rows = -(-len(shown) // across)
    figure = drawing(3.3 * across + 2.2, 2.9 * rows + 0.3)
    axes = figure.subplots(rows, across, squeeze=False)
    for unused in axes.flat[len(shown) :]:
        unused.set_axis_off()
    for i, (panel, (data, lines)) in enumerate(zip(axes.flat, shown.items(), strict=False)):
        _entitle(panel, data)
        for name, line in lines.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            panel.plot(line.calls, line.mean, "o-", ms=4.5, lw=1.6, color=colour, label=name)
            panel.fill_between(
                line.calls, line.mean - line.se, line.mean + line.se, color=colour, alpha=0.15, lw=0
            )
        others = _points(groups_of[data], _calls, metric)
        panel.plot(
            [p.cost for p in others],
            [p.score for p in others],
            ".",
            ms=4,
            color=SOFT,
            alpha=0.5,
            zorder=1,
        )
        panel.set(xscale="log", xlabel="model calls per instance")
        _label(panel, _count)
        panel.set_ylabel(short(metric) if i % across == 0 else "")
        _stretch(panel)
    legend(figure, axes.flat)
    yield Sketch(
        "budget",
        f"{metric} against the budget of calls.",
        "Each line is one method that was given more and more samples or steps; bands are one "
        "standard error over seeds. Grey: all methods. Scores on a scale stretched towards 1."
        + left_out(len(groups) - len(shown)),
        figure,
    )


def _by_data(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(f"{record.dataset} · {record.model}", []).append(record)
    return groups


def _headline(record: Record) -> float:
    return score(record, next(iter(metrics_of([record])[record.task])))


def _instances(record: Record) -> int:
    rows = record.details.get("ideal_influence")
    return len(rows) if isinstance(rows, list) and rows else 1


def _points(records: Sequence[Record], cost: Callable[[Record], float], metric: str) -> list[Point]:
    """Methods that have both a cost above 0 and a score, in each setting that has any."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        each, value = cost(record) / _instances(record), score(record, metric)
        if each > 0 and math.isfinite(value):
            found.setdefault(record.method, []).append((math.log(each), value))
    most = max(map(len, found.values()), default=0)
    # A mean over fewer settings or seeds is another quantity.
    means = {m: np.mean(pairs, axis=0) for m, pairs in found.items() if len(pairs) == most}
    return [Point(method, math.exp(x), float(y)) for method, (x, y) in means.items()]


def front(points: Sequence[Point]) -> list[Point]:
    """Those with a higher score than all that cost no more, the cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.score)):
        if not best or point.score > best[-1].score:
            best.append(point)
    return best


def _draw_front(axes: Axes, points: Sequence[Point]) -> None:
    if not points:
        axes.set_axis_off()
        return
    best = front(points)
    axes.plot([p.cost for p in points], [p.score for p in points], "o", ms=4.5, color=SOFT, mew=0)
    steps = [p.cost for p in best], [p.score for p in best]
    axes.plot(*steps, drawstyle="steps-post", color=COLOURS[0], lw=1.2, alpha=0.6)
    axes.plot(*steps, "o", ms=6, color=COLOURS[0], mew=0)
    costs = [p.cost for p in points]
    room = 1.5 * (max(costs) / min(costs)) ** 0.1
    axes.set_xlim(min(costs) / room, max(costs) * room)
    axes.set_xscale("log")
    _stretch(axes)


def _label(axes: Axes, text: Callable[[float, float], str]) -> None:
    """Name powers of ten on the axis of costs, and more numbers where it spans few of them."""
    low, high = axes.get_xlim()
    span = high / low
    axes.xaxis.set_major_locator(LogLocator(subs=next(s for most, s in NAMED if span <= most)))
    axes.xaxis.set_major_formatter(text)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _time(seconds: float, _: float) -> str:
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else seconds_text(seconds).replace(".0", "")


def _count(calls: float, _: float) -> str:
    if calls < 1:
        return ""
    return f"{calls:,.0f}" if calls >= 10 else f"{calls:g}"


def _stretch(axes: Axes) -> None:
    """A scale of scores on which .98 and .99 are as far apart as .8 and .9."""
    low = min(axes.dataLim.y0, 0.5)

    def apart(score: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        stretched: np.ndarray = -np.log10(np.maximum(1 + NEAR - score, NEAR / 2))
        return stretched

    def back(place: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        score: np.ndarray = 1 + NEAR - 10.0 ** (-place)
        return score

    axes.set_yscale("function", functions=(apart, back))
    axes.set_ylim(low - 0.15, 1 + NEAR / 3)
    axes.yaxis.set_major_locator(FixedLocator([t for t in TICKS if t >= low - 0.15]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}".replace("-", "\N{MINUS SIGN}"))


def name_points(
    axes: Axes,
    points: Sequence[Point],
    named: Sequence[Point],
    joined: Sequence[Point] = (),
    near: bool = False,
) -> None:
    """Names of the `named` where there is room, each tied to its point; the first get it first.

    The layout must be known.

    Parameters
    ----------
    points : all that is drawn. joined : those that a line of steps runs through.
    near : names stand beside their points and below the panel's title, or nowhere.
    """
    if not points:
        return
    scale = axes.figure.dpi / 72
    taken = _drawn_boxes(axes, points, joined, scale)
    frame = axes.get_window_extent()
    above = 0 if near else 20
    inside = (float(frame.x0), float(frame.y0), float(frame.x1) + 10, float(frame.y1) + above)
    for point in named:
        text = short(point.method, 32)
        size = 0.56 * NAME_SIZE * len(text) * scale, 1.15 * NAME_SIZE * scale
        for dx, dy in PLACES[: 2 * AROUND] if near else PLACES:
            box = _box(_pixels(axes, point), (dx * scale, dy * scale), size)
            if _holds(inside, box) and not any(_meet(box, other) for other in taken):
                taken.append(box)
                _write(axes, point, text, dx, dy)
                break


def _drawn_boxes(
    axes: Axes, points: Sequence[Point], best: Sequence[Point], scale: float
) -> list[Box]:
    """Where points and the front's line are, in pixels."""
    half = 3 * scale
    places = [_pixels(axes, point) for point in points]
    boxes = [(x - half, y - half, x + half, y + half) for x, y in places]
    for (x, y), (right, top) in itertools.pairwise(_pixels(axes, p) for p in best):
        boxes += [(x, y - 1, right, y + 1), (right - 1, y, right + 1, top)]
    return boxes


def _pixels(axes: Axes, point: Point) -> tuple[float, float]:
    x, y = axes.transData.transform((point.cost, point.score)).tolist()
    return x, y


def _box(at: tuple[float, float], away: tuple[float, float], size: tuple[float, float]) -> Box:
    """Of a name that ends, begins or has its middle so far away from its point."""
    (x, y), (dx, dy), (width, height) = at, away, size
    left = x + dx - (width if dx < 0 else 0 if dx > 0 else width / 2)
    return left, y + dy, left + width, y + dy + height


def _write(axes: Axes, point: Point, text: str, dx: float, dy: float) -> None:
    axes.annotate(
        text,
        (point.cost, point.score),
        (dx, dy),
        textcoords="offset points",
        ha="right" if dx < 0 else "left" if dx > 0 else "center",
        va="bottom",
        fontsize=NAME_SIZE,
        color=INK,
        arrowprops=_leader(dx) if math.hypot(dx, dy) > 13 else None,
        annotation_clip=False,
    ).set_in_layout(False)


_ANGLES = (150, 120, 180, 210, 90, 60, 330, 300, 270, 0, 30, 240)
AROUND = len(_ANGLES)
PLACES = tuple(
    (round(math.cos(angle) * r), round(math.sin(angle) * r) - 4)
    for r in (8, 16, 26, 38, 52, 68, 86)
    for angle in np.deg2rad(_ANGLES)
)
"""Where a name may begin or end, in points from its point, `AROUND` at a distance, near first."""


def _leader(dx: float) -> dict[str, Any]:
    """A thin line from the end of the name that is nearer to its point."""
    end = (1.0 if dx < 0 else 0.0 if dx > 0 else 0.5, 0.4)
    return {
        **{"arrowstyle": "-", "color": SOFT, "lw": 0.6},
        **{"shrinkA": 1, "shrinkB": 3, "relpos": end},
    }


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _holds(outer: Box, inner: Box) -> bool:
    return (
        outer[0] < inner[0] and outer[1] < inner[1] and inner[2] < outer[2] and inner[3] < outer[3]
    )


@dataclass(frozen=True)
class Budget:
    """One method's scores against its calls, over seeds and settings."""

    calls: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    se: Float[np.ndarray, " n"]


def families(records: Sequence[Record]) -> dict[str, Budget]:
    """Methods that differ in one number alone, of which there are at least three values."""
    known: dict[tuple[str, str], dict[float, list[Record]]] = {}
    for record in records:
        fields = fields_of(record)
        for name, value in fields.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = json.dumps({**fields, name: None}, sort_keys=True, default=str)
                known.setdefault((rest, name), {}).setdefault(float(value), []).append(record)
    lines = {}
    for (_, name), by_value in known.items():
        if len(by_value) >= 3 and (line := _budget(by_value)):
            family = min((r.method for rs in by_value.values() for r in rs), key=len).split(" ")[0]
            lines[f"{family}, {name}"] = line
    return lines


def _budget(by_value: Mapping[float, Sequence[Record]]) -> Budget | None:
    """A line through the values whose calls are known; None where they hardly cost more."""
    rows = []
    for records in by_value.values():
        pairs = [(_calls(r) / _instances(r), _headline(r)) for r in records]
        pairs = [(calls, score) for calls, score in pairs if calls > 0 and math.isfinite(score)]
        if pairs:
            calls, scores = np.array(pairs).T
            settings = np.unique([r.setting for r in records], return_inverse=True)[1]
            se = mean_over(scores, settings).se if len(scores) == len(settings) else np.nan
            rows.append((np.exp(np.log(calls).mean()), scores.mean(), float(se)))
    if len(rows) < 3:
        return None
    calls, mean, se = np.array(sorted(rows)).T
    return Budget(calls, mean, se) if calls[-1] > 1.5 * calls[0] else None


def fields_of(record: Record) -> dict[str, Any]:
    """The method's fields by their names, those of its parts as `start.seconds`."""
    method = record.config.get("method")
    config = method.get("config") if isinstance(method, Mapping) else None
    return _flat(config) if isinstance(config, Mapping) else {}


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat

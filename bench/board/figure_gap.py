"""How far searches for a companion are from the best list known, over time, and what is proved."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bench.board.figure_companion import COLOURED, across, is_control, of_each_data_set
from bench.board.figure_costs import fields_of
from bench.board.panels import (
    INK,
    SOFT,
    Grid,
    Panel,
    Sketch,
    array,
    left_out,
    legend,
    short,
)
from bench.board.rows import number
from bench.board.statistics import mean_over
from bench.board.table import seconds_text
from bench.record import Record

PANELS = 6
"""Problems drawn at most."""
LINES = 20
"""Methods drawn at most: those whose lists are best."""
FLOOR = 1e-4
"""AUTAC below which the scale is linear: the best list known has its place at 0."""
LONGEST = 64
"""Lengths of a certificate that are read at most."""
MARKS = "osD^vPX"
PROVED = "at most K rules, proved"


@dataclass(frozen=True)
class Point:
    """A method's mean CPU seconds (geometric) and gap, with the gap's standard error."""

    seconds: float
    gap: float
    se: float


@dataclass(frozen=True)
class Proof:
    """A record's certificate.

    Attributes
    ----------
    optima : the largest objective of lists of at most 0, 1, ..., K rules. seconds : CPU seconds
        after which each was proved. bound : no list of at most K + 1 rules has a larger
        objective, none of any length where `whole`.
    """

    optima: Float[np.ndarray, " lengths"]
    seconds: Float[np.ndarray, " lengths"]
    bound: float
    whole: bool


@dataclass(frozen=True)
class Seed:
    """What is known of one problem in one seed: the largest objective, and the longest proof."""

    best: float
    proof: Proof | None


def gap_over_time(records: Sequence[Record]) -> Iterator[Sketch]:
    """A panel a problem, a line or a point a method, steps for the certificate."""
    timed = [r for r in records if math.isfinite(objective(r)) and number(r.cpu_seconds) > 0]
    held, missing = of_each_data_set(timed, PANELS)
    if not held:
        return
    grid = Grid(held, width=3.9, height=3.1, across=across(held))
    known = [(panel, seeds_of(panel.records)) for panel in grid.panels]
    lines = chosen_lines(known)
    for panel, seeds in known:
        for place, (name, methods) in enumerate(lines.items()):
            found = (point([r for r in panel.records if r.method == m], seeds) for m in methods)
            _draw_line(panel.axes, [p for p in found if p], name, place)
        _draw_proof(panel.axes, steps(list(seeds.values())))
        _scale(panel.axes)
    grid.label("CPU seconds", "best known minus training objective")
    legend(grid.drawing, [panel.axes for panel in grid.panels], order=[*lines, PROVED])
    proofs = "; ".join(filter(None, (_proved(panel, seeds) for panel, seeds in known)))
    yield Sketch(
        "gap",
        "The gap over time.",
        "What a method's list lacks of the largest training objective that is known for the "
        "problem and seed, by any method or proof. Means over seeds, bars are one standard error; "
        "lines join one method with several budgets. The steps are the certificate: when the best "
        "list of at most K rules of the pool was proved, and what it lacks; methods may make "
        "longer lists, or rules of their own."
        f"{f' Proved: {proofs}.' if proofs else ''}{left_out(missing)}",
        grid.drawing,
    )


def objective(record: Record) -> float:
    """The training objective of a record's list; NaN where there is none, or one above 1."""
    value = number(record.details.get("train_objective"))
    return value if value <= 1 else math.nan


def proof(record: Record) -> Proof | None:
    """A record's certificate; None where it has none, or one that contradicts itself."""
    told = record.details.get("certificate")
    if not isinstance(told, Mapping):
        return None
    optima, seconds = array(told.get("optima")), array(told.get("cpu_seconds"))
    bound = number(told.get("bound"))
    if optima is None or seconds is None or len(optima) != len(seconds) or math.isnan(bound):
        return None
    sound = bool(np.all(np.diff(optima) >= 0) and np.all(np.diff(seconds) >= 0) and optima[-1] <= 1)
    if not sound or len(optima) > LONGEST:
        return None
    return Proof(optima, seconds, bound, told.get("any_length") is True)


def seeds_of(records: Sequence[Record]) -> dict[int, Seed]:
    """Seed -> what all records of the problem together know."""
    groups: dict[int, list[Record]] = {}
    for record in records:
        groups.setdefault(record.seed, []).append(record)
    return {seed: _seed(group) for seed, group in groups.items()}


def _seed(records: Sequence[Record]) -> Seed:
    proofs = [found for r in records if (found := proof(r))]
    longest = max(proofs, key=lambda p: (p.whole, len(p.optima)), default=None)
    proved = [float(longest.optima[-1])] if longest else []
    return Seed(max([*map(objective, records), *proved]), longest)


def point(records: Sequence[Record], seeds: Mapping[int, Seed]) -> Point | None:
    """Where one method stands; None without a record."""
    if not records:
        return None
    gaps = np.array([seeds[r.seed].best - objective(r) for r in records])
    return _mean(np.array([number(r.cpu_seconds) for r in records]), gaps)


def _mean(seconds: Float[np.ndarray, " seeds"], gaps: Float[np.ndarray, " seeds"]) -> Point:
    gap, se, _ = mean_over(gaps, np.zeros(len(gaps), dtype=int))
    return Point(float(np.exp(np.log(seconds).mean())), float(gap), float(np.nan_to_num(se)))


def chosen_lines(known: Sequence[tuple[Panel, Mapping[int, Seed]]]) -> dict[str, list[str]]:
    """The lines whose best budgets have the least mean gap over problems, at most `LINES`."""
    gaps: dict[str, list[float]] = {}
    for panel, seeds in known:
        for record in panel.records:
            gap = seeds[record.seed].best - objective(record)
            gaps.setdefault(record.method, []).append(gap)
    lines = lines_of([record for panel, _ in known for record in panel.records])
    least = {name: min(float(np.mean(gaps[m])) for m in own) for name, own in lines.items()}
    return {name: lines[name] for name in sorted(least, key=least.__getitem__)[:LINES]}


def lines_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """A line's name -> its methods: they differ in one number alone, by which they are sorted.

    A method that shares all other fields with no other one has a line of its own.
    """
    known: dict[tuple[str, str], dict[float, str]] = {}
    methods = {r.method: fields_of(r) for r in records}
    for method, fields in methods.items():
        for name, value in fields.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = json.dumps({**fields, name: None}, sort_keys=True, default=str)
                known.setdefault((rest, name), {})[float(value)] = method
    lines: dict[str, list[str]] = {}
    free = dict.fromkeys(methods)
    for (_, name), by_value in sorted(known.items(), key=lambda item: -len(item[1])):
        own = [by_value[value] for value in sorted(by_value) if by_value[value] in free]
        if len(own) > 1:
            lines[_line_name(own, name)] = own
            free = {method: None for method in free if method not in own}
    return {**lines, **{method: [method] for method in free}}


def _line_name(methods: Sequence[str], field: str) -> str:
    """`companion_annealing, seconds`: the shortest method's name without the field's value."""
    last = field.rpartition(".")[2]
    words = [w for w in min(methods, key=len).split(" ") if not w.startswith(f"{last}=")]
    return f"{' '.join(words)}, {last}"


def _draw_line(axes: Axes, points: Sequence[Point], name: str, place: int) -> None:
    """Points with bars, those of a line joined."""
    if not points:
        return
    seconds, gap, se = np.array([(p.seconds, p.gap, p.se) for p in points]).T
    axes.errorbar(
        seconds,
        gap,
        yerr=[np.minimum(se, gap), se],
        marker=MARKS[place % len(MARKS)],
        color=SOFT if is_control(name) else COLOURED[place % len(COLOURED)],
        ms=5,
        lw=1.5,
        elinewidth=0.9,
        mew=0,
        label=name,
    )


def steps(seeds: Sequence[Seed]) -> dict[int, Point]:
    """K -> when it was proved, and what its optimum lacks of the best list known; K from 1.

    Up to the largest K that is proved in every seed; where a proof holds for any length, its
    last optimum stands for all longer lists.
    """
    found = {}
    proofs = _proofs(seeds)
    lengths = [len(p.optima) for _, p in proofs]
    limits = [len(p.optima) for _, p in proofs if not p.whole]
    for k in range(1, min([*limits, max(lengths, default=0)])):
        at = [(best, p, min(k, len(p.optima) - 1)) for best, p in proofs]
        gaps = np.array([best - p.optima[i] for best, p, i in at])
        seconds = np.array([p.seconds[i] for _, p, i in at])
        if np.all(seconds > 0):
            found[k] = _mean(seconds, gaps)
    return found


def _proofs(seeds: Sequence[Seed]) -> list[tuple[float, Proof]]:
    """Each seed's largest objective and proof; none where a seed has no proof."""
    proofs = [(seed.best, seed.proof) for seed in seeds if seed.proof]
    return proofs if len(proofs) == len(seeds) else []


def _draw_proof(axes: Axes, proved: Mapping[int, Point]) -> None:
    if not proved:
        return
    seconds, gaps = np.array([(p.seconds, p.gap) for p in proved.values()]).T
    axes.plot(
        seconds, gaps, drawstyle="steps-post", color=INK, lw=1, ls=":", marker="_", label=PROVED
    )
    for k, at in zip(proved, zip(seconds, gaps, strict=True), strict=True):
        axes.annotate(f"K={k}", at, (2, 3), textcoords="offset points", fontsize=8)


def _scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda s, _: seconds_text(s).replace(".0", ""))
    axes.set_yscale("symlog", linthresh=FLOOR, linscale=0.6)
    axes.set_ylim(-FLOOR / 2, None)
    axes.yaxis.set_major_formatter(lambda gap, _: f"{gap:g}")


def _proved(panel: Panel, seeds: Mapping[int, Seed]) -> str:
    """The K proved in all seeds, and by how much a list of K + 1 rules may beat the best known."""
    proofs = _proofs(list(seeds.values()))
    if not proofs:
        return ""
    first = panel.records[0]
    where = f"{short(first.dataset)}, {short(first.model)}"
    limited = [(best, p) for best, p in proofs if not p.whole]
    if not limited:
        return f"{where}: lists of any length"
    length = min(len(p.optima) for _, p in limited)
    gap = max(p.bound - best for best, p in limited if len(p.optima) == length)
    more = f"at most {gap:.4f} better" if gap > 0 else "no better"
    return f"{where}: K = {length - 1}, one rule more is {more}"

"""Rules over literals: binarisation, mining on packed bits, and ordered lists of rules."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from bench.data import Column, Data, Images

Selection = Literal["bands", "precision"]


@dataclass(frozen=True)
class Literals:
    """What can be said of a row in a word, such as `age > 44` or `workclass = Private`.

    Attributes
    ----------
    values : whether a row satisfies a literal.
    names : one a literal. Literal j and literal j ^ 1 are each other's negation.
    """

    values: Bool[np.ndarray, "n d"]
    names: tuple[str, ...]

    def rows(self, index: np.ndarray) -> "Literals":
        """The rows at `index` (integers or a boolean mask)."""
        return Literals(self.values[index], self.names)


@dataclass(frozen=True)
class Rule:
    """A conjunction.

    Attributes
    ----------
    conditions : the literals that must all hold; none: the rule covers every row.
    """

    conditions: tuple[int, ...]

    def covers(self, values: Bool[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
        """The rows that satisfy all conditions."""
        covered: np.ndarray = np.all(values[:, list(self.conditions)], axis=1)
        return covered

    def text(self, names: Sequence[str]) -> str:
        """Such as `age > 44 and workclass = Private`."""
        return " and ".join(names[literal] for literal in self.conditions) or "always"


@dataclass(frozen=True)
class RuleList:
    """Rules in order: a row belongs to the first that covers it, and gets that rule's label.

    Attributes
    ----------
    rules : may be none. labels : one a rule.
    """

    rules: tuple[Rule, ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.rules) != len(self.labels):
            raise ValueError(f"{len(self.rules)} rules come with {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.rules)

    def decided_by(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The place of each row's rule in the list, -1 where no rule covers it."""
        place = np.full(len(values), -1)
        for index in reversed(range(len(self))):
            place[self.rules[index].covers(values)] = index
        return place

    def predict(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """Each row's label, -1 where no rule covers it: whoever asks may defer to another."""
        predicted: np.ndarray = np.array([*self.labels, -1])[self.decided_by(values)]
        return predicted

    def texts(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """Such as `age > 44 and hours-per-week <= 40 -> >50K`, one a rule."""
        pairs = zip(self.rules, self.labels, strict=True)
        return [f"{rule.text(names)} -> {class_names[label]}" for rule, label in pairs]


@dataclass(frozen=True)
class RulePool:
    """Mined rules, and the training rows that each covers.

    Attributes
    ----------
    captures : see `pack`; one row a rule, no two are equal.
    """

    rules: tuple[Rule, ...]
    captures: UInt64[np.ndarray, "rules words"]


def pack(rows: Bool[np.ndarray, "k n"]) -> UInt64[np.ndarray, "k words"]:
    """Sets of n things as bits in words of 64; the bits beyond n are 0."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    whole_words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(whole_words).view(np.uint64)


def sizes(sets: UInt64[np.ndarray, "*k words"]) -> Int[np.ndarray, "*k"]:
    """How many things are in each packed set."""
    return np.asarray(np.bitwise_count(sets).sum(axis=-1, dtype=np.int64))


def binarize(data: Data, fit_rows: Int[np.ndarray, " m"], bins: int = 7) -> Literals:
    """The literals of all rows.

    A category gives `name = level` and its negation. A number is cut at its quantiles 1/bins,
    ..., (bins-1)/bins on `fit_rows`, each cut written with as few digits as tell the two
    neighbouring values apart, and gives `name > cut` and `name <= cut`. An image's pixels are
    numbers. Literals that are constant on `fit_rows` are left out.

    Raises
    ------
    ValueError
        where values are missing: neither a literal nor its negation would hold.
    """
    values, names = [], []
    for column, numbers in _columns(data):
        if np.isnan(numbers).any():
            raise ValueError(f"{data.name} has missing values in {column.name}: impute them first")
        found = (
            _levels(column, numbers) if column.levels else _cuts(column, numbers, fit_rows, bins)
        )
        for name, negation, holds in found:
            if 0 < holds[fit_rows].sum() < len(fit_rows):
                values += [holds, ~holds]
                names += [name, negation]
    empty = np.zeros((len(data.targets), 0), dtype=bool)
    return Literals(np.stack(values, axis=1) if values else empty, tuple(names))


def mine(
    literals: Literals,
    labels: Int[np.ndarray, " n"],
    *,
    min_support: float,
    max_conditions: int,
    per_label: int,
    selection: Selection = "bands",
) -> RulePool:
    """For each label, the most precise conjunctions of literals.

    Precision is the share of that label among the covered rows; ties go to the rule that
    covers more, then to the shorter one. Of rules that cover the same rows one is kept.

    Parameters
    ----------
    min_support : share of the rows that a rule covers at least.
    max_conditions : literals in a rule at most.
    per_label : rules for each label.
    selection : `precision`: the most precise of all, which where there are many literals are
        all narrow; or `bands`: equally many of each band of coverage, from s to 2 s, 2 s to
        4 s, and so on, s the smallest support.
    """
    packed = pack(literals.values.T)
    least = max(1, math.ceil(min_support * len(labels) - 1e-9))
    candidates = _frequent(packed, least, max_conditions)
    wanted = pack(np.stack([labels == label for label in np.unique(labels)]))
    counts = [
        (sizes(captures), sizes(captures[:, None] & wanted))
        for captures in map(lambda part: _captured(packed, part), _parts(candidates))
    ]
    covered = np.concatenate([n for n, _ in counts])
    precision = np.concatenate([hits for _, hits in counts]) / covered[:, None]
    kept: dict[bytes, Rule] = {}
    for column in precision.T:
        bands = np.log2(covered / least).astype(int) * (selection == "bands")
        order = _ranking(column, covered, bands)
        _keep_distinct(kept, candidates[order], packed, per_label)
    captures = np.frombuffer(b"".join(kept), dtype=np.uint64)
    return RulePool(tuple(kept.values()), captures.reshape(len(kept), packed.shape[1]))


def _frequent(
    packed: UInt64[np.ndarray, "d words"], least: int, max_conditions: int
) -> Int[np.ndarray, "m k"]:
    """Conjunctions that cover at least `least` rows; shorter ones repeat their last literal."""
    singles = np.flatnonzero(sizes(packed) >= least)
    levels = [singles[:, None]]
    for _ in range(max_conditions - 1):
        levels.append(_extended(levels[-1], singles, packed, least))
    padded = [
        np.pad(level, ((0, 0), (0, max_conditions - level.shape[1])), "edge") for level in levels
    ]
    return np.concatenate(padded)


def _extended(
    level: Int[np.ndarray, "m k"],
    singles: Int[np.ndarray, " s"],
    packed: UInt64[np.ndarray, "d words"],
    least: int,
) -> Int[np.ndarray, "m2 k2"]:
    """Each conjunction with one later literal more, where that leaves out rows of both."""
    sets, alone = packed[singles], sizes(packed[singles])
    longer = [np.empty((0, level.shape[1] + 1), dtype=int)]
    for conditions in level:
        later = np.searchsorted(singles, conditions[-1], side="right")
        capture = np.bitwise_and.reduce(packed[conditions])
        both = sizes(sets[later:] & capture)
        fewer = both < np.minimum(alone[later:], sizes(capture))
        added = singles[later:][(both >= least) & fewer]
        longer.append(np.column_stack([np.tile(conditions, (len(added), 1)), added]))
    return np.concatenate(longer)


def _captured(
    packed: UInt64[np.ndarray, "d words"], conditions: Int[np.ndarray, "m k"]
) -> UInt64[np.ndarray, "m words"]:
    captured: np.ndarray = np.bitwise_and.reduce(packed[conditions], axis=1)
    return captured


def _ranking(
    precision: Float[np.ndarray, " m"], covered: Int[np.ndarray, " m"], bands: Int[np.ndarray, " m"]
) -> Int[np.ndarray, " m"]:
    """The best rule of each band, then the second of each, and so on."""
    by_band = np.lexsort((-covered, -precision, bands))
    first_of_band = np.searchsorted(bands[by_band], bands[by_band])
    place = np.empty(len(bands), dtype=int)
    place[by_band] = np.arange(len(bands)) - first_of_band
    ranked: np.ndarray = np.lexsort((-covered, -precision, place))
    return ranked


def _parts(candidates: Int[np.ndarray, "m k"], rows: int = 1024) -> Iterator[np.ndarray]:
    """Slices, so that the captures of all candidates never stand in memory together."""
    return (candidates[start : start + rows] for start in range(0, max(len(candidates), 1), rows))


def _keep_distinct(
    kept: dict[bytes, Rule],
    candidates: Int[np.ndarray, "m k"],
    packed: UInt64[np.ndarray, "d words"],
    wanted: int,
) -> None:
    """Add the first `wanted` candidates to `kept` by what they cover, none twice."""
    chosen: set[bytes] = set()
    for part in _parts(candidates):
        for conditions, capture in zip(part, _captured(packed, part), strict=True):
            if len(chosen) == wanted:
                return
            chosen.add(capture.tobytes())
            rule = Rule(tuple(dict.fromkeys(conditions.tolist())))
            kept.setdefault(capture.tobytes(), rule)


def _columns(data: Data) -> Iterator[tuple[Column, Float[np.ndarray, " n"]]]:
    if not isinstance(data, Images):
        yield from zip(data.columns, data.values.T, strict=True)
        return
    _, channels, height, width = data.pixels.shape
    for channel, row, place in np.ndindex(channels, height, width):
        name = f"pixel {row},{place}" + (f" of channel {channel}" if channels > 1 else "")
        yield Column(name), np.asarray(data.pixels[:, channel, row, place], dtype=float)


_Found = Iterator[tuple[str, str, Bool[np.ndarray, " n"]]]


def _levels(column: Column, codes: Float[np.ndarray, " n"]) -> _Found:
    """(literal, its negation, where it holds) for each level; one for a column of two."""
    equal = [f"{column.name} = {level}" for level in column.levels]
    if len(equal) == 2:
        yield equal[0], equal[1], codes == 0
        return
    for code, name in enumerate(equal):
        yield name, f"{column.name} != {column.levels[code]}", codes == code


def _cuts(
    column: Column, numbers: Float[np.ndarray, " n"], fit_rows: Int[np.ndarray, " m"], bins: int
) -> _Found:
    """(literal, its negation, where it holds) for each quantile."""
    distinct = np.unique(numbers[fit_rows])
    shares = np.arange(1, bins) / bins
    quantiles = np.quantile(numbers[fit_rows], shares, method="inverted_cdf")
    # The largest value cuts nothing off: where it is a quantile, the cut goes just below it.
    places = np.minimum(np.searchsorted(distinct, quantiles), len(distinct) - 2)
    for place in np.unique(places[places >= 0]):
        cut = _shortest(distinct[place], distinct[place + 1])
        yield f"{column.name} > {cut}", f"{column.name} <= {cut}", numbers > float(cut)


def _shortest(low: float, high: float) -> str:
    """The shortest decimal t with low <= t < high."""
    for digits in range(17):
        text = (
            np.format_float_positional(low, precision=digits, fractional=False, trim="-")
            if digits
            else "0"
        )
        if low <= float(text) < high:
            return text
    return repr(float(low))

"""Conjunctions of literals that cover enough rows, mined on packed bits."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt64

from bench.rules.bits import pack, sizes
from bench.rules.lists import Rule
from bench.rules.literals import Literals

Selection = Literal["bands", "precision"]


@dataclass(frozen=True)
class RulePool:
    """Mined rules, and the training rows that each covers.

    Attributes
    ----------
    captures : see `pack`; one row a rule, no two are equal.
    """

    rules: tuple[Rule, ...]
    captures: UInt64[np.ndarray, "rules words"]


def mine(
    literals: Literals,
    labels: Int[np.ndarray, " n"],
    *,
    min_support: float,
    max_conditions: int,
    per_label: int,
    selection: Selection = "bands",
    negations: bool = True,
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
    negations : whether conditions may be `excluding`, see `Literals`.
    """
    packed = pack(literals.values.T)
    least = max(1, math.ceil(min_support * len(labels) - 1e-9))
    allowed = [j for j in range(len(packed)) if negations or j not in literals.excluding]
    candidates = _frequent(packed, np.array(allowed, dtype=int), least, max_conditions)
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
    packed: UInt64[np.ndarray, "d words"],
    allowed: Int[np.ndarray, " a"],
    least: int,
    max_conditions: int,
) -> Int[np.ndarray, "m k"]:
    """Conjunctions that cover at least `least` rows; shorter ones repeat their last literal."""
    singles = allowed[sizes(packed[allowed]) >= least]
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

"""Rules: a few features that, once kept, hold a value up whatever happens to the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.setfunction.orders import NOISE
from bench.setfunction.table import SetFunction

NUMBERS = 2**25
"""Entries of the sets made at once."""


@dataclass(frozen=True)
class Rules:
    """A rule for each instance.

    Attributes
    ----------
    place : when each feature entered the rule, from 0 on; p where it stays outside.
    alone : the precision of the rule of that feature alone.
    """

    place: Int[np.ndarray, "n p"]
    alone: Float[np.ndarray, "n p"]


def grow_rules(
    precision_of: SetFunction,
    n: int,
    deleted: Bool[np.ndarray, "m p"],
    threshold: float,
) -> Rules:
    """Add the feature that raises a rule's precision most, until that reaches `threshold`.

    Parameters
    ----------
    precision_of : whether the label stays, of each instance at each set (or how likely).
    deleted : random sets; a rule's precision is the mean over them, the rule's features kept,
        so that all rules are compared on equal luck.
    """
    p = deleted.shape[1]
    place, kept = np.full((n, p), p), np.zeros((n, p), dtype=bool)
    precision = precision_of(deleted).mean(axis=1)
    alone = np.zeros((n, p))
    for size in range(p):
        found = _with_one_more(precision_of, kept, deleted)
        if size == 0:
            alone = found
        growing = (precision < threshold) & (np.ptp(found, axis=1) > NOISE)
        if not growing.any():
            break
        best = np.where(kept, -np.inf, found).argmax(axis=1)
        row = np.flatnonzero(growing)
        place[row, best[row]], kept[row, best[row]] = size, True
        precision[row] = found[row, best[row]]
    return Rules(place, alone)


def _with_one_more(
    precision_of: SetFunction, kept: Bool[np.ndarray, "n p"], deleted: Bool[np.ndarray, "m p"]
) -> Float[np.ndarray, "n p"]:
    """The precision of each instance's rule with each feature added."""
    (n, p), m = kept.shape, len(deleted)
    found, each = np.empty((n, p)), np.eye(p, dtype=bool)
    step = max(1, NUMBERS // (n * m * p))
    for start in range(0, p, step):
        candidates = kept[:, None] | each[start : start + step]
        sets = (deleted & ~candidates[:, :, None]).reshape(n, -1, p)
        found[:, start : start + step] = precision_of(sets).reshape(n, -1, m).mean(axis=2)
    return found

"""Orders of deletion: what lies along them, greedy ones, and how swaps improve them.

All orders put the most influential feature first and are found for all instances at once.
J(pi) = sum_k omega_k h(S_k) with h(S) = F(complement of S) - F(S) and S_k the first k features.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.setfunction.table import SetFunction

Direction = Literal["delete_min", "delete_max", "insert_max", "insert_min", "joint", "backward"]
"""How a greedy order grows, and by what each next feature is chosen.

delete_min : delete what leaves the least F, the most influential first. delete_max : delete what
leaves the largest F, the least influential first. insert_max, insert_min : the same with
everything deleted at first and features restored. joint : the most influential first, by the
largest h. backward : the least influential first, by the smallest h of those found so far.
"""

_GAINS: dict[Direction, tuple[int, int, bool]] = {
    # (a, b, least influential first): the next feature maximises a F(T) + b F(complement of T)
    "delete_min": (-1, 0, False),
    "delete_max": (1, 0, True),
    "insert_max": (0, 1, False),
    "insert_min": (0, -1, True),
    "joint": (-1, 1, False),
    "backward": (1, -1, True),
}

NOISE = 1e-12
"""Differences of F up to this size tell no feature from another."""


@dataclass(frozen=True)
class Ranking:
    """An order for each instance.

    Attributes
    ----------
    orders : the most influential feature first.
    tells : whether any values differed on the way; without that all features tie.
    """

    orders: Int[np.ndarray, "n p"]
    tells: Bool[np.ndarray, " n"]

    @property
    def values(self) -> Float[np.ndarray, "n p"]:
        """p - rank: p for the most influential feature, 1 for the least; 0 where all tie."""
        p = self.orders.shape[1]
        return np.where(self.tells[:, None], p - np.argsort(self.orders, axis=1), 0).astype(float)


def trapezoid(p: int) -> Float[np.ndarray, " levels"]:
    """omega_0 .. omega_p = (1/2, 1, .., 1, 1/2) / p: they sum to 1."""
    weights = np.ones(p + 1)
    weights[[0, -1]] = 0.5
    return weights / p


def prefixes(orders: Int[np.ndarray, "*k p"]) -> Bool[np.ndarray, "*k levels p"]:
    """Which features are deleted after 0, 1, .., p steps."""
    steps = np.arange(orders.shape[-1] + 1)
    first: np.ndarray = np.argsort(orders, axis=-1)[..., None, :] < steps[:, None]
    return first


def along(value: SetFunction, orders: Int[np.ndarray, "n k p"]) -> Float[np.ndarray, "n k levels"]:
    """F after 0, 1, .., p deletions in each of the k orders of each instance."""
    n, k, p = orders.shape
    return value(prefixes(orders).reshape(n, k * (p + 1), p)).reshape(n, k, p + 1)


def greedy(value: SetFunction, null: Bool[np.ndarray, "n p"], direction: Direction) -> Ranking:
    """Grow a set by the feature that is best at each step; the lowest of equally good ones.

    It takes p (p + 1) / 2 - 1 values an instance, twice as many in the joint directions.

    Parameters
    ----------
    null : features that F doesn't know: when one is taken, all others gain what they did.
    """
    of_set, of_rest, reverse = _GAINS[direction]
    n, p = null.shape
    rows, features = np.arange(n), np.eye(p, dtype=bool)
    taken, gains = np.zeros((n, p), dtype=bool), np.zeros((n, p))
    known, tells = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    sequence = []
    for size in range(p - 1):
        left = np.argsort(taken, axis=1, kind="stable")[:, : p - size]
        # Where gains are known one set is asked again and again, which a network is once.
        grown = (taken[:, None] | features[left]) & ~known[:, None, None]
        found = np.zeros(left.shape)
        if of_set:
            found += of_set * value(grown)
        if of_rest:
            found += of_rest * value(~grown)
        found[known] = np.take_along_axis(gains, left, axis=1)[known]
        np.put_along_axis(gains, left, found, axis=1)
        tells |= np.ptp(found, axis=1) > NOISE
        sequence.append(left[rows, found.argmax(axis=1)])
        taken[rows, sequence[-1]] = True
        known = null[rows, sequence[-1]]
    sequence.append(taken.argmin(axis=1))
    orders = np.stack(sequence, axis=1)
    return Ranking(orders[:, ::-1] if reverse else orders, tells)


def polish(
    value: SetFunction,
    orders: Int[np.ndarray, "n p"],
    sweeps: int | None = None,
    *,
    null: Bool[np.ndarray, "n p"] | None = None,
) -> Ranking:
    """Swap neighbours as long as that raises J (odd places, then even ones: no two overlap).

    Swapping the features at places k and k + 1 changes S_k alone, so a sweep takes 2 (p - 1)
    values an instance and never lowers J; a swap that didn't help is tried again when its
    neighbours have changed. It ends with a swap optimum, or after `sweeps`.

    Parameters
    ----------
    sweeps : at most this many, p by default.
    null : features that F doesn't know, whose swaps with others need no value; none by default.
    """
    n, p = orders.shape
    orders = orders.copy()
    null = np.zeros((n, p), dtype=bool) if null is None else null
    h = _differences(value, prefixes(orders))
    tells = np.ptp(h, axis=1) > NOISE
    untried = np.ones(h.shape, dtype=bool)
    for _ in range(p if sweeps is None else sweeps):
        swapped = [_swap(value, orders, null, h, untried, first) for first in (1, 2)]
        if not any(swapped):
            break
    return Ranking(orders, tells | (np.ptp(h, axis=1) > NOISE))


def _swap(
    value: SetFunction,
    orders: Int[np.ndarray, "n p"],
    null: Bool[np.ndarray, "n p"],
    h: Float[np.ndarray, "n levels"],
    untried: Bool[np.ndarray, "n levels"],
    first: int,
) -> bool:
    """Swap places k, k + 1 where that raises h(S_k), k = first, first + 2, ..; in place."""
    n, p = orders.shape
    sizes = np.arange(first, p, 2)
    if not untried[:, sizes].any():
        return False
    exchanged = orders.copy()
    exchanged[:, sizes - 1], exchanged[:, sizes] = orders[:, sizes], orders[:, sizes - 1]
    # For swaps that needn't be tried one set is asked again and again, which a network is once.
    first_null, second_null = (
        np.take_along_axis(null, orders[:, at], axis=1) for at in (sizes - 1, sizes)
    )
    wanted = untried[:, sizes] & ~first_null & ~second_null
    found = _differences(value, prefixes(exchanged)[:, sizes] & wanted[..., None])
    # Without a null first S_k becomes what S_(k+1) is, with a null second what S_(k-1) is.
    found = np.where(second_null, h[:, sizes - 1], found)
    found = np.where(first_null, h[:, sizes + 1], found)
    row, place = np.nonzero((found > h[:, sizes] + NOISE) & untried[:, sizes])
    untried[:, sizes] = False
    k = sizes[place]
    orders[row, k - 1], orders[row, k] = exchanged[row, k - 1], exchanged[row, k]
    h[row, k] = found[row, place]
    untried[row, k - 1] = untried[row, k + 1] = True
    return bool(row.size)


def _differences(value: SetFunction, masks: Bool[np.ndarray, "n m p"]) -> Float[np.ndarray, "n m"]:
    """h(S) = F(complement of S) - F(S)."""
    return value(~masks) - value(masks)

"""Beam search over orders: the best few sets of each size are kept, however they were reached."""

import numpy as np
from jaxtyping import Bool

from bench.setfunction.orders import NOISE, Ranking, trapezoid
from bench.setfunction.table import SetFunction


def beam(value: SetFunction, n: int, p: int, width: int, *, least_first: bool = False) -> Ranking:
    """The best order among those whose sets stay among the `width` best of their size.

    A set of size k is judged by the largest sum_j omega_j h(S_j), j <= k, of the kept orders
    that lead to it, h(S) = F(complement of S) - F(S). Width 1 is the joint greedy order (the
    backward one where `least_first`), 2^p the exact programme. It takes at most
    width p (p + 1) values an instance.

    Parameters
    ----------
    least_first : grow the set of the least influential features, whose h is to be small.
    """
    rows, omega = np.arange(n)[:, None], trapezoid(p)
    taken, scores = np.zeros((n, 1, p), dtype=bool), np.zeros((n, 1))
    orders, tells = np.zeros((n, 1, 0), dtype=np.int64), np.zeros(n, dtype=bool)
    for size in range(p):
        parents = np.repeat(np.arange(taken.shape[1]), p - size)
        added = np.argsort(taken, axis=2, kind="stable")[:, :, : p - size].reshape(n, -1)
        grown = taken[:, parents]
        np.put_along_axis(grown, added[:, :, None], True, axis=2)
        # Parents come best first, so the first way to a set is the best one.
        new = _first_of_equals(grown)
        count = int(new.sum(axis=1).max())
        ways = np.argsort(~new, axis=1, kind="stable")[:, :count]
        sets = grown[rows, ways]
        h = value(~sets) - value(sets) if size < p - 1 else np.zeros((n, count))
        tells |= np.ptp(h, axis=1) > NOISE
        reached = scores[rows, parents[ways]] + omega[size + 1] * (-h if least_first else h)
        reached[~new[rows, ways]] = -np.inf
        best = np.argsort(-reached, axis=1, kind="stable")[:, :width]
        scores, taken, chosen = reached[rows, best], sets[rows, best], ways[rows, best]
        orders = np.concatenate(
            [orders[rows, parents[chosen]], added[rows, chosen][:, :, None]], axis=2
        )
    found = orders[:, 0]
    return Ranking(found[:, ::-1] if least_first else found, tells)


def _first_of_equals(sets: Bool[np.ndarray, "n m p"]) -> Bool[np.ndarray, "n m"]:
    """Whether no earlier set of the same instance equals it, by sums of random 64-bit keys."""
    keys = np.random.default_rng(0).integers(2**64, size=sets.shape[2], dtype=np.uint64)
    sums = np.where(sets, keys, np.uint64(0)).sum(axis=2, dtype=np.uint64)
    order = np.argsort(sums, axis=1, kind="stable")
    ranked = np.take_along_axis(sums, order, axis=1)
    first = np.ones(sums.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ranked[:, 1:] != ranked[:, :-1], axis=1)
    return first

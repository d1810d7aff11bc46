"""Orders made exact inside windows: every run of w neighbours is put in its best order."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.setfunction.lattice import least_area
from bench.setfunction.orders import NOISE, Ranking
from bench.setfunction.table import SetFunction

Aim = Literal["joint", "least", "most"]
"""What a better order has: a larger J, a smaller A, or a larger A of its reverse."""

MASKED = 2**24
"""Entries of the masks asked at once."""


def window(
    value: SetFunction,
    orders: Int[np.ndarray, "n p"],
    width: int = 8,
    *,
    aim: Aim = "joint",
    sweeps: int = 4,
) -> Ranking:
    """The programme over all 2^width subsets of each run of neighbours, half a run at a time.

    What comes before a run and behind it stays, so the aim never gets worse. Width 2 swaps
    neighbours, as `polish` does. A sweep takes at most 2^width values at each of about
    2 p / width places an instance, twice as many for `joint`.

    Parameters
    ----------
    width : neighbours put in order at once; p or more is the exact optimum.
    sweeps : at most this many; fewer where one changes nothing.

    Raises
    ------
    ValueError
        where the width is no number of features above 1.
    """
    if width < 2:
        raise ValueError(f"width={width}: wanted at least 2 neighbours")
    p = orders.shape[1]
    orders, width = orders.copy(), min(width, p)
    starts = sorted({*range(0, p - width, max(1, width // 2)), p - width})
    tells = np.zeros(len(orders), dtype=bool)
    settled = np.zeros(len(starts), dtype=bool)
    for _ in range(sweeps if width > 1 else 0):
        for at, start in enumerate(starts):
            if settled[at]:
                continue
            moved, differs = _ordered(value, orders, start, width, aim)
            tells |= differs
            settled[at] = True
            if moved:  # runs that share features with this one may improve once more
                near = [abs(other - start) < width for other in starts]
                settled[np.array(near) & (np.arange(len(starts)) != at)] = False
        if settled.all():
            break
    return Ranking(orders, tells)


def _ordered(
    value: SetFunction, orders: Int[np.ndarray, "n p"], start: int, width: int, aim: Aim
) -> tuple[bool, Bool[np.ndarray, " n"]]:
    """Put the run from `start` in its best order, in place; whether any changed, who differs."""
    cost = _costs(value, np.argsort(orders, axis=1), start, width, aim)
    least, found = least_area(cost)
    # All sets inside a run weigh the same in J; the programme halves its two ends, which are
    # fixed. Before, the run lay in the order of its numbers: sets of the first 0, 1, .. bits.
    along = cost[:, 2 ** np.arange(width + 1) - 1]
    before = (along.sum(axis=1) - (along[:, 0] + along[:, -1]) / 2) / width
    better = np.flatnonzero(least < before - NOISE)
    run = orders[better, start : start + width]
    orders[better, start : start + width] = np.take_along_axis(run, found[better], axis=1)
    return bool(better.size), np.ptp(cost, axis=1) > NOISE


def _costs(
    value: SetFunction, ranks: Int[np.ndarray, "n p"], start: int, width: int, aim: Aim
) -> Float[np.ndarray, "n sets"]:
    """What is to be least, of all sets of a run together with what comes before it."""
    n, p = ranks.shape
    place = np.clip(ranks - start, 0, width)
    before, at = (ranks < start)[:, None], place[:, None]
    some = max(1, MASKED // (n * p))
    parts = []
    for first in range(0, 2**width, some):
        numbers = np.arange(first, min(first + some, 2**width))[:, None]
        # A feature behind the run has place `width`, a digit that no number has.
        masks = before | ((numbers >> at) & (ranks >= start)[:, None] == 1)
        parts.append(_cost(value, masks, aim))
    return np.concatenate(parts, axis=1)


def _cost(
    value: SetFunction, masks: Bool[np.ndarray, "n m p"], aim: Aim
) -> Float[np.ndarray, "n m"]:
    if aim == "least":
        return value(masks)
    if aim == "most":
        return -value(~masks)
    return value(masks) - value(~masks)

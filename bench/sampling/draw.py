"""Samples of rows: with exact counts of every bin, or as controls draw them."""

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.plan import Plan

Rows = Int[np.ndarray, " k"]


def systematic(plan: Plan, *, rng: np.random.Generator) -> Rows:
    """A sample in which row i is with probability plan.inclusion_i, bins as wanted every time.

    A bin's rows, in random order, lie end to end, each as long as its units; taken is where a
    comb with teeth `capacity` apart, laid at random, touches. Whole numbers throughout.

    Returns
    -------
    rows : in ascending order.

    References
    ----------
    Madow, *On the theory of systematic sampling, II*, 1949.
    """
    drawn = []
    for members, units in _each_bin(plan, rng):
        teeth = (np.cumsum(units) - 1 - rng.integers(plan.capacity)) // plan.capacity
        drawn.append(members[np.diff(teeth, prepend=-1) > 0])
    return np.sort(np.concatenate(drawn))


def pivotal(plan: Plan, *, rng: np.random.Generator) -> Rows:
    """The same by duels: two rows meet, one leaves with all or with nothing, the other stays with
    the rest; more pairs of rows can be drawn together than by `systematic`.

    References
    ----------
    Deville, Tille, *Unequal probability sampling without replacement through a splitting
    method*, Biometrika 1998.
    """
    drawn = []
    for members, units in _each_bin(plan, rng):
        drawn.append(members[_duels(units, plan.capacity, rng)])
    return np.sort(np.concatenate(drawn))


def successive(weights: Float[np.ndarray, " n"], size: int, *, rng: np.random.Generator) -> Rows:
    """Row after row by the weights of those that are left, as the paper's authors draw.

    A control: probabilities of inclusion aren't K nu, and counts of bins come as they may.

    Raises
    ------
    ValueError
        where fewer rows than `size` have weight.
    """
    if (weights > 0).sum() < size:
        raise ValueError(f"{(weights > 0).sum()} rows have weight: wanted at least {size}")
    return np.sort(rng.choice(len(weights), size, replace=False, p=weights / weights.sum()))


def case_control(
    bins: Int[np.ndarray, " n"], wanted: Int[np.ndarray, " bins"], *, rng: np.random.Generator
) -> Rows:
    """As many rows of each bin as wanted, all rows of a bin alike: fair, but not stealthy."""
    members = [np.flatnonzero(bins == g) for g in range(len(wanted))]
    drawn = [rng.choice(rows, k, replace=False) for rows, k in zip(members, wanted, strict=True)]
    return np.sort(np.concatenate(drawn))


def honest(n: int, size: int, *, rng: np.random.Generator) -> Rows:
    """Any `size` of n rows, all alike."""
    return np.sort(rng.choice(n, size, replace=False))


def _each_bin(
    plan: Plan, rng: np.random.Generator
) -> list[tuple[Int[np.ndarray, " of_bin"], Int[np.ndarray, " of_bin"]]]:
    """The rows of each bin that have units, in random order."""
    shuffled = rng.permutation(len(plan.units))
    shuffled = shuffled[plan.units[shuffled] > 0]
    members = [shuffled[plan.bins[shuffled] == g] for g in range(len(plan.wanted))]
    return [(rows, plan.units[rows]) for rows in members]


def _duels(
    units: Int[np.ndarray, " of_bin"], capacity: int, rng: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    """Places of the winners."""
    drawn, holder, held = [], -1, 0
    chances = rng.random(len(units))
    for place, (mine, chance) in enumerate(zip(units.tolist(), chances.tolist(), strict=True)):
        both = held + mine
        if both < capacity:  # one of the two leaves with nothing
            stays = holder if chance * both < held else place
        else:  # one of the two is drawn
            rest = both - capacity
            wins = holder if chance * (2 * capacity - both) >= capacity - held else place
            stays = place if wins == holder else holder
            both = rest
            drawn.append(wins)
        holder, held = stays, both
    return np.array([place for place in drawn if place >= 0], dtype=np.int64)

"""The closest weights of many rows: few pairs at first, more by their prices, until proven.

A flow over some pairs gives a cost and prices. The prices, applied to all pairs, give a lower
bound, and the pairs that would improve the flow; these are added. The first pairs are those that
the prices of a coarser problem recommend.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.coarse import coarser, interpolated
from bench.sampling.flow import Arcs, cheapest_flow
from bench.sampling.nearest import cheapest_of_bins
from bench.sampling.potentials import prices
from bench.sampling.sites import Sites, added

STEPS = 2**36
"""Whole numbers from 0 to the largest distance: times the number of nodes, 64 bits hold them."""


@dataclass(frozen=True)
class Pass:
    """A flow over some pairs, judged over all.

    Attributes
    ----------
    units : that leave each site.
    prices : of the sites.
    cost, bound : of the flow; of all flows at least; for mass 1.
    violated : pairs that would improve it, of those that were found.
    resolution : by what the cost may exceed the optimum where none was found: distances are
        rounded (half a step, there and back), and pairs that save less than a step aren't added.
    passes : so many flows were solved on this level.
    """

    units: Int[np.ndarray, " m"]
    prices: Float[np.ndarray, " m"]
    cost: float
    bound: float
    violated: int
    resolution: float
    passes: int

    def done(self, gap: float) -> bool:
        return not self.violated or self.cost - self.bound <= gap * self.cost


@dataclass(frozen=True)
class Pricing:
    """How many pairs are looked at.

    Parameters
    ----------
    smallest : sites of the coarsest problem, about; its first pairs are the `at_first` nearest of
        every bin. first, more : pairs of each site with each bin, at the start of a level and
        after each flow at most.
    coarse_gap : where the coarser levels end.
    """

    smallest: int = 1000
    at_first: int = 40
    first: int = 6
    more: int = 4
    coarse_gap: float = 1e-3


def solve(sites: Sites, gap: float, pricing: Pricing, until: float = inf) -> Pass:
    """The last pass, with this relative gap at most; 0: until no pair improves.

    Parameters
    ----------
    until : the process's CPU time after which no further pass begins; one is made in any case.
    """
    if len(sites) <= pricing.smallest:
        start, k = np.zeros(len(sites)), pricing.at_first
    else:
        coarse = coarser(sites)
        guide = solve(coarse, max(gap, pricing.coarse_gap), pricing, until)
        start, k = interpolated(coarse, guide.prices, sites), pricing.first
    for found in passes(sites, start, k, pricing.more):
        if found.done(gap) or time.process_time() > until:
            break
    return found


def passes(sites: Sites, start: Float[np.ndarray, " m"], first: int, more: int) -> Iterator[Pass]:
    """Flow after flow, each over more pairs than the one before, until no pair improves.

    Parameters
    ----------
    start : prices by which the first pairs are chosen.
    """
    scale, pairs = _steps(sites), _first_pairs(sites, start, first)
    for count in itertools.count(1):
        columns, rows = np.divmod(pairs, len(sites))
        distances = sites.distances(rows, columns)
        steps = np.rint(distances * scale).astype(np.int64)
        flow = cheapest_flow(sites, Arcs(rows, columns), steps)
        if flow is None:
            pairs = _distinct(np.concatenate([pairs, _enough_pairs(sites)]))
            continue
        units = added(flow, rows, len(sites))
        full, n_bins = units == sites.capacity, len(sites.supply)
        charged = prices(rows, columns, steps, flow, sites.bins, full, n_bins) / (2 * scale)
        paid = np.full(len(sites), -np.inf)
        used = flow > 0
        paid[columns[used]] = steps[used] / scale + charged[rows[used]]
        values, new = _priced(sites, charged, paid - 1 / scale, more)
        cost = float(flow @ distances / sites.total)
        bound = sites.bound(charged, values)
        yield Pass(units, charged, cost, bound, len(new), 1.5 / scale, count)
        if not len(new):
            return
        pairs = _distinct(np.concatenate([pairs, new]))


def _steps(sites: Sites) -> float:
    """Whole numbers per unit of squared distance, a power of two."""
    extent = float(((sites.points.max(axis=0) - sites.points.min(axis=0)) ** 2).sum())
    return float(2.0 ** np.floor(np.log2(STEPS / extent))) if extent else 1.0


def _priced(
    sites: Sites, charged: Float[np.ndarray, " m"], paid: Float[np.ndarray, " m"], more: int
) -> tuple[Float[np.ndarray, " m"], Int[np.ndarray, " new"]]:
    """Of all pairs: the values that the prices allow; the pairs that cost less than is paid."""
    values, new = np.full(len(sites), np.inf), []
    for rows, costs in cheapest_of_bins(sites, charged, more):
        values = np.minimum(values, costs[:, 0])
        columns, places = np.nonzero(costs < paid[:, None])
        new.append(columns * len(sites) + rows[columns, places])
    return values, np.concatenate(new)


def _first_pairs(sites: Sites, start: Float[np.ndarray, " m"], k: int) -> Int[np.ndarray, " arcs"]:
    """Each site with itself and with the cheapest of each bin."""
    columns = np.arange(len(sites))
    found = [columns * len(sites) + columns]
    for rows, _ in cheapest_of_bins(sites, start, k):
        found.append((columns[:, None] * len(sites) + rows).ravel())
    return _distinct(np.concatenate(found))


def _distinct(keys: Int[np.ndarray, " keys"]) -> Int[np.ndarray, " fewer"]:
    """In ascending order; faster than NumPy's, which hashes before it sorts."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]


def _enough_pairs(sites: Sites) -> Int[np.ndarray, " arcs"]:
    """Pairs over which any supply can be brought to any demand, at any cost: sites and demands
    side by side, in the order of the coordinates."""
    order = np.lexsort(sites.points.T)
    leaving = _filled(sites)[order]
    edges = np.unique(np.concatenate([np.cumsum(leaving), np.cumsum(sites.demand[order])]))
    rows = np.searchsorted(np.cumsum(leaving), edges)
    columns = np.searchsorted(np.cumsum(sites.demand[order]), edges)
    return _distinct(order[columns] * len(sites) + order[rows])


def _filled(sites: Sites) -> Int[np.ndarray, " m"]:
    """Units that leave each site, if each bin's sites are emptied one after the other."""
    units = np.zeros(len(sites), dtype=np.int64)
    for members, supply in zip(sites.members(), sites.supply, strict=True):
        ends = np.minimum(np.cumsum(sites.capacity[members]), supply)
        units[members] = np.diff(ends, prepend=0)
    return units

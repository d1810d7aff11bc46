"""The sites that are cheapest for each site when sites have prices, among all, without all pairs.

distance_ij + price_i is a squared distance in one more dimension: between (x_i, sqrt(price_i))
and (x_j, 0), prices counted from the lowest of a bin. A tree finds the nearest of these exactly.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.sites import Sites

TREE_DIMENSIONS = 12
"""Beyond, a tree visits nearly all points: blocks of all pairs are faster."""

_BLOCK = 1 << 22
"""Pairs at a time."""

Pairs = tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]


def cheapest_of_bins(sites: Sites, prices: Float[np.ndarray, " m"], k: int) -> Iterator[Pairs]:
    """For each bin, its sites that are cheapest for each site.

    Yields
    ------
    rows : of each site j the k sites i of the bin (all of them, if it has fewer) with the least
        distance_ij + prices_i, cheapest first.
    costs : these sums, computed from the coordinates.
    """
    everywhere = np.arange(len(sites))
    flat = np.column_stack([sites.points, np.zeros(len(sites))])
    for members in sites.members():
        if not len(members):
            continue
        height = np.sqrt(prices[members] - prices[members].min())
        lifted = np.column_stack([sites.points[members], height])
        found = members[nearest(lifted, flat, min(k, len(members)))]
        costs = np.stack(
            [sites.distances(rows, everywhere) + prices[rows] for rows in found.T], axis=1
        )
        order = np.argsort(costs, axis=1, kind="stable")
        yield np.take_along_axis(found, order, 1), np.take_along_axis(costs, order, 1)


def nearest(
    known: Float[np.ndarray, "c d"], points: Float[np.ndarray, "m d"], k: int
) -> Int[np.ndarray, "m k"]:
    """The places of the k known points that are nearest to each point."""
    if known.shape[1] > TREE_DIMENSIONS:
        return _nearest_of_all(known, points, k)
    from scipy.spatial import cKDTree

    found = cKDTree(known).query(points, k=[*range(1, k + 1)])[1]
    return np.asarray(found, dtype=np.int64)


def _nearest_of_all(
    known: Float[np.ndarray, "c d"], points: Float[np.ndarray, "m d"], k: int
) -> Int[np.ndarray, "m k"]:
    """By all pairs, some points at a time."""
    squares, found = (known**2).sum(axis=1), []
    step = max(_BLOCK // len(known), 1)
    for start in range(0, len(points), step):
        costs = squares - 2 * (points[start : start + step] @ known.T)
        # a view would keep the whole block
        found.append(np.argpartition(costs, k - 1, axis=1)[:, :k].copy())
    return np.concatenate(found).astype(np.int64)

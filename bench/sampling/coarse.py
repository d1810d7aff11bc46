"""A problem with a quarter of the sites, and what its prices say about all of them."""

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.sites import Sites

RIDGE = 1e-6
"""Of the spread of the neighbours: decides only where they don't span all directions."""

_CHUNK = 1 << 14


def coarser(sites: Sites, by: int = 4) -> Sites:
    """About `by` neighbours of a bin in one site, where they are on average.

    Units are added, so every bin has its supply and every part of space (a group's, say) its
    demand: what must be moved far is the same on all levels. Neighbours follow each other in the
    order of a tree that halves the points at medians.
    """
    from scipy.spatial import cKDTree

    block = np.empty(len(sites), dtype=np.int64)
    first = 0
    for members in sites.members():
        if len(members):
            order = members[cKDTree(sites.points[members], leafsize=by).indices]
            block[order] = first + np.arange(len(order)) // by
            first = int(block[order[-1]]) + 1
    counts = np.bincount(block)
    centres = np.stack(
        [np.bincount(block, coordinate) / counts for coordinate in sites.points.T], axis=1
    )
    bins = np.empty(first, dtype=np.int64)
    bins[block] = sites.bins
    capacity, demand = (_added(units, block, first) for units in (sites.capacity, sites.demand))
    return Sites(centres, bins, capacity, demand, sites.supply)


def interpolated(
    coarse: Sites, prices: Float[np.ndarray, " coarse"], sites: Sites
) -> Float[np.ndarray, " m"]:
    """Prices of sites from those of a coarser problem, as smooth as they are there.

    In each bin a linear function is fitted to the d + 2 nearest coarse sites, the nearer with
    more weight (1 / squared distance). Where a whole region is sold out its price rises steadily
    towards the middle: a step function would send all buyers to the edge of a step, and many
    passes would be spent on bringing them away.
    """
    fine = np.empty(len(sites))
    for members, known in zip(sites.members(), coarse.members(), strict=True):
        for start in range(0, len(members), _CHUNK):
            part = members[start : start + _CHUNK]
            fitted = _linear(coarse.points[known], prices[known], sites.points[part])
            fine[part] = np.maximum(fitted, prices[known].min())
    return fine


def _linear(
    known: Float[np.ndarray, "c d"],
    values: Float[np.ndarray, " c"],
    points: Float[np.ndarray, "m d"],
) -> Float[np.ndarray, " m"]:
    """At each point the value of the plane through its neighbours, by weighted least squares."""
    from scipy.spatial import cKDTree

    k = min(known.shape[1] + 2, len(known))
    apart, near = cKDTree(known).query(points, k=[*range(1, k + 1)])
    squares = apart**2
    weights = 1 / (squares + 1e-3 * squares.mean(axis=1, keepdims=True) + np.finfo(float).tiny)
    weights /= weights.sum(axis=1, keepdims=True)
    offsets, nearby = known[near] - points[:, None], values[near]
    middle = np.einsum("mk,mkd->md", weights, offsets)
    level = np.einsum("mk,mk->m", weights, nearby)
    offsets -= middle[:, None]
    spread = np.einsum("mka,mk,mkb->mab", offsets, weights, offsets)
    trace = np.trace(spread, axis1=1, axis2=2) + np.finfo(float).tiny
    spread += RIDGE * trace[:, None, None] * np.eye(known.shape[1])
    moment = np.einsum("mka,mk,mk->ma", offsets, weights, nearby - level[:, None])
    slope = np.linalg.solve(spread, moment[..., None])[..., 0]
    fitted: np.ndarray = level - (slope * middle).sum(axis=1)
    return fitted


def _added(
    units: Int[np.ndarray, " m"], block: Int[np.ndarray, " m"], blocks: int
) -> Int[np.ndarray, " blocks"]:
    """Sums over blocks, in whole numbers."""
    sums = np.zeros(blocks, dtype=np.int64)
    np.add.at(sums, block, units)
    return sums

"""A problem with a quarter of the sites, and what its prices say about all of them."""

import numpy as np
from jaxtyping import Float

from bench.sampling.nearest import TREE_DIMENSIONS, nearest
from bench.sampling.sites import Sites, added

RIDGE = 1e-6
"""Of the spread of the neighbours: decides only where they don't span all directions."""

FEW = 4
"""Neighbours in many dimensions."""

_CHUNK = 1 << 14
"""Sites at a time."""


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
    capacity, demand = (added(units, block, first) for units in (sites.capacity, sites.demand))
    return Sites(centres, bins, capacity, demand, sites.supply)


def interpolated(
    coarse: Sites, prices: Float[np.ndarray, " coarse"], sites: Sites
) -> Float[np.ndarray, " m"]:
    """Prices of sites from those of a coarser problem, as smooth as they are there.

    In each bin a linear function is fitted to the d + 2 nearest coarse sites, the nearer with
    more weight (1 / squared distance); in many dimensions, where neighbours are few and far, their
    weighted mean is taken. Where a whole region is sold out its price rises steadily towards the
    middle: a step function would send all buyers to the edge of a step, and many passes would be
    spent on bringing them away.
    """
    fine, d = np.empty(len(sites)), sites.points.shape[1]
    fit, k = (_plane, d + 2) if d < TREE_DIMENSIONS else (_mean, FEW)
    for members, known in zip(sites.members(), coarse.members(), strict=True):
        if not len(members):
            continue
        near = nearest(coarse.points[known], sites.points[members], min(k, len(known)))
        for start in range(0, len(members), _CHUNK):
            part = slice(start, start + _CHUNK)
            of_part = known[near[part]]
            offsets = coarse.points[of_part] - sites.points[members[part], None]
            fitted = fit(offsets, prices[of_part])
            fine[members[part]] = np.maximum(fitted, prices[known].min())
    return fine


def _weights(offsets: Float[np.ndarray, "m k d"]) -> Float[np.ndarray, "m k"]:
    """Inverse squared distances, none of them overwhelming; of each point they sum to 1."""
    squares = np.einsum("mkd,mkd->mk", offsets, offsets)
    typical = squares.mean(axis=1, keepdims=True)
    weights = 1 / (squares + np.where(typical > 0, 1e-3 * typical, 1.0))
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _mean(
    offsets: Float[np.ndarray, "m k d"], values: Float[np.ndarray, "m k"]
) -> Float[np.ndarray, " m"]:
    """Of the neighbours' values."""
    return np.asarray((_weights(offsets) * values).sum(axis=1))


def _plane(
    offsets: Float[np.ndarray, "m k d"], values: Float[np.ndarray, "m k"]
) -> Float[np.ndarray, " m"]:
    """The value at 0 of the plane through the neighbours, by weighted least squares."""
    weights = _weights(offsets)
    middle = np.einsum("mk,mkd->md", weights, offsets)
    level = (weights * values).sum(axis=1)
    offsets = offsets - middle[:, None]
    spread = np.einsum("mka,mk,mkb->mab", offsets, weights, offsets, optimize=True)
    trace = np.trace(spread, axis1=1, axis2=2)
    ridge = np.where(trace > 0, RIDGE * trace, 1.0)
    spread += ridge[:, None, None] * np.eye(offsets.shape[2])
    moment = np.einsum("mka,mk->ma", offsets, weights * (values - level[:, None]))
    slope = np.linalg.solve(spread, moment[..., None])[..., 0]
    fitted: np.ndarray = level - (slope * middle).sum(axis=1)
    return fitted

"""The weights nearest to uniform ones, in Wasserstein's distance, that make a sample fair.

    min over nu of W(nu, uniform)   with   sum of nu over bin g = K_g / K,   0 <= nu_i <= 1 / K

W is the least cost at which mass is moved, squared Euclid for each unit. Fukuchi, Hara, Maehara,
*Faking Fairness via Stealthily Biased Sampling*, AAAI 2020.
"""

import time
from math import inf
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.dense import dense_transport
from bench.sampling.plan import Plan
from bench.sampling.sites import merged
from bench.sampling.sparse import Pricing, solve

DENSE_UP_TO = 1000
"""Rows at different places, of which POT takes all pairs."""


def closest_weights(
    points: Float[np.ndarray, "n d"],
    bins: Int[np.ndarray, " n"],
    wanted: Int[np.ndarray, " bins"],
    *,
    gap: float = 1e-4,
    seconds: float = inf,
    solver: Literal["auto", "dense", "sparse"] = "auto",
    pricing: Pricing | None = None,
) -> Plan:
    """Weights of rows from which a stealthily biased sample is drawn.

    Rows of a bin at the same place are taken together, and get the same weight up to one unit.

    Parameters
    ----------
    points : [x, s], scaled as wanted: by `located`.
    bins : each row's bin.
    wanted : rows wanted of each bin.
    gap : by what part the cost may exceed the proven bound; 0: until no pair of rows improves.
    seconds : CPU seconds after which the sparse solver begins no further pass: the gap that is
        left is in the plan.
    solver : `dense` looks at all pairs (POT), `sparse` at as many as a proof needs (OR-Tools);
        `auto` takes the first up to `DENSE_UP_TO` places.

    Raises
    ------
    ValueError
        where a bin has fewer rows than are wanted of it.
    Unsupported
        where the solver's package isn't installed.
    """
    _check(points, bins, wanted, gap)
    start = time.process_time()
    rows = merged(points, bins, wanted)
    sites = rows.sites
    if solver == "dense" or (solver == "auto" and len(sites) <= DENSE_UP_TO):
        units, prices, values, cost = dense_transport(sites)
        bound, passes = sites.bound(prices, values), 1
        resolution = abs(cost - bound)  # rounding of double precision
        proven = resolution <= 1e-9 * cost
    else:
        last = solve(sites, gap, pricing or Pricing(), start + seconds)
        units, prices, passes = last.units, last.prices, last.passes
        cost, bound = last.cost, last.bound
        proven, resolution = not last.violated, last.resolution
    return Plan(
        rows.spread(units),
        rows.capacity,
        bins.astype(np.int64),
        wanted.astype(np.int64),
        cost,
        bound,
        prices[rows.site],
        proven,
        resolution,
        passes,
        time.process_time() - start,
    )


def _check(
    points: Float[np.ndarray, "n d"],
    bins: Int[np.ndarray, " n"],
    wanted: Int[np.ndarray, " bins"],
    gap: float,
) -> None:
    if not np.isfinite(points).all():
        raise ValueError("points hold a value that isn't finite: wanted none")
    if gap < 0:
        raise ValueError(f"gap={gap}: wanted 0 or more")
    if bins.min() < 0 or bins.max() >= len(wanted):
        raise ValueError(f"bins {bins.min()} to {bins.max()}: wanted 0 to {len(wanted) - 1}")
    if (wanted < 0).any() or not wanted.any():
        raise ValueError(f"wanted={wanted.tolist()}: wanted 0 rows or more of a bin, 1 at least")
    sizes = np.bincount(bins, minlength=len(wanted))
    for g in np.flatnonzero(wanted > sizes):
        raise ValueError(f"{wanted[g]} rows are wanted of bin {g}, which has {sizes[g]}")

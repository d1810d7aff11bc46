"""The best of all p! orders, exactly: a dynamic programme over the lattice of 2^p sets.

An order deletes the features one by one; a cost of each set met is summed with trapezoid weights.
D(nothing) = omega_0 cost(nothing), D(S) = omega_|S| cost(S) + min over i in S of D(S without i).
"""

import inspect
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from bench.setfunction.orders import trapezoid
from bench.setfunction.table import sizes

COMPILED_FROM = 2**26
"""Sets times features times instances from which loading numba (half a second) pays."""


def least_area(
    cost: Float[np.ndarray, "n sets"], *, compiled: bool | None = None
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n p"]]:
    """The least weighted sum of `cost` along an order, and such an order, for each instance.

    Parameters
    ----------
    cost : of all 2^p sets in numeric order, see `bench.setfunction.table`.
    compiled : whether numba runs the programme; by default where it is installed and pays.
        Both ways give equal numbers.

    Returns
    -------
    the sums sum_k omega_k cost({pi_1 .. pi_k}), and the orders pi. Of equally good last
    features the lowest is deleted last.
    """
    n, p = len(cost), int(cost.shape[1]).bit_length() - 1
    if compiled is None:
        compiled = cost.size * p >= COMPILED_FROM and _kernel() is not None
    weighted = trapezoid(p)[sizes(p)] * cost
    kernel = _kernel() if compiled else None
    if kernel is not None:
        total = np.ascontiguousarray(weighted)
        for row in total:
            kernel(row)
    else:
        total = _by_levels(weighted, p)
    return total[:, -1], _backtracked(total, n, p)


def _by_levels(weighted: Float[np.ndarray, "n sets"], p: int) -> Float[np.ndarray, "n sets"]:
    """The programme a level at a time, all instances at once."""
    costs = np.ascontiguousarray(weighted.T)
    total = np.full_like(costs, np.inf)
    total[0] = costs[0]
    level = sizes(p)
    for size in range(1, p + 1):
        sets = np.flatnonzero(level == size)
        best = np.full((len(sets), costs.shape[1]), np.inf)
        for bit in 1 << np.arange(p):
            # A set without this feature meets itself here, which is still infinite.
            np.minimum(best, total[sets & ~bit], out=best)
        total[sets] = costs[sets] + best
    return np.ascontiguousarray(total.T)


def _backtracked(total: Float[np.ndarray, "n sets"], n: int, p: int) -> Int[np.ndarray, "n p"]:
    orders = np.empty((n, p), dtype=np.int64)
    bits, rows = 1 << np.arange(p), np.arange(n)
    sets = np.full(n, 2**p - 1)
    for step in reversed(range(p)):
        before = np.where(sets[:, None] & bits, total[rows[:, None], sets[:, None] & ~bits], np.inf)
        orders[:, step] = before.argmin(axis=1)
        sets &= ~bits[orders[:, step]]
    return orders


@lru_cache(maxsize=1)
def _kernel() -> Callable[[np.ndarray], None] | None:
    """The programme in place on one instance's weighted costs, or None without numba.

    In numeric order every subset comes before its supersets, so no levels are needed.
    """
    try:
        import numba
    except ImportError:
        return None

    def programme(total: np.ndarray) -> None:
        for s in range(1, total.size):
            best = np.inf
            bits = s
            while bits:
                low = bits & -bits
                best = min(best, total[s ^ low])
                bits ^= low
            total[s] += best

    # Unwrapped: a type checker may have been put around every function.
    kernel: Callable[[np.ndarray], None] = numba.njit(inspect.unwrap(programme))
    return kernel

"""The best of all p! orders, exactly: a dynamic programme over the lattice of 2^p sets.

An order deletes the features one by one; a cost of each set met is summed with trapezoid weights.
D(nothing) = omega_0 cost(nothing), D(S) = omega_|S| cost(S) + min over i in S of D(S without i).
Float64 throughout: sets whose F is within 1e-7 of 1 are told apart.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bench.setfunction.orders import trapezoid
from bench.setfunction.table import sizes

COMPILED_FROM = 2**27
"""Sets times features times instances from which loading numba and compiling (a second) pays; a
problem has three objectives."""

LANES = 2**20
"""Sets times instances of which the plain programme does a level at once, 8 to 16 MiB."""

WIDTH = 16
"""Sets that the compiled programme does together."""

Objective = Literal["least", "most", "joint", "least_kindly", "most_kindly"]
"""Whose least sum is looked for: F, -F, or F(S) - F(complement of S), whose sum is -J.

The kindly ones choose, of the orders that are best for one side, the one that is best for the
other: without that the numbers of the features would choose.
"""

KINDNESS = 1e-5
"""What the other side weighs there: more than the rounding of a float32 network, and a change of
the own side that no score shows."""

_COSTS: dict[Objective, tuple[float, float]] = {  # a, b of a F(S) + b F(complement of S)
    "least": (1.0, 0.0),
    "most": (-1.0, 0.0),
    "joint": (1.0, -1.0),
    "least_kindly": (1.0, -KINDNESS),
    "most_kindly": (-1.0, KINDNESS),
}

Programme = Callable[
    [np.ndarray, float, float, np.ndarray, np.ndarray, np.ndarray, np.ndarray], None
]


def least_area(
    table: Float[np.ndarray, "n sets"],
    objective: Objective = "least",
    *,
    compiled: bool | None = None,
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n p"]]:
    """The least weighted sum of a cost along an order, and such an order, for each instance.

    Memory beyond the table: two numbers a set, whatever the number of instances.

    Parameters
    ----------
    table : of all 2^p sets in numeric order, see `bench.setfunction.table`.
    objective : the cost of a set.
    compiled : whether numba runs the programme; by default where it is installed and pays.
        Both ways give equal numbers.

    Returns
    -------
    the sums sum_k omega_k cost({pi_1 .. pi_k}), and the orders pi. Of equally good last
    features the lowest is deleted last.
    """
    table = np.ascontiguousarray(table)
    n, p = len(table), int(table.shape[1]).bit_length() - 1
    own, other = _COSTS[objective]
    sums, orders = np.empty(n), np.empty((n, p), dtype=np.int64)
    wanted = table.size * p >= COMPILED_FROM if compiled is None else compiled
    kernel = _kernel() if wanted and 2**p >= WIDTH else None
    if kernel is not None:
        kernel(table, own, other, trapezoid(p), np.empty(2**p), sums, orders)
        return sums, orders
    lanes = max(1, LANES >> p)
    for start in range(0, n, lanes):
        some = slice(start, start + lanes)
        weighted = own * table[some].T
        if other:
            weighted += other * table[some, ::-1].T
        total = _by_levels(np.ascontiguousarray(trapezoid(p)[sizes(p), None] * weighted))
        sums[some] = total[-1]
        orders[some] = _backtracked(total)
    return sums, orders


def _by_levels(total: Float[np.ndarray, "sets n"]) -> Float[np.ndarray, "sets n"]:
    """The programme in place on weighted costs, a level at a time, all instances at once."""
    p = len(total).bit_length() - 1
    level = sizes(p)
    for size in range(1, p + 1):
        sets = np.flatnonzero(level == size)
        best = np.full((len(sets), total.shape[1]), np.inf)
        smaller, left = np.empty_like(best), sets.copy()
        for _ in range(size):
            member = left & -left
            np.take(total, sets ^ member, axis=0, out=smaller, mode="clip")
            np.minimum(best, smaller, out=best)
            left ^= member
        total[sets] += best
    return total


def _backtracked(total: Float[np.ndarray, "sets n"]) -> Int[np.ndarray, "n p"]:
    p, n = len(total).bit_length() - 1, total.shape[1]
    orders = np.empty((n, p), dtype=np.int64)
    bits, rows = 1 << np.arange(p), np.arange(n)
    sets = np.full(n, 2**p - 1)
    for step in reversed(range(p)):
        before = np.where(sets[:, None] & bits, total[sets[:, None] & ~bits, rows[:, None]], np.inf)
        orders[:, step] = before.argmin(axis=1)
        sets &= ~bits[orders[:, step]]
    return orders


@lru_cache(maxsize=1)
def _kernel() -> Programme | None:
    """The programme for every row of a table, or None without numba.

    In numeric order every subset comes before its supersets, so no levels are needed. Sixteen
    sets that differ in the lowest features alone go together: the minimum over the other
    features is one of rows of sixteen, which the compiler makes vector instructions.
    """
    try:
        import numba
    except ImportError:
        return None

    def programme(
        table: np.ndarray,
        own: float,
        other: float,
        omega: np.ndarray,
        total: np.ndarray,
        sums: np.ndarray,
        orders: np.ndarray,
    ) -> None:
        p = orders.shape[1]
        width = WIDTH  # known to the compiler: the minima stay in registers
        blocks = total.reshape(-1, width)
        best = np.empty(width)
        weights = np.empty((p + 1, width))  # by the size among the other features
        for s in range(width):
            size, bits = 0, s
            while bits:
                bits &= bits - 1
                size += 1
            for larger in range(p + 1):
                weights[larger, s] = omega[min(larger + size, p)]
        for row in range(len(table)):
            costs = table[row].reshape(-1, width)
            for b in range(len(blocks)):
                block, cost = blocks[b], costs[b]
                opposite = costs[len(blocks) - 1 - b]
                best[:] = np.inf
                size, bits = 0, b
                while bits:
                    low = bits & -bits
                    smaller = blocks[b ^ low]
                    for s in range(width):
                        best[s] = smaller[s] if smaller[s] < best[s] else best[s]
                    bits ^= low
                    size += 1
                weight = weights[size]
                for s in range(width):
                    block[s] = weight[s] * (own * cost[s] + other * opposite[width - 1 - s])
                if b:
                    block[0] += best[0]
                for s in range(1, width):
                    least = best[s]
                    bits = s
                    while bits:
                        low = bits & -bits
                        smallest = block[s ^ low]
                        least = smallest if smallest < least else least
                        bits ^= low
                    block[s] += least
            sums[row] = total[-1]
            left = total.size - 1
            for step in range(p - 1, -1, -1):
                last = -1
                for feature in range(p):
                    bit = 1 << feature
                    if left & bit and (last < 0 or total[left ^ bit] < total[left ^ (1 << last)]):
                        last = feature
                orders[row, step] = last
                left ^= 1 << last

    # Unwrapped: a type checker may have been put around every function.
    kernel: Programme = numba.njit(inspect.unwrap(programme))
    return kernel

"""Tables of a set function: F(S) for all 2^p sets S of deleted features.

Row i of a table holds instance i; column s holds F of the set whose members are the ones among
the binary digits of s, feature 0 the lowest: the complement of s is 2^p - 1 - s.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Masks = Bool[np.ndarray, "m p"] | Bool[np.ndarray, "n m p"]
"""Sets of deleted features (True = deleted), shared by all instances or each its own."""

SetFunction = Callable[[Masks], Float[np.ndarray, "n m"]]
"""F of each instance at each mask, in float64."""

CHUNK = 4096
"""Masks asked at once while a table is built."""

CHECKED = 256
"""Entries of a table that are compared with direct calls."""

TOLERANCE = 1e-5
"""Largest difference of an entry to its direct call, relative to the largest entry: float32
sums in another order differ by about 1e-6."""


@dataclass(frozen=True)
class Tabulated:
    """The set function of a table: F by look-up."""

    table: Float[np.ndarray, "n sets"]

    def __call__(self, masks: Masks) -> Float[np.ndarray, "n m"]:
        numbers = numbers_of(masks)
        shared = np.broadcast_to(numbers, (len(self.table), numbers.shape[-1]))
        return np.take_along_axis(self.table, shared, axis=1)


def masks_of(numbers: Int[np.ndarray, " m"], p: int) -> Bool[np.ndarray, "m p"]:
    """The sets with these numbers."""
    masks: np.ndarray = (numbers[:, None] >> np.arange(p)) & 1 == 1
    return masks


def numbers_of(masks: Bool[np.ndarray, "*m p"]) -> Int[np.ndarray, "*m"]:
    """The numbers of these sets."""
    numbers: np.ndarray = masks @ (1 << np.arange(masks.shape[-1]))
    return numbers


def sizes(p: int) -> Int[np.ndarray, " sets"]:
    """How many members each of the 2^p sets has."""
    return np.bitwise_count(np.arange(2**p)).astype(np.int64)


def tabulate(value: SetFunction, p: int) -> Float[np.ndarray, "n sets"]:
    """The table of `value` by 2^p direct calls an instance."""
    starts = range(0, 2**p, CHUNK)
    parts = [value(masks_of(np.arange(s, min(s + CHUNK, 2**p)), p)) for s in starts]
    return np.concatenate(parts, axis=1)


def spot_check(value: SetFunction, p: int) -> tuple[np.ndarray, Float[np.ndarray, "n m"]]:
    """Numbers of random sets (always the same), and F there by direct calls."""
    numbers = np.random.default_rng(p).integers(2**p, size=min(CHECKED, 2**p))
    return numbers, value(masks_of(numbers, p))


def check_table(
    table: Float[np.ndarray, "n sets"], numbers: np.ndarray, wanted: Float[np.ndarray, "n m"]
) -> None:
    """Raise `ArithmeticError` where the table differs from direct calls at `numbers`."""
    worst = np.abs(table[:, numbers] - wanted).max(initial=0.0)
    scale = np.abs(wanted).max(initial=0.0)
    if not worst <= TOLERANCE * scale:
        raise ArithmeticError(
            f"a table of a set function differs from direct calls by {worst:.3g}, where values "
            f"reach {scale:.3g}: does the model answer the same row differently?"
        )


def shapley_values(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n p"]:
    """The exact Shapley values of v(kept) = F(deleted).

    phi_i = sum over S without i of |S|! (p - 1 - |S|)! / p! (F(S) - F(S and i)): what feature i
    adds on average where it is kept; they sum to F(nothing) - F(everything).

    References
    ----------
    Shapley, *A Value for n-Person Games*, 1953, eq. 12.
    """
    n, p = len(table), _p(table)
    s = np.arange(p)
    weight = np.cumprod(np.concatenate([[1.0 / p], (s[:-1] + 1) / (p - 1 - s[:-1])]))
    weights = weight[np.minimum(sizes(p), p - 1)]
    halves = [table.reshape(n, -1, 2, 2**i) for i in range(p)]
    without = [weights.reshape(-1, 2, 2**i)[:, 0] for i in range(p)]
    gains = [
        ((h[:, :, 0] - h[:, :, 1]) * w).sum(axis=(1, 2))
        for h, w in zip(halves, without, strict=True)
    ]
    return np.stack(gains, axis=1)


def mean_by_size(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n levels"]:
    """The mean of F over the sets of each size 0 to p."""
    counts = np.bincount(sizes(_p(table)))
    return _by_size(table, np.add) / counts


def least_by_size(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n levels"]:
    """The least F over the sets of each size 0 to p."""
    return _by_size(table, np.minimum)


def _by_size(table: np.ndarray, combine: np.ufunc) -> np.ndarray:
    p = _p(table)
    order = np.argsort(sizes(p), kind="stable")
    starts = np.searchsorted(sizes(p)[order], np.arange(p + 1))
    combined: np.ndarray = combine.reduceat(table[:, order], starts, axis=1)
    return combined


def _p(table: np.ndarray) -> int:
    return int(table.shape[1]).bit_length() - 1

"""Tables of a set function: F(S) for all 2^p sets S of deleted features.

Row i of a table holds instance i; column s holds F of the set whose members are the ones among
the binary digits of s, feature 0 the lowest: the complement of s is 2^p - 1 - s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Masks = Bool[np.ndarray, "m p"] | Bool[np.ndarray, "n m p"]
"""Sets of deleted features (True = deleted), shared by all instances or each its own."""

SetFunction = Callable[[Masks], Float[np.ndarray, "n m"]]
"""F of each instance at each mask, in float64."""

CHUNK = 4096
"""Masks asked at once while a table is built."""

CHECKED = 256
"""Entries of a table that are compared with direct calls."""

NUMBERS = 2**20
"""Numbers of a table that are summed up at once: what is made on the way stays small."""

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


@lru_cache(maxsize=4)
def sizes(p: int) -> UInt8[np.ndarray, " sets"]:
    """How many members each of the 2^p sets has, a byte each; read only."""
    found: np.ndarray = np.bitwise_count(np.arange(2**p, dtype=np.uint32))
    found.flags.writeable = False
    return found


def tabulate(value: SetFunction, p: int) -> Float[np.ndarray, "n sets"]:
    """The table of `value` by 2^p direct calls an instance."""
    first = value(masks_of(np.arange(min(CHUNK, 2**p)), p))
    table = np.empty((len(first), 2**p))
    table[:, :CHUNK] = first
    for start in range(CHUNK, 2**p, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, 2**p))
        table[:, numbers[0] : numbers[-1] + 1] = value(masks_of(numbers, p))
    return table


def spot_check(value: SetFunction, p: int) -> tuple[np.ndarray, Float[np.ndarray, "n m"]]:
    """Numbers of random sets (always the same), and F there by direct calls."""
    numbers = np.random.default_rng(p).integers(2**p, size=min(CHECKED, 2**p))
    return numbers, value(masks_of(numbers, p))


def check_table(
    table: Float[np.ndarray, "n sets"], numbers: np.ndarray, wanted: Float[np.ndarray, "n m"]
) -> None:
    """Raise `ArithmeticError` where the table differs from direct calls at `numbers`.

    Or where an entry isn't finite.
    """
    if not np.isfinite(table.sum(axis=1)).all():
        raise ArithmeticError("a table of a set function holds NaN or infinite numbers")
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
    p = _p(table)
    s = np.arange(p)
    weight = np.cumprod(np.concatenate([[1.0 / p], (s[:-1] + 1) / (p - 1 - s[:-1])]))
    return _gains(table, weight[sizes(p - 1)])


def banzhaf_values(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n p"]:
    """The exact Banzhaf values of v(kept) = F(deleted).

    The mean over all sets S without i of F(S) - F(S and i).

    References
    ----------
    Banzhaf, *Weighted Voting Doesn't Work*, Rutgers Law Review 1965.
    """
    half = table.shape[1] // 2
    return _gains(table, np.full(half, 1.0 / half))


def mean_by_size(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n levels"]:
    """The mean of F over the sets of each size 0 to p."""
    return _by_size(table, np.add) / np.bincount(sizes(_p(table)))


def least_by_size(table: Float[np.ndarray, "n sets"]) -> Float[np.ndarray, "n levels"]:
    """The least F over the sets of each size 0 to p."""
    return _by_size(table, np.minimum)


def _gains(
    table: Float[np.ndarray, "n sets"], weights: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "n p"]:
    """sum over S without i of weights[S] (F(S) - F(S and i)), S numbered without i's digit.

    Differences first: a feature that F doesn't know gets exactly 0. The weights are those of
    any order of the digits, so the lower half of them is turned to the top, where runs are long.
    """
    return np.concatenate([_some_gains(some, weights) for some in _rows(table)])


def _some_gains(
    table: Float[np.ndarray, "n sets"], weights: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "n p"]:
    n, p = len(table), _p(table)
    low = p // 2
    turned = np.ascontiguousarray(table.reshape(n, -1, 2**low).swapaxes(1, 2))
    gains = np.empty((n, p))
    for feature in range(p):
        of_low = feature < low
        run = 2 ** (feature + p - low if of_low else feature)
        halves = (turned if of_low else table).reshape(n, -1, 2, run)
        differences = halves[:, :, 0] - halves[:, :, 1]
        # Not by BLAS, whose threads cost more here than they save.
        gains[:, feature] = np.einsum("ij,j->i", differences.reshape(n, -1), weights)
    return gains


def _by_size(table: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """What `combine` makes of the sets of each size: halves are folded onto each other."""
    return np.concatenate([_folded(some[:, None], combine) for some in _rows(table)])


def _folded(levels: np.ndarray, combine: np.ufunc) -> np.ndarray:
    n, known, left = levels.shape
    if left == 1:
        return levels[:, :, 0]
    without, with_last = levels[:, :, : left // 2], levels[:, :, left // 2 :]
    folded = np.empty((n, known + 1, left // 2))
    folded[:, 0], folded[:, -1] = without[:, 0], with_last[:, -1]
    combine(without[:, 1:], with_last[:, :-1], out=folded[:, 1:-1])
    return _folded(folded, combine)


def _rows(table: np.ndarray) -> Iterator[np.ndarray]:
    """The table, some instances at a time."""
    rows = max(1, NUMBERS // table.shape[1])
    for start in range(0, max(1, len(table)), rows):
        yield table[start : start + rows]


def _p(table: np.ndarray) -> int:
    return int(table.shape[1]).bit_length() - 1

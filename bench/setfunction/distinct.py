"""Sets that need no call of the model: the same as others to an instance, or asked before.

Features that the reference leaves as they are make no difference to F, so sets that differ by
them alone are one set.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from bench.setfunction.table import Masks, SetFunction, numbers_of

WORD = 64
"""Features that one number holds."""


@dataclass(frozen=True)
class Distinct:
    """The different ones among n times m sets.

    Attributes
    ----------
    rows, masks : the instance of each, and which of its m sets stands for it.
    place : where each asked set is among them.
    """

    rows: Int[np.ndarray, " b"]
    masks: Int[np.ndarray, " b"]
    place: Int[np.ndarray, "n m"]


def distinct(masks: Masks, null: Bool[np.ndarray, "n p"]) -> Distinct:
    """The sets that differ by more than features that are null to their instance."""
    asked, live = _words(masks), _words(~null)[..., None]
    words = (asked[:, None] if masks.ndim == 2 else asked) & live
    order = np.lexsort(words, axis=-1)
    ordered = np.take_along_axis(words, order[None], axis=-1)
    new = np.ones(order.shape, dtype=bool)
    new[:, 1:] = (ordered[..., 1:] != ordered[..., :-1]).any(axis=0)
    place = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(place, order, new.cumsum().reshape(new.shape) - 1, axis=-1)
    return Distinct(np.nonzero(new)[0], order[new], place)


class Remembered:
    """A set function that is asked for no set twice.

    What it answered is kept, 8 bytes for each of the 2^p sets of each of the n instances.
    """

    def __init__(self, value: SetFunction, n: int, p: int) -> None:
        self._value = value
        self._table = np.full((n, 2**p), np.nan)

    def __call__(self, masks: Masks) -> Float[np.ndarray, "n m"]:
        n = len(self._table)
        own = np.broadcast_to(masks, (n, *masks.shape[-2:]))
        numbers = numbers_of(own)
        unknown = np.isnan(np.take_along_axis(self._table, numbers, axis=1))
        if most := unknown.sum(axis=1).max(initial=0):
            # Those with fewer unknown sets ask for their first one again.
            first = np.argsort(~unknown, axis=1, kind="stable")[:, :most]
            first = np.where(np.take_along_axis(unknown, first, axis=1), first, first[:, :1])
            found = self._value(np.take_along_axis(own, first[..., None], axis=1))
            np.put_along_axis(
                self._table, np.take_along_axis(numbers, first, axis=1), found, axis=1
            )
        answer: np.ndarray = np.take_along_axis(self._table, numbers, axis=1)
        return answer


def _words(masks: Bool[np.ndarray, "*m p"]) -> UInt64[np.ndarray, "words *m"]:
    """The members of each set as the binary digits of `words` numbers."""
    p = masks.shape[-1]
    padded = np.zeros((*masks.shape[:-1], -(-p // WORD) * WORD), dtype=bool)
    padded[..., :p] = masks
    found: np.ndarray = np.packbits(padded, axis=-1).view(np.uint64)
    return np.moveaxis(found, -1, 0)

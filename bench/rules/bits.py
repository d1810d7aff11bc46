"""Sets of rows as packed bits."""

import numpy as np
from jaxtyping import Bool, Int, UInt64


def pack(rows: Bool[np.ndarray, "k n"]) -> UInt64[np.ndarray, "k words"]:
    """Sets of n things as bits in words of 64; the bits beyond n are 0."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    whole_words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(whole_words).view(np.uint64)


def unpack(sets: UInt64[np.ndarray, "k words"], n: int) -> Bool[np.ndarray, "k n"]:
    """What `pack` has packed."""
    return np.unpackbits(sets.view(np.uint8), axis=1, count=n, bitorder="little").astype(bool)


def sizes(sets: UInt64[np.ndarray, "*k words"]) -> Int[np.ndarray, "*k"]:
    """How many things are in each packed set."""
    return np.asarray(np.bitwise_count(sets).sum(axis=-1, dtype=np.int64))

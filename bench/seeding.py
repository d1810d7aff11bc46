"""One door for randomness: generators named by a seed and the axes that may change them."""

import hashlib

import numpy as np
import torch


def stream(seed: int, *axes: str) -> np.random.Generator:
    """The generator of a global seed and the names of chosen axes.

    Two cells that share `seed` and `axes` draw the same numbers, whatever else differs between
    them: a data split named by (seed, data set) is the same for every method, so that methods
    are compared in pairs.

    Parameters
    ----------
    seed : the global seed, at least 0.
    axes : names that the numbers may depend on, order matters.

    Examples
    --------
    >>> bool(stream(0, "split", "digits").random() == stream(0, "split", "digits").random())
    True
    >>> bool(stream(0, "split", "digits").random() == stream(0, "split", "wine").random())
    False
    """
    words = [int.from_bytes(hashlib.sha256(axis.encode()).digest()[:8], "little") for axis in axes]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def torch_generator(rng: np.random.Generator, device: str = "cpu") -> torch.Generator:
    """A torch generator on `device` seeded by one draw from `rng`."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))


def name_of(rng: np.random.Generator) -> str:
    """The text that names a generator's whole sequence, for cache keys.

    It names where the sequence starts, not how much of it was drawn: use it on a generator
    fresh from `stream` or `spawn`.
    """
    sequence = rng.bit_generator.seed_seq
    if not isinstance(sequence, np.random.SeedSequence):
        raise TypeError(f"a generator made by a SeedSequence is wanted, not by {sequence!r}")
    return f"{sequence.entropy}/{sequence.spawn_key}"

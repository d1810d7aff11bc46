"""The synthetic data of the AAAI paper: x ~ U[0, 1]^d, s a coin, y = 1[x1 + .2 s > .5]."""

import numpy as np


def synthetic(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, groups, decisions (Fukuchi, Hara, Maehara, AAAI 2020)."""
    rng = np.random.default_rng(seed)
    inputs, groups = rng.random((n, d)), rng.integers(2, size=n)
    return inputs, groups, (inputs[:, 0] + 0.2 * groups > 0.5).astype(int)

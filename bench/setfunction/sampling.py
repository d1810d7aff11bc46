"""Means over random sets or orders: what keeping a feature does to F, on average.

All instances share the sets, so that they differ by the model's answers alone.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.setfunction.orders import prefixes
from bench.setfunction.reference import Reference
from bench.setfunction.table import SetFunction, masks_of

Output = Callable[[Float[Tensor, "m *features"], Int[Tensor, " m"]], Float[Tensor, " m"]]
"""g at any inputs, for the targets of those instances."""

ROWS = 256
"""Inputs made at once: a small network's activations then stay in the cache."""

PAIRS = 2**21
"""Pairs of sets, over instances, that are compared at once."""


def random_orders(p: int, count: int, *, rng: np.random.Generator) -> Int[np.ndarray, "count p"]:
    """Orders in pairs: a random one, and it read backwards.

    References
    ----------
    Mitchell, Cooper, Frank, Holmes, *Sampling Permutations for Shapley Value Estimation*, JMLR
    2022, Sec. 3.1 (antithetic sampling).
    """
    drawn = rng.permuted(np.tile(np.arange(p), ((count + 1) // 2, 1)), axis=1)
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, p)[:count]


def mean_contributions(
    value: SetFunction, orders: Int[np.ndarray, "k p"]
) -> Float[np.ndarray, "n p"]:
    """What deleting each feature takes from F at its place, the mean over orders.

    It takes k (p - 1) + 2 values an instance; over all p! orders it is the Shapley value.
    """
    k, p = orders.shape
    inner = prefixes(orders)[:, 1:-1].reshape(-1, p)
    found = value(np.concatenate([inner, np.array([[False] * p, [True] * p])]))
    paths = np.empty((len(found), k, p + 1))
    paths[:, :, 0], paths[:, :, p] = found[:, -2:-1], found[:, -1:]
    paths[:, :, 1:-1] = found[:, :-2].reshape(-1, k, p - 1)
    places = np.argsort(orders, axis=1)
    taken = np.take_along_axis(paths[:, :, :-1] - paths[:, :, 1:], places[None], axis=2)
    mean: np.ndarray = taken.mean(axis=1)
    return mean


def random_sets(
    p: int, samples: int, *, share: float = 0.5, pairs: bool = False, rng: np.random.Generator
) -> Bool[np.ndarray, "m p"]:
    """Sets that hold each feature with probability `share`; all 2^p where that is no more.

    Parameters
    ----------
    pairs : each set with its complement.
    """
    if p < 63 and 2**p <= samples and share == 0.5:
        return masks_of(np.arange(2**p), p)
    if not pairs:
        return rng.random((samples, p)) < share
    drawn = rng.random((samples // 2, p)) < share
    return np.concatenate([drawn, ~drawn])


def mean_where(
    weights: Float[np.ndarray, "m d"], values: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, "n d"]:
    """The mean of `values` under each column of weights, 0 where all weights are."""
    totals = weights.sum(axis=0)
    mean: np.ndarray = values @ weights / np.where(totals > 0, totals, 1.0)
    return mean


def total_effects(value: SetFunction, sets: Bool[np.ndarray, "m p"]) -> Float[np.ndarray, "n p"]:
    """Sobol's total index of each feature, where each is deleted or kept by a fair coin.

    The mean of (F(S) - F(S with i changed))^2 / 4, over the variance of F; 0 where F is
    constant. It takes m (p + 1) values an instance.

    References
    ----------
    Jansen, *Analysis of Variance Designs for Model Output*, 1999 (the estimator).
    """
    m, p = sets.shape
    changed = sets[:, None] ^ np.eye(p, dtype=bool)
    found = value(np.concatenate([sets, changed.reshape(-1, p)]))
    at, beside = found[:, :m], found[:, m:].reshape(-1, m, p)
    squares = ((at[:, :, None] - beside) ** 2).mean(axis=1) / 4
    variance = at.var(axis=1, keepdims=True)
    effects: np.ndarray = squares / np.where(variance > 0, variance, 1.0)
    return effects


def dependences(
    kept: Bool[np.ndarray, "m p"], values: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, "n p"]:
    """HSIC of F with each feature's being kept: tr(K H L H) / (m - 1)^2.

    K_jk = 1 where sets j and k agree on the feature, L a Gaussian of F_j - F_k whose width is
    their root mean square, H the centring.
    """
    m = len(values.T)
    signs = np.where(kept, 1.0, -1.0)
    signs -= signs.mean(axis=0)
    found = np.empty((len(values), kept.shape[1]))
    for some in _parts(len(values), max(1, PAIRS // m**2)):
        squares = (values[some, :, None] - values[some, None]) ** 2
        width = squares.mean(axis=(1, 2), keepdims=True)
        kernel = np.exp(-squares / (2 * np.where(width > 0, width, 1.0)))
        # K = (1 + s s') / 2, and H takes the 1 away.
        found[some] = ((kernel @ signs) * signs).sum(axis=1) / (2 * (m - 1) ** 2)
    return found


def at_positions(
    output: Output,
    inputs: Float[Tensor, "n *features"],
    reference: Reference,
    kept: Float[Tensor, "m *features"],
) -> Float[np.ndarray, "n m"]:
    """The mean over draws of g where each position is kept by a share from 0 to 1."""
    n, m = len(inputs), len(kept)
    found = torch.empty(n * m, dtype=torch.float64)
    with torch.no_grad():
        for some in _parts(n * m, max(1, ROWS // reference.count)):
            pair = torch.arange(some.start, some.stop)
            rows, share = pair // m, kept[pair % m][:, None].to(inputs.device)
            draws = reference.of(rows)
            points = draws + share * (inputs[rows][:, None] - draws)
            outputs = output(points.flatten(0, 1), rows.repeat_interleave(reference.count))
            found[some] = outputs.double().view(len(pair), -1).mean(1)
    values: np.ndarray = found.view(n, m).numpy()
    return values


def coarse_shares(
    count: int, cells: int, shape: tuple[int, int], *, rng: np.random.Generator
) -> Float[Tensor, "count height width"]:
    """Fair coins on a grid of `cells` x `cells`, enlarged bilinearly, shifted by part of a cell.

    References
    ----------
    Petsiuk, Das, Saenko, *RISE*, BMVC 2018, Sec. 3.2.
    """
    height, width = shape
    size = [-(-height // cells), -(-width // cells)]
    coins = torch.from_numpy((rng.random((count, 1, cells + 1, cells + 1)) < 0.5) * 1.0)
    large = torch.nn.functional.interpolate(
        coins, [(cells + 1) * side for side in size], mode="bilinear", align_corners=False
    )[:, 0]
    down, right = (torch.from_numpy(rng.integers(side, size=count)) for side in size)
    rows = (down[:, None] + torch.arange(height))[:, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None]
    return large[torch.arange(count)[:, None, None], rows, columns]


def window_positions(
    shape: tuple[int, int], patch: int, stride: int
) -> Bool[Tensor, "m height width"]:
    """Squares of `patch` pixels, moved by `stride`, that cover the whole image."""
    starts = [
        sorted({*range(0, max(side - patch, 0) + 1, stride), max(side - patch, 0)})
        for side in shape
    ]
    down, across = (
        torch.tensor([[start <= at < start + patch for at in range(side)] for start in of_side])
        for side, of_side in zip(shape, starts, strict=True)
    )
    return (down[:, None, :, None] & across[None, :, None]).flatten(0, 1)


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))

"""Weighted linear regression of a set function on which features are kept: LIME, KernelSHAP.

All instances share one matrix of masks and so one Gram matrix; features that the reference
leaves as they are get 0 and leave the regression, by zeroing their rows and columns.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from bench.setfunction.table import SetFunction


@dataclass(frozen=True)
class Design:
    """At which sets a set function is asked, and how much each counts.

    Attributes
    ----------
    kept : the features that are not deleted.
    weights : one a set.
    """

    kept: Bool[np.ndarray, "m p"]
    weights: Float[np.ndarray, " m"]


def shapley_design(p: int, samples: int, *, rng: np.random.Generator) -> Design:
    """Sets with the Shapley kernel (p - 1) / (C(p, s) s (p - s)) for s kept features.

    From the outside in, the pairs of sizes s and p - s whose sets all fit in their share of
    `samples` are enumerated; of the other sizes sets are drawn by their weight, each with its
    complement. With 2^p - 2 samples or more every set is there and the answer is exact.

    References
    ----------
    Lundberg, Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017, Thm. 2.
    Covert, Lee, *Improving KernelSHAP*, AISTATS 2021, Sec. 3.3 (pairs).
    """
    sizes = np.arange(1, p // 2 + 1)
    mass = (p - 1) / (sizes * (p - sizes)) * np.where(2 * sizes == p, 1, 2)
    mass /= mass.sum() if p > 1 else 1.0
    kept, weights = [np.zeros((0, p), dtype=bool)], [np.zeros(0)]
    done, budget = 0, samples
    for size, share in zip(sizes, mass, strict=True):
        count = math.comb(p, size) * (1 if 2 * size == p else 2)
        if budget * share / mass[done:].sum() < count * (1 - 1e-9):
            break
        kept.append(_all_of_sizes(p, int(size)))
        weights.append(np.full(count, share / count))
        done, budget = done + 1, budget - count
    left, pairs = mass[done:], budget // 2
    if left.size and pairs:
        drawn = _random_of_sizes(p, rng.choice(sizes[done:], pairs, p=left / left.sum()), rng)
        kept += [drawn, ~drawn]
        weights.append(np.full(2 * pairs, left.sum() / (2 * pairs)))
    return Design(np.concatenate(kept), np.concatenate(weights))


def lime_design(
    p: int,
    samples: int,
    width: float,
    distance: Literal["cosine", "euclidean"],
    *,
    rng: np.random.Generator,
) -> Design:
    """Nothing deleted, then sets in which each feature is kept with probability 1/2.

    They come in pairs of complements. A set's weight is sqrt(exp(-d^2 / width^2)), d its
    distance to the full set as binary vectors.

    References
    ----------
    Ribeiro, Singh, Guestrin, *"Why Should I Trust You?"*, KDD 2016, Alg. 1; the square root as
    in the authors' package.
    """
    drawn = rng.random((samples // 2, p)) < 0.5
    kept = np.concatenate([np.ones((1, p), dtype=bool), drawn, ~drawn])[:samples]
    share = kept.mean(axis=1)
    squared = (1 - np.sqrt(share)) ** 2 if distance == "cosine" else p * (1 - share)
    return Design(kept, np.exp(-squared / (2 * width**2)))


def shapley_regression(
    design: Design, value: SetFunction, null: Bool[np.ndarray, "n p"]
) -> Float[np.ndarray, "n p"]:
    """Coefficients that sum to F(nothing deleted) - F(everything deleted).

    Parameters
    ----------
    null : features whose coefficient is 0.
    """
    p = null.shape[1]
    ends = value(np.array([[False] * p, [True] * p]))
    total = ends[:, 0] - ends[:, 1]
    gains = value(~design.kept) - ends[:, 1:] if len(design.kept) else np.zeros((len(null), 0))
    gram, moments = _normal_equations(design.kept.astype(float), design.weights, gains, null)
    # With the multiplier of sum beta = total; the pseudo-inverse serves too few masks as well.
    bordered, wanted = np.zeros((len(null), p + 1, p + 1)), np.zeros((len(null), p + 1))
    bordered[:, :p, :p], wanted[:, :p] = gram, moments
    bordered[:, :p, p] = bordered[:, p, :p] = ~null
    wanted[:, p] = total
    coefficients: np.ndarray = _solved(bordered, wanted)[:, :p]
    coefficients[null] = 0.0
    return coefficients


def ridge_regression(
    design: Design, value: SetFunction, null: Bool[np.ndarray, "n p"], penalty: float
) -> Float[np.ndarray, "n p"]:
    """Coefficients of the ridge regression with an intercept that is not penalised.

    It minimises sum_j weights_j (F_j - intercept - kept_j beta)^2 + penalty |beta|^2.

    Parameters
    ----------
    null : features whose coefficient is 0.
    """
    values = value(~design.kept)
    share = design.weights / design.weights.sum()
    centred = design.kept - share @ design.kept
    residual = values - (values @ share)[:, None]
    gram, moments = _normal_equations(centred, design.weights, residual, null)
    gram = gram + penalty * np.eye(null.shape[1])
    coefficients = _solved(gram, moments)
    coefficients[null] = 0.0
    return coefficients


def _normal_equations(
    kept: Float[np.ndarray, "m p"],
    weights: Float[np.ndarray, " m"],
    values: Float[np.ndarray, "n m"],
    null: Bool[np.ndarray, "n p"],
) -> tuple[Float[np.ndarray, "n p p"], Float[np.ndarray, "n p"]]:
    """The one Gram matrix with each instance's null features taken out, and Z' W values."""
    weighted = kept * weights[:, None]
    live = ~null
    gram = np.where(live[:, :, None] & live[:, None], kept.T @ weighted, np.eye(null.shape[1]))
    return gram, np.where(live, values @ weighted, 0.0)


def _solved(
    matrices: Float[np.ndarray, "n q q"], vectors: Float[np.ndarray, "n q"]
) -> Float[np.ndarray, "n q"]:
    """The least of the least-squares solutions of symmetric systems."""
    inverses = np.linalg.pinv(matrices, rcond=1e-10, hermitian=True)
    solved: np.ndarray = (inverses @ vectors[:, :, None])[:, :, 0]
    return solved


def _all_of_sizes(p: int, size: int) -> Bool[np.ndarray, "m p"]:
    """All sets of `size` members and of p - `size`."""
    members = np.array(list(combinations(range(p), size)))
    masks = np.zeros((len(members), p), dtype=bool)
    np.put_along_axis(masks, members, True, axis=1)
    return masks if 2 * size == p else np.concatenate([masks, ~masks])


def _random_of_sizes(
    p: int, sizes: np.ndarray, rng: np.random.Generator
) -> Bool[np.ndarray, "m p"]:
    """A random set of each of these sizes."""
    ranks = rng.random((len(sizes), p)).argsort(axis=1).argsort(axis=1)
    drawn: np.ndarray = ranks < sizes[:, None]
    return drawn

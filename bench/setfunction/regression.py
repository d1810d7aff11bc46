"""Weighted linear regression of a set function on which features are kept: LIME, KernelSHAP.

Instances share matrices of masks and so Gram matrices. Features that the reference leaves as they
are get 0: Shapley values are regressed on the others alone, a ridge zeroes their rows and columns.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from bench.setfunction.table import SetFunction

NUMBERS = 2**24
"""Entries of the systems that are solved at once."""

MASKED = 2**24
"""Entries of the masks that are asked at once where each instance has its own."""

SINGULAR = 1e-5
"""Least pivot of a factor, relative to the largest, that is told from 0: its square is the
matrix's, of which 1e-10 is left to rounding."""


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

    Pairs of sizes s and p - s get a part of `samples` by the root of their share of the kernel's
    mass, between the kernel itself and leverage scores, which are equal for all sizes. From the
    outside in, sizes whose sets all fit in their part are enumerated; of the others random sets
    are drawn, each with its complement, a size's features as evenly as its number of sets
    allows. With 2^p - 2 samples or more every set is there and the answer is exact.

    References
    ----------
    Lundberg, Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017, Thm. 2.
    Covert, Lee, *Improving KernelSHAP*, AISTATS 2021, Sec. 3.3 (pairs).
    Musco, Witter, *Provably Accurate Shapley Value Estimation via Leverage Score Sampling*,
    ICLR 2025 (sizes).
    """
    sizes = np.arange(1, p // 2 + 1)
    mass = (p - 1) / (sizes * (p - sizes)) * np.where(2 * sizes == p, 1, 2)
    mass /= mass.sum() if p > 1 else 1.0
    counts = [math.comb(p, int(size)) * (1 if 2 * size == p else 2) for size in sizes]
    kept, weights = [np.zeros((0, p), dtype=bool)], [np.zeros(0)]
    done, budget = 0, samples
    for size, share, count in zip(sizes, mass, counts, strict=True):
        part = np.sqrt(share) / np.sqrt(mass[done:]).sum()
        if budget * part < count and budget < sum(counts[done:]):
            break
        kept.append(_all_of_sizes(p, int(size)))
        weights.append(np.full(count, share / count))
        done, budget = done + 1, budget - count
    left, pairs = mass[done:], budget // 2
    if left.size and pairs:
        parts = np.sqrt(left) / np.sqrt(left).sum()
        # One random start and even steps: each size gets its part to within one pair.
        steps = (np.arange(pairs) + rng.random()) / pairs
        which = np.minimum(np.searchsorted(parts.cumsum(), steps), len(parts) - 1)
        numbers = np.bincount(which, minlength=len(parts))
        drawn = [_even(p, int(s), int(m), rng) for s, m in zip(sizes[done:], numbers, strict=True)]
        each = np.repeat(left / parts, numbers)
        each *= left.sum() / (2 * each.sum())
        kept += [*drawn, *(~some for some in drawn)]
        weights += [each, each]
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
    value: SetFunction, null: Bool[np.ndarray, "n p"], samples: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "n p"]:
    """Shapley values of v(kept) = F(deleted) by regression, 0 for null features.

    What F doesn't know changes no Shapley value of the rest, so each instance is a game of its
    other features alone; those with equally many share a design. An instance's values don't
    depend on which others are explained with it.

    Parameters
    ----------
    null : features that F doesn't know.
    samples : values asked an instance; two more are asked, nothing and everything deleted.
    """
    n, p = null.shape
    ends = value(np.array([[False] * p, [True] * p]))
    found, seed = np.zeros((n, p)), int(rng.integers(2**63))
    players = (~null).sum(axis=1)
    games = {
        int(count): shapley_design(int(count), samples, rng=np.random.default_rng([seed, count]))
        for count in np.unique(players[players > 0])
    }
    values = _game_values(value, null, players, games)
    for count, design in games.items():
        rows = np.flatnonzero(players == count)
        gains = values[rows, : len(design.kept)] - ends[rows, 1:]
        solved = constrained_regression(design, gains, ends[rows, 0] - ends[rows, 1])
        found[rows[:, None], np.nonzero(~null[rows])[1].reshape(len(rows), count)] = solved
    return found


def constrained_regression(
    design: Design, gains: Float[np.ndarray, "n m"], totals: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n p"]:
    """Coefficients that sum to `totals` and fit the gains of the design's sets best.

    The least of them where too few sets leave many.
    """
    kept = design.kept.astype(float)
    weighted = kept * design.weights[:, None]
    gram, moments = kept.T @ weighted, gains @ weighted
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(gram))
    pivots = factor.diagonal()
    if failed or not pivots.amin() > SINGULAR * pivots.amax():
        return _least(gram, moments, totals)
    inverse = torch.cholesky_inverse(factor).numpy()
    free, way = moments @ inverse, inverse.sum(axis=1)
    # The multiplier of sum beta = total moves the free solution along gram^-1 1.
    moved: np.ndarray = free + ((totals - free.sum(axis=1)) / way.sum())[:, None] * way
    return moved


def _game_values(
    value: SetFunction,
    null: Bool[np.ndarray, "n p"],
    players: Int[np.ndarray, " n"],
    games: dict[int, Design],
) -> Float[np.ndarray, "n m"]:
    """F where each instance keeps the sets of its game; nothing deleted fills up shorter ones."""
    n, p = null.shape
    if not null.any():
        return value(~games[p].kept)
    most = max((len(design.kept) for design in games.values()), default=0)
    place = np.cumsum(~null, axis=1) - 1
    found, step = np.empty((n, most)), max(1, MASKED // (n * p))
    for some in (slice(start, min(start + step, most)) for start in range(0, most, step)):
        deleted = np.zeros((n, some.stop - some.start, p), dtype=bool)
        for count, design in games.items():
            rows, part = np.flatnonzero(players == count), ~design.kept[some]
            deleted[rows, : len(part)] = part.T[place[rows]].swapaxes(1, 2) & ~null[rows, None]
        found[:, some] = value(deleted)
    return found


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
    weighted = centred * design.weights[:, None]
    gram = centred.T @ weighted + penalty * np.eye(null.shape[1])
    moments = np.where(null, 0.0, residual @ weighted)
    coefficients, sound = _solved(gram, null, moments)
    for row in np.flatnonzero(~sound):
        live = np.flatnonzero(~null[row])
        coefficients[row, live] = _least(gram[np.ix_(live, live)], moments[row : row + 1, live])[0]
    return coefficients


def _solved(
    gram: Float[np.ndarray, "p p"],
    null: Bool[np.ndarray, "n p"],
    moments: Float[np.ndarray, "n p"],
) -> tuple[Float[np.ndarray, "n p"], Bool[np.ndarray, " n"]]:
    """The solutions where null features have no row and column, and which of them are sound.

    Instances with the same null features share one factorisation.
    """
    n, p = null.shape
    solved, sound = np.zeros((n, p)), np.zeros(n, dtype=bool)
    step = max(1, NUMBERS // p**2)
    for some in (slice(start, start + step) for start in range(0, n, step)):
        patterns, of_row = np.unique(null[some], axis=0, return_inverse=True)
        live, of_row = ~patterns, of_row.reshape(-1)
        systems = np.where(live[:, :, None] & live[:, None], gram, np.eye(p) * gram.max())
        factors, failed = torch.linalg.cholesky_ex(torch.from_numpy(systems))
        pivots = factors.diagonal(dim1=1, dim2=2)
        good = (failed == 0) & (pivots.amin(1) > SINGULAR * pivots.amax(1))
        factors[~good] = torch.eye(p, dtype=factors.dtype)
        inverses = torch.cholesky_inverse(factors).numpy()
        solved[some] = (inverses[of_row] @ moments[some, :, None])[:, :, 0]
        sound[some] = good.numpy()[of_row]
    return solved, sound


def _least(
    gram: Float[np.ndarray, "p p"],
    moments: Float[np.ndarray, "n p"],
    totals: Float[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "n p"]:
    """The least solutions of a singular system; summing to `totals` where these are given."""
    p, bordered = len(gram), 0 if totals is None else 1
    matrix, wanted = np.zeros((p + bordered, p + bordered)), moments
    matrix[:p, :p] = gram
    if totals is not None:
        matrix[p, :p] = matrix[:p, p] = 1.0
        wanted = np.concatenate([moments, totals[:, None]], axis=1)
    found: np.ndarray = wanted @ np.linalg.pinv(matrix, rcond=1e-10, hermitian=True)
    return found[:, :p]


def _all_of_sizes(p: int, size: int) -> Bool[np.ndarray, "m p"]:
    """All sets of `size` members and of p - `size`."""
    members = np.array(list(combinations(range(p), size)))
    masks = np.zeros((len(members), p), dtype=bool)
    np.put_along_axis(masks, members, True, axis=1)
    return masks if 2 * size == p else np.concatenate([masks, ~masks])


def _even(p: int, size: int, count: int, rng: np.random.Generator) -> Bool[np.ndarray, "m p"]:
    """Random sets of `size`, cut one after the other from random orders of all features."""
    cuts = p // size
    orders = rng.random((-(-count // cuts), p)).argsort(axis=1)
    members = orders[:, : cuts * size].reshape(-1, size)[:count]
    masks = np.zeros((count, p), dtype=bool)
    np.put_along_axis(masks, members, True, axis=1)
    return masks

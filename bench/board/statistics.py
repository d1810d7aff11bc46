"""Means with intervals, and ranks with ties, over seeds and data sets.

Values are arrays whose last axis counts units: one (problem, seed) each, NaN where a result is
missing. A problem is a data set with its model. Averages are taken over seeds first, then over
problems.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, stdtr, stdtrit

LEVEL = 0.95
MOST_PAIRS = 20_000
MANY = 10
"""From so many problems on they are taken for a sample of all problems, not for a fixed list."""


class Mean(NamedTuple):
    """A mean over problems of means over seeds, its standard error, and degrees of freedom."""

    mean: Float[np.ndarray, "..."]
    se: Float[np.ndarray, "..."]
    df: Float[np.ndarray, "..."]


def mean_over(values: Float[np.ndarray, "*b u"], problem: Int[np.ndarray, " u"]) -> Mean:
    """The mean over a fixed list of problems, with seeds as the only source of chance.

    Each problem keeps its own variance, and the degrees of freedom are pooled by
    Satterthwaite's formula: one pooled variance with sum(n - 1) degrees would cover far less
    than it claims where one problem is noisier than the others.

    Returns
    -------
    mean : NaN where a problem has no value: a mean over other problems is another quantity.
    se : NaN where a problem has a single value.

    References
    ----------
    F. E. Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
    """
    means, variances, shares = [], [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for p in np.unique(problem):
            block = values[..., problem == p]
            n = np.isfinite(block).sum(-1)
            mean = np.nansum(block, -1) / np.where(n, n, np.nan)
            squares = np.nansum((block - mean[..., None]) ** 2, -1)
            variance = squares / np.where(n > 1, n - 1, np.nan) / n
            means.append(mean)
            variances.append(variance)
            shares.append(variance**2 / (n - 1))
        total = np.sum(variances, 0)
        return Mean(np.mean(means, 0), np.sqrt(total) / len(means), total**2 / np.sum(shares, 0))


def interval(
    values: Float[np.ndarray, " u"], problem: Int[np.ndarray, " u"], *, rng: np.random.Generator
) -> tuple[float, float, float]:
    """(mean, low, high) of one method at a confidence of `LEVEL`.

    Student t over seeds for one problem or a fixed list of fewer than `MANY`; hierarchical
    bootstrap from there on. low and high are NaN where a problem has a single seed.
    """
    mean, se, df = mean_over(values, problem)
    if len(np.unique(problem)) >= MANY and np.isfinite(mean):
        return float(mean), *hierarchical_bootstrap(values, problem, rng=rng)
    # Seeds that agree to the last digit leave no spread, and 0 / 0 degrees of freedom.
    half = 0.0 if se == 0 else stdtrit(df, (1 + LEVEL) / 2) * se
    return float(mean), float(mean - half), float(mean + half)


def over_seeds(values: Float[np.ndarray, " seeds"]) -> tuple[float, float, float]:
    """`interval` of one problem: Student's t, low and high NaN for a single seed."""
    return interval(values, np.zeros(len(values), dtype=int), rng=np.random.default_rng(0))


def hierarchical_bootstrap(
    values: Float[np.ndarray, " u"],
    problem: Int[np.ndarray, " u"],
    draws: int = 2000,
    *,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """(low, high) for the mean over all problems of which these are a sample.

    Problems are drawn again, then seeds within them. The percentiles are widened as Hesterberg
    proposes: plain ones cover .90 where they claim .95 at 10 problems.

    References
    ----------
    T. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician
    2015, Sec. 4.3 (expanded percentile interval).
    """
    groups = [values[(problem == p) & np.isfinite(values)] for p in np.unique(problem)]
    n = len(groups)
    redrawn = np.stack(
        [g[rng.integers(len(g), size=(draws, n, len(g)))].mean(-1) for g in groups], axis=-1
    )
    chosen = rng.integers(n, size=(draws, n, 1))
    means = np.take_along_axis(redrawn, chosen, axis=-1).mean((-1, -2))
    tail = ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - LEVEL) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def rank_intervals(
    values: Float[np.ndarray, "k u"], problem: Int[np.ndarray, " u"], higher: bool
) -> Int[np.ndarray, "k 2"]:
    """Between which ranks each method lies.

    Each method is compared with every other one by paired differences over the seeds that
    both have, Holm-corrected over these comparisons. The interval runs from 1 + the number of
    methods that are better to k - the number that are worse; methods whose interval starts at 1
    are tied with the best.

    Returns
    -------
    (low, high) for each method; (0, 0) where it lacks a problem and has no rank.

    References
    ----------
    M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, Inference for Ranks, Review of Economic
    Studies 2024 (marginal confidence sets).
    """
    ranked = np.isfinite(mean_over(values, problem).mean)
    signed = values[ranked] * (1 if higher else -1)
    differences = signed[:, None] - signed[None]
    p = p_values(differences, problem)
    others = ~np.eye(len(signed), dtype=bool)
    better = np.zeros_like(others)
    for i in range(len(signed)):
        better[i, others[i]] = holm(p[i, others[i]]) < 1 - LEVEL
    ahead = np.nan_to_num(mean_over(differences, problem).mean) > 0
    ranks = np.zeros((len(values), 2), dtype=int)
    ranks[ranked, 0] = 1 + (better & ~ahead).sum(1)
    ranks[ranked, 1] = len(signed) - (better & ahead).sum(1)
    return ranks


def p_values(
    differences: Float[np.ndarray, "*b u"], problem: Int[np.ndarray, " u"]
) -> Float[np.ndarray, "*b"]:
    """Two-sided p-values of paired differences; 1 where there are too few to tell.

    Student t for a fixed list of problems; from `MANY` problems on Wilcoxon's signed-rank test
    over their means, exact unless two of them are of one size. Where nothing varies within the
    problems, which t would call certain, the sign test if all differences are one number,
    2^(1 - n), else 1.
    """
    if len(np.unique(problem)) >= MANY:
        return _wilcoxon(differences, problem)
    mean, se, df = mean_over(differences, problem)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stdtr(df, -np.abs(mean / se))
    rounding = 1e-9 * np.abs(mean)
    span = np.fmax.reduce(differences, axis=-1) - np.fmin.reduce(differences, axis=-1)
    n = np.isfinite(differences).sum(-1)
    by_sign = np.where((span <= rounding) & (mean != 0), 2.0 ** (1 - n), 1.0)
    p = np.where(se <= rounding, by_sign, p)
    return np.where(np.isfinite(p), p, 1.0)


def _wilcoxon(
    differences: Float[np.ndarray, "*b u"], problem: Int[np.ndarray, " u"]
) -> Float[np.ndarray, "*b"]:
    from scipy.stats import wilcoxon  # late: most of what a run without a page would import

    with np.errstate(invalid="ignore"):
        means = np.stack(
            [
                mean_over(differences[..., problem == p], problem[problem == p]).mean
                for p in np.unique(problem)
            ],
            axis=-1,
        )
    told = np.isfinite(means).all(-1) & (means != 0).any(-1)
    sizes = np.sort(np.abs(means), axis=-1)
    tied = (sizes[..., 0] == 0) | (np.diff(sizes, axis=-1) == 0).any(-1)
    p = np.ones(means.shape[:-1])
    # scipy's own choice permutes tied ranks for each pair of methods: minutes for a page.
    ways: tuple[tuple[Any, Literal["exact", "asymptotic"]], ...]
    ways = (told & ~tied, "exact"), (told & tied, "asymptotic")
    for rows, method in ways:
        if rows.any():
            p[rows] = wilcoxon(means[rows], axis=-1, method=method).pvalue
    return p


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """p-values corrected for how many there are.

    References
    ----------
    S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def coverage(values: Float[np.ndarray, " u"]) -> float:
    """Share of the units that have a value."""
    return float(np.isfinite(values).mean()) if values.size else 0.0


def mean_of_finite(values: Float[np.ndarray, "n *b"]) -> Float[np.ndarray, "*b"]:
    """Over the first axis; NaN where there is nothing finite."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0).sum(axis=0)
    mean: np.ndarray = np.divide(
        total, count, out=np.full(np.shape(total), np.nan), where=count > 0
    )
    return mean


def taus(values: Float[np.ndarray, "k n p"]) -> Float[np.ndarray, "k k"]:
    """Kendall's tau-b between k lists of n rankings of p things, averaged over the n.

    From `MOST_PAIRS` pairs of things on so many of them, drawn once, stand for all.

    Returns
    -------
    NaN where a ranking of either is constant, or not a number, n times.
    """
    first, second = np.triu_indices(values.shape[-1], 1)
    if len(first) > MOST_PAIRS:
        drawn = np.random.default_rng(0).choice(len(first), MOST_PAIRS, replace=False)
        first, second = first[drawn], second[drawn]
    found = []
    for one in values.swapaxes(0, 1):
        signs = np.sign(one[:, first] - one[:, second])
        size = np.sqrt((signs**2).sum(axis=1, keepdims=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = signs / size
        found.append(unit @ unit.T)
    clipped: np.ndarray = np.clip(mean_of_finite(np.stack(found)), -1, 1)
    return clipped

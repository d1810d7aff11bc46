"""Intervals cover what they claim, ranks hold the truth, corrections match literals."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.board import statistics
from bench.board.statistics import (
    MOST_PAIRS,
    coverage,
    hierarchical_bootstrap,
    holm,
    interval,
    mean_of_finite,
    mean_over,
    p_values,
    rank_intervals,
    taus,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_t_interval_of_one_problem_is_scipys():
    """Student t over seed means, as scipy computes it."""
    values = np.array([0.91, 0.95, 0.90, 0.97])
    wanted = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    mean, low, high = interval(values, np.zeros(4, dtype=int), rng=rng())
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(wanted)


def test_mean_over_two_problems_is_welchs_test():
    """The degrees of freedom are those of Welch's t test, which has the same variance."""
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.6, 0.4, 0.7])
    problem = np.array([0] * 3 + [1] * 4)
    found = mean_over(np.concatenate([a, b]), problem)
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert found.mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert found.se == pytest.approx(np.sqrt(a.var(ddof=1) / 3 + b.var(ddof=1) / 4) / 2)
    assert found.df == pytest.approx(welch.df)


def test_problems_weigh_the_same_however_many_seeds_they_have():
    """Seeds first, then problems."""
    values = np.array([0.0, 0.0, 0.0, 0.0, 1.0, np.nan, np.nan, np.nan])
    assert mean_over(values, np.repeat([0, 1], 4)).mean == 0.5


def test_no_mean_without_a_problem_and_no_interval_from_one_seed():
    """What is missing is neither imputed nor left out of the list of problems."""
    problem = np.array([0, 0, 1, 1])
    assert np.isnan(mean_over(np.array([1.0, 2.0, np.nan, np.nan]), problem).mean)
    mean, low, high = interval(np.array([1.0, 2.0, 3.0, np.nan]), problem, rng=rng())
    assert mean == 2.25
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize("spreads", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.1, 0.1, 0.1)])
@pytest.mark.parametrize("n", [3, 5])
def test_interval_covers_95_percent(n: int, spreads: tuple[float, ...]):
    """Where a percentile bootstrap covers .73 and .83, and one pooled variance fails too."""
    draws, k = 4000, len(spreads)
    values = rng().normal(size=(draws, k * n)) * np.repeat(spreads, n)
    found = mean_over(values, np.repeat(np.arange(k), n))
    half = stats.t.ppf(0.975, found.df) * found.se
    assert 0.93 <= (np.abs(found.mean) <= half).mean() <= 0.99


def test_one_pooled_variance_would_not_cover():
    """Why the degrees of freedom are Satterthwaite's and not sum(n - 1)."""
    spreads, n = np.array([1.0, 0.1, 0.1, 0.1]), 3
    values = rng().normal(size=(4000, 12)) * np.repeat(spreads, n)
    found = mean_over(values, np.repeat(np.arange(4), n))
    half = stats.t.ppf(0.975, 4 * (n - 1)) * found.se
    assert (np.abs(found.mean) <= half).mean() < 0.91


def test_bootstrap_covers_at_ten_problems():
    """The expanded percentiles hold their level for a mean over all problems."""
    n, hits, trials = 10, 0, 300
    problem = np.repeat(np.arange(n), 3)
    for trial in range(trials):
        source = rng(trial)
        values = np.repeat(source.normal(size=n), 3) + 0.3 * source.normal(size=3 * n)
        low, high = hierarchical_bootstrap(values, problem, 400, rng=source)
        hits += low <= 0 <= high
    assert 0.915 <= hits / trials <= 0.985


def test_bootstrap_takes_over_from_many_problems_on():
    """A fixed list below `MANY`, a sample of problems from there."""
    n = statistics.MANY
    values = np.repeat(np.arange(n, dtype=float), 2) + np.tile([0, 1e-9], n)
    narrow = interval(values[: 2 * n - 2], np.repeat(np.arange(n - 1), 2), rng=rng())
    wide = interval(values, np.repeat(np.arange(n), 2), rng=rng())
    assert narrow[2] - narrow[1] < 1e-6
    assert wide[2] - wide[1] > 1


def test_holm_matches_the_literal():
    """The worked example: .01, .04, .03, .005 become .03, .06, .06, .02."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_p_value_of_one_problem_is_the_paired_t_test():
    """On the seeds that both methods have."""
    a, b = np.array([1.0, 2.0, 3.5, 4.0, 9.0]), np.array([0.5, 1.9, 3.0, 3.1, np.nan])
    found = p_values(a - b, np.zeros(5, dtype=int))
    assert found == pytest.approx(stats.ttest_rel(a[:4], b[:4]).pvalue)


def test_p_value_of_equal_differences():
    """No spread is no certainty: the sign test; equal methods are equal."""
    problem = np.zeros(4, dtype=int)
    assert p_values(np.full(4, 0.1), problem) == pytest.approx(1 / 8)
    assert p_values(np.zeros(4), problem) == 1
    assert p_values(np.array([0.1, np.nan, np.nan, np.nan]), problem) == 1


def test_p_value_of_many_problems_is_wilcoxons():
    """Over the problems' means."""
    means = rng().normal(size=statistics.MANY) + 0.8
    found = p_values(np.repeat(means, 2), np.repeat(np.arange(len(means)), 2))
    assert found == pytest.approx(stats.wilcoxon(means, method="exact").pvalue)
    tied = means.round(0)
    found = p_values(np.stack([means, tied]), np.arange(len(means)))
    expected = [
        stats.wilcoxon(one, method=method).pvalue
        for one, method in ((means, "exact"), (tied, "asymptotic"))
    ]
    assert found == pytest.approx(np.array(expected))


def test_clear_ranks_are_found_in_both_directions():
    """Methods far apart have one rank each, whichever direction is better."""
    noise = 0.01 * rng().normal(size=(3, 6))
    values, problem = np.array([[0.5], [0.9], [0.1]]) + noise, np.repeat([0, 1], 3)
    assert rank_intervals(values, problem, higher=True).tolist() == [[2, 2], [1, 1], [3, 3]]
    assert rank_intervals(values, problem, higher=False).tolist() == [[2, 2], [3, 3], [1, 1]]


def test_a_shared_seed_effect_does_not_hide_a_difference():
    """Comparisons are paired: seeds move all methods together."""
    shared = rng().normal(size=5)
    values = np.stack([shared, shared + 0.1]) + 1e-3 * rng(1).normal(size=(2, 5))
    ranks = rank_intervals(values, np.zeros(5, dtype=int), higher=True)
    assert ranks.tolist() == [[2, 2], [1, 1]]


def test_equal_methods_are_tied_at_the_stated_level():
    """Of equal methods, at most 5 % of the rank intervals miss the first place or the last."""
    source, misses = rng(), 0
    for _ in range(300):
        ranks = rank_intervals(source.normal(size=(4, 5)), np.zeros(5, dtype=int), higher=True)
        misses += (ranks != [1, 4]).any(1).sum()
    assert misses / 1200 <= 0.06


def test_a_method_without_a_problem_has_no_rank():
    """And the others are ranked among themselves."""
    values = np.array([[1.0, 1.1, 1.0, 1.2], [0.1, 0.2, 0.1, 0.3], [9.0, 9.0, np.nan, np.nan]])
    ranks = rank_intervals(values, np.array([0, 0, 1, 1]), higher=True)
    assert ranks[2].tolist() == [0, 0]
    assert ranks[:2].max() == 2


def test_coverage_counts_what_is_there():
    """Share of units with a value."""
    assert coverage(np.array([1.0, np.nan, 2.0, np.nan])) == 0.5


def test_taus_are_kendalls():
    """Ties and all, as scipy has them; NaN with a constant ranking, the mean over the others."""
    values = rng().integers(0, 5, (3, 4, 7)).astype(float)
    values[2, 1:] = 1.0
    found = taus(values)
    for i, j in [(0, 1), (1, 0), (0, 0)]:
        each = [stats.kendalltau(a, b).statistic for a, b in zip(values[i], values[j], strict=True)]
        assert found[i, j] == pytest.approx(np.mean(each))
    assert found[0, 2] == pytest.approx(stats.kendalltau(values[0, 0], values[2, 0]).statistic)
    assert np.isnan(taus(np.ones((2, 1, 3)))).all()


def test_taus_of_many_things_are_estimates():
    """From a sample of pairs: within four standard errors."""
    values = rng().normal(size=(2, 1, 400))
    values[1] += values[0]
    exact = stats.kendalltau(*values[:, 0]).statistic
    assert taus(values)[0, 1] == pytest.approx(exact, abs=4 / math.sqrt(MOST_PAIRS))


def test_mean_of_finite():
    """Over what is there; NaN where nothing is."""
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_equal(mean_of_finite(values), [2.0, 5.0, np.nan])

import math
import sys
from functools import partial

import numpy as np
import pytest
from scipy import stats

from bench.isolation import Unsupported
from bench.scores.detection import (
    classifier_test,
    confusion_divergence,
    confusions,
    corrected,
    held_out_classifier_test,
    ks_by_feature,
    ks_on_scores,
    ks_statistics,
    largest_ks,
    logistic_weights,
    mmd_test,
    monte_carlo_p,
    monte_carlo_p_values,
    power,
    transport_cost,
    wasserstein_test,
)

RNG = np.random.default_rng


def scores_given_group(sample: np.ndarray, reference: np.ndarray, *, rng: np.random.Generator):
    """KS of the first feature, given the sign of the last."""
    return ks_on_scores(sample[:, 0], reference[:, 0], sample[:, -1] > 0, reference[:, -1] > 0)


def features(sample: np.ndarray, reference: np.ndarray, *, rng: np.random.Generator):
    return ks_by_feature(sample, reference)


DETECTORS = {
    "ks_by_feature": (features, 400),
    "ks_on_scores": (scores_given_group, 400),
    "wasserstein": (partial(wasserstein_test, permutations=19), 100),
    "mmd": (partial(mmd_test, permutations=19), 400),
    "classifier_logistic": (partial(classifier_test, folds=2, permutations=19), 50),
    "held_out_logistic": (held_out_classifier_test, 400),
    "held_out_forest": (partial(held_out_classifier_test, model="forest"), 40),
}


def rejections(name: str, shift: float, runs: int, seed: int = 0) -> int:
    """How often a shift of the mean is detected, in samples of 40 from two normal features."""
    detector, _ = DETECTORS[name]
    found = 0
    for run in range(runs):
        rng = RNG([seed, run])
        sample, reference = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
        sample[:, 0] += shift
        found += detector(sample, reference, rng=rng).rejects(0.05)
    return found


@pytest.mark.parametrize("name", DETECTORS)
def test_level_is_kept(name: str):
    """Without a shift at most 5 % are rejected, up to what chance explains (one in 10,000); tests
    that are exact reject 5 %, not fewer."""
    runs = DETECTORS[name][1]
    found = rejections(name, 0.0, runs)
    assert found <= stats.binom.ppf(1 - 1e-4, runs, 0.05)
    if "ks" not in name:  # its p-values are whole multiples of a large step: 2-4 %
        assert found >= stats.binom.ppf(1e-3, runs, 0.05)


@pytest.mark.parametrize("name", DETECTORS)
def test_power_grows_with_the_shift(name: str):
    """From the level to certainty."""
    runs = 15
    found = [rejections(name, shift, runs) for shift in (0.0, 0.8, 2.0)]
    assert found[0] < found[1] < found[2]
    assert found[2] >= 0.9 * runs


def test_power_with_its_interval():
    """Against the formulas of Wilson, and of Clopper and Pearson."""
    found = power([True] * 7 + [False] * 13)
    z = stats.norm.ppf(0.975)
    middle = (0.35 + z**2 / 40) / (1 + z**2 / 20)
    half = z * math.sqrt(0.35 * 0.65 / 20 + z**2 / 1600) / (1 + z**2 / 20)
    assert (found.rate, found.n) == (0.35, 20)
    assert found.low == pytest.approx(middle - half)
    assert found.high == pytest.approx(middle + half)
    exact = power(np.arange(20) < 7, method="exact", confidence=0.9)
    assert exact.low == pytest.approx(stats.beta.ppf(0.05, 7, 14))
    assert exact.high == pytest.approx(stats.beta.ppf(0.95, 8, 13))
    assert power([False] * 5, method="exact").low == 0
    with pytest.raises(ValueError, match="no samples"):
        power([])


def test_corrections():
    """Holm steps down, never above Bonferroni; the least p-value is the same."""
    p_values = np.array([0.04, 0.01, 0.03, 0.5])
    assert corrected(p_values, "bonferroni").tolist() == pytest.approx([0.16, 0.04, 0.12, 1.0])
    assert corrected(p_values, "holm").tolist() == pytest.approx([0.09, 0.04, 0.09, 0.5])
    drawn = RNG(0).random(50) ** 2
    assert (corrected(drawn, "holm") <= corrected(drawn, "bonferroni")).all()
    assert corrected(drawn, "holm").min() == corrected(drawn, "bonferroni").min()


def test_monte_carlo_p():
    """Ties count against the hypothesis' rejection; never 0."""
    assert monte_carlo_p(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert monte_carlo_p(9.0, np.array([1.0, 2.0, 3.0])) == 1 / 4
    rng = np.random.default_rng(0)
    many, nulls = rng.integers(9, size=20).astype(float), rng.integers(9, size=(20, 30)) / 1
    for null in (nulls, nulls[0]):
        each = np.broadcast_to(null, nulls.shape)
        wanted = [monte_carlo_p(one, other) for one, other in zip(many, each, strict=True)]
        np.testing.assert_array_equal(monte_carlo_p_values(many, null), wanted)


def test_ks_statistic():
    """The largest difference of the empirical distribution functions, by their definition."""
    rng = RNG(0)
    sample, reference = rng.normal(size=(30, 3)), rng.normal(size=(50, 3))
    at = np.concatenate([sample, reference])
    apart = [
        np.abs(
            (sample[:, f, None] <= at[:, f]).mean(0) - (reference[:, f, None] <= at[:, f]).mean(0)
        ).max()
        for f in range(3)
    ]
    found = ks_by_feature(sample, reference)
    assert found.statistic == pytest.approx(max(apart))
    assert len(found.parts) == 3
    assert found.p_value == min(found.parts)


@pytest.mark.parametrize("sizes", [(30, 50), (40, 40), (3, 200)])
def test_largest_ks_is_the_test_of_the_whole(sizes: tuple[int, int]):
    """Statistics of all features at once by scipy's one by one, with ties too; one p-value of two
    pairs of different sizes as Bonferroni's of all their features."""
    rng = RNG(0)
    k, m = sizes

    def rows(n: int, shift: float = 0.0) -> np.ndarray:
        drawn = rng.normal(size=(n, 6)) + shift
        drawn[:, 3] = np.round(drawn[:, 3])
        drawn[:, 4] = drawn[:, 4] > 0
        drawn[:, 5] = 1.0
        return drawn

    samples, references = [rows(k, 0.3), rows(25)], [rows(m), rows(12, 0.5)]
    tests = [
        stats.ks_2samp(one[:, f], other[:, f])
        for one, other in zip(samples, references, strict=True)
        for f in range(6)
    ]
    found = [
        gap
        for one, other in zip(samples, references, strict=True)
        for gap in ks_statistics(one, other)
    ]
    assert found == pytest.approx([test.statistic for test in tests], rel=1e-12)
    whole = largest_ks(samples, references)
    assert whole.statistic == max(found)
    assert whole.p_value == pytest.approx(min(12 * min(t.pvalue for t in tests), 1.0), rel=1e-12)
    assert len(whole.parts) == 2
    alone = largest_ks(samples[:1], references[:1])
    assert alone.p_value == pytest.approx(ks_by_feature(samples[0], references[0]).p_value)


def test_ks_on_scores_given_a_group():
    """A shift that cancels over groups is seen only given the group."""
    rng = RNG(0)
    groups = np.repeat([0, 1], 200)
    reference = rng.normal(size=400)
    sample = rng.normal(size=400) + np.where(groups, 1.0, -1.0)
    reference += np.where(groups, -1.0, 1.0)
    assert not ks_on_scores(sample, reference).rejects()
    found = ks_on_scores(sample, reference, groups, groups)
    assert found.rejects(1e-6)
    assert len(found.parts) == 2
    with pytest.raises(ValueError, match="group 1: 0 and 200 rows"):
        ks_on_scores(sample[:200], reference, groups[:200], groups)


@pytest.mark.parametrize("d", [1, 2])
def test_wasserstein_statistic(d: int):
    """The cheapest assignment of rows, by scipy."""
    from scipy.optimize import linear_sum_assignment

    rng = RNG(d)
    sample, reference = rng.normal(size=(25, d)), rng.normal(size=(25, d))
    costs = ((sample[:, None] - reference[None]) ** 2).sum(axis=2)
    best = costs[linear_sum_assignment(costs)].mean()
    found = wasserstein_test(sample, reference, rng=rng, permutations=1)
    assert found.statistic == pytest.approx(best)
    assert transport_cost(sample, reference) == pytest.approx(best)


def test_transport_cost_of_different_sizes():
    """Rows that are repeated until there are as many, assigned; nothing to move costs nothing."""
    from scipy.optimize import linear_sum_assignment

    rng = RNG(0)
    sample, reference = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    both = np.repeat(sample, 3, axis=0), np.repeat(reference, 2, axis=0)
    costs = ((both[0][:, None] - both[1][None]) ** 2).sum(axis=2)
    best = costs[linear_sum_assignment(costs)].mean()
    assert transport_cost(sample, reference) == pytest.approx(best)
    assert transport_cost(reference, reference[::-1]) == pytest.approx(0, abs=1e-12)


def test_mmd_statistic():
    """Means of the kernel within and between, with the median distance as bandwidth."""
    rng = RNG(0)
    sample, reference = rng.normal(size=(12, 2)), rng.normal(size=(17, 2))
    pooled = np.concatenate([sample, reference])
    apart = [np.linalg.norm(pooled[i] - pooled[j]) for i in range(29) for j in range(i)]
    width = np.median(apart)

    def mean(a, b):
        return np.mean([math.exp(-((x - y) ** 2).sum() / (2 * width**2)) for x in a for y in b])

    value = mean(sample, sample) + mean(reference, reference) - 2 * mean(sample, reference)
    found = mmd_test(sample, reference, rng=rng, permutations=9)
    assert found.statistic == pytest.approx(value)
    same = mmd_test(np.zeros((5, 2)), np.zeros((7, 2)), rng=rng)
    assert same.p_value == 1


@pytest.mark.parametrize("n", [6, 40, 200])
@pytest.mark.parametrize("d", [1, 5, 60])
@pytest.mark.parametrize("apart", [0.0, 1.0, 30.0])
def test_newton_finds_the_logistic_regression(n: int, d: int, apart: float):
    """Scores and intercept of scikit-learn's, separable rows and more features than rows
    included."""
    from sklearn.linear_model import LogisticRegression

    rng = RNG([n, d])
    labels = np.arange(n) % 3 == 0
    inputs = rng.normal(size=(n, d)) + apart * labels[:, None]
    weights = logistic_weights(inputs, labels)
    fitted = LogisticRegression(tol=1e-10, max_iter=100_000).fit(inputs, labels)
    assert weights[:-1] == pytest.approx(fitted.coef_[0], abs=1e-5)
    assert weights[-1] == pytest.approx(fitted.intercept_[0], abs=1e-4)


def test_forest_sees_what_is_not_linear():
    """Two rings: means agree, the logistic regression is blind."""
    rng = RNG(0)

    def ring(radius: float) -> np.ndarray:
        angle = rng.random(150) * 2 * np.pi
        return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    sample, reference = ring(1.0), ring(1.5)
    forest = classifier_test(sample, reference, rng=rng, model="forest", folds=2, permutations=9)
    assert forest.statistic > 0.95
    assert forest.p_value == 1 / 10
    linear = classifier_test(sample, reference, rng=rng, permutations=19)
    assert linear.statistic < 0.65


def test_confusion_divergence_by_hand():
    """Two groups of four; KL of the shares of (black box, surrogate)."""
    box = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    surrogate = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    groups = np.repeat(["a", "b"], 4)
    shares = confusions(surrogate, box, groups)
    assert shares.tolist() == [[[0.5, 0], [0.25, 0.25]], [[0.25, 0.25], [0, 0.5]]]
    assert confusion_divergence(surrogate, box, groups, pseudocount=0) == math.inf
    p, q = np.array([2.5, 0.5, 1.5, 1.5]) / 6, np.array([1.5, 1.5, 0.5, 2.5]) / 6
    forward = (p * np.log(p / q)).sum()
    assert confusion_divergence(surrogate, box, groups) == pytest.approx(forward)
    backward = (q * np.log(q / p)).sum()
    assert confusion_divergence(surrogate, box, groups, reverse=True) == pytest.approx(backward)
    assert confusion_divergence(box, box, np.tile(["a", "b"], 4)) == pytest.approx(0, abs=1e-15)
    rows = np.array([2.5 / 3, 0.5 / 3, 1.5 / 3, 1.5 / 3]) / 2
    others = np.array([1.5 / 3, 1.5 / 3, 0.5 / 3, 2.5 / 3]) / 2
    given = confusion_divergence(surrogate, box, groups, given_decision=True)
    assert given == pytest.approx((rows * np.log(rows / others)).sum())
    with pytest.raises(ValueError, match="pseudocount=0 given the decision: wanted more"):
        confusion_divergence(surrogate, box, groups, given_decision=True, pseudocount=0)
    with pytest.raises(ValueError, match="wanted two; compare more of them by pairs"):
        confusion_divergence(box, box, np.arange(8) % 3)


def test_washing_one_group_raises_the_divergence():
    """A surrogate that flips the worse-off group's labels diverges more than an honest one with
    as many errors."""
    rng = RNG(0)
    groups = rng.integers(2, size=4000)
    box = (rng.random(4000) < np.where(groups, 0.6, 0.3)).astype(int)
    wrong = rng.random(4000) < 0.1
    honest = np.where(wrong, 1 - box, box)
    washed = np.where((groups == 0) & (box == 0) & (rng.random(4000) < 0.28), 1, box)
    assert abs((washed != box).mean() - wrong.mean()) < 0.015
    divergences = [confusion_divergence(c, box, groups) for c in (washed, honest)]
    assert divergences[0] > 1.5 * divergences[1]


def test_bad_input(monkeypatch: pytest.MonkeyPatch):
    """Errors name the value met and the value wanted."""
    rows = np.zeros((5, 2))
    with pytest.raises(ValueError, match="2 and 3 features"):
        mmd_test(rows, np.zeros((5, 3)), rng=RNG(0))
    with pytest.raises(ValueError, match="1 and 5 rows"):
        ks_by_feature(rows[:1], rows)
    with pytest.raises(ValueError, match="no features"):
        largest_ks([rows[:, :0]], [rows[:, :0]])
    with pytest.raises(ValueError, match="not finite"):
        transport_cost(rows, np.full((5, 2), np.inf))
    with pytest.raises(ValueError, match="5 and 4 rows in 5 folds"):
        classifier_test(rows, rows[:4], rng=RNG(0))
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(Unsupported, match="pip install"):
        wasserstein_test(rows, rows, rng=RNG(0))


def test_sequential_p_values_are_exact():
    """Stopped at the first permutation that costs as much: of honest samples p is uniform or
    larger at each level, and the rejections at 5 % are those of all 19 permutations."""
    rng, found = np.random.default_rng(3), []
    for seed in range(300):
        one, other = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
        both = [
            wasserstein_test(
                one,
                other,
                rng=np.random.default_rng(seed),
                permutations=19,
                exceedances=stopped,
            ).p_value
            for stopped in (1, None)
        ]
        assert (both[0] <= 0.05) == (both[1] <= 0.05)
        found.append(both[0])
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 4 * np.sqrt(level * (1 - level) / 300)

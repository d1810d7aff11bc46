import math

import numpy as np
import pytest
from scipy import stats

from bench.scores.rank_agreement import auc, jaccard_of_extremes, kendall_tau


def test_kendall_tau_counts_pairs():
    """Concordant minus discordant pairs over all pairs, where nothing ties; scipy's with ties."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    signs = [np.sign((a[i] - a[j]) * (b[i] - b[j])) for i in range(20) for j in range(i)]
    assert kendall_tau(a, b) == pytest.approx(np.mean(signs))
    tied = np.round(a)
    assert kendall_tau(tied, b) == pytest.approx(stats.kendalltau(tied, b)[0])
    assert kendall_tau(a, a) == 1
    assert kendall_tau(a, -a) == -1
    assert math.isnan(kendall_tau(np.zeros(20), b))


def test_jaccard_of_extremes():
    """Both ends form one set; half of each end shared gives 2 / 6 at k = 2."""
    truth = np.arange(10.0)
    assert jaccard_of_extremes(truth, truth, 2) == 1
    assert jaccard_of_extremes(-truth, truth, 2) == 1
    other = truth.copy()
    other[[0, 5]], other[[9, 4]] = other[[5, 0]], other[[4, 9]]
    assert jaccard_of_extremes(other, truth, 2) == pytest.approx(2 / 6)
    assert jaccard_of_extremes(truth, truth, 5) == 1
    assert math.isnan(jaccard_of_extremes(truth, truth, 6))


def test_auc_is_the_share_of_rightly_ordered_pairs():
    """A literal loop over pairs, ties counting half."""
    rng = np.random.default_rng(0)
    values, positive = rng.integers(5, size=30).astype(float), rng.random(30) < 0.3
    pairs = [
        (values[i] > values[j]) + (values[i] == values[j]) / 2
        for i in np.flatnonzero(positive)
        for j in np.flatnonzero(~positive)
    ]
    assert auc(values, positive) == pytest.approx(np.mean(pairs))
    assert math.isnan(auc(values, np.zeros(30, dtype=bool)))

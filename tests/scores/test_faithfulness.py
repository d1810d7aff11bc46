"""Other boards' scores against their definitions, written out, and limit cases."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from bench.scores.faithfulness import change, completeness_gap, gini, infidelity, label_change
from bench.scores.rank_agreement import kendall_taus, spearman

RNG = np.random.default_rng(3)


def test_label_change_is_the_area_over_the_kept_share():
    """By trapezoids; a label that never changes has none."""
    kept = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(label_change(kept), [0.5, 0.0])


def test_infidelity_is_the_least_squares_residual():
    """numpy's own least squares in one unknown; 0 for a linear F in any unit, 1 for zeros."""
    values, masks = RNG.normal(size=(3, 5)), RNG.random((40, 5)) < 0.5
    drops = RNG.normal(size=(3, 40))
    for row in range(3):
        said = masks @ values[row]
        residual = np.linalg.lstsq(said[:, None], drops[row], rcond=None)[1][0]
        expected = residual / (drops[row] ** 2).sum()
        assert infidelity(values, masks, drops)[row] == pytest.approx(expected)
    np.testing.assert_allclose(infidelity(7 * values, masks, values @ masks.T), 0, atol=1e-12)
    np.testing.assert_allclose(infidelity(0 * values, masks, drops), 1)
    assert np.isnan(infidelity(values, masks, 0 * drops)).all()


def test_completeness_gap():
    """0 where the values sum to the drop, 1 for zeros; undefined without a drop."""
    values = np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    gap = completeness_gap(values, np.array([3.0, -2.0, 0.0]), np.ones(3))
    np.testing.assert_allclose(gap, [0.0, 1.0, np.nan])


def test_gini_is_half_the_mean_difference():
    """sum |a - b| / (2 p^2 mean); 0 where all are equal, 1 - 1/p where one is all."""
    values = RNG.normal(size=(2, 6))
    sizes = np.abs(values)
    pairs = np.abs(sizes[:, :, None] - sizes[:, None]).sum((1, 2))
    np.testing.assert_allclose(gini(values), pairs / (2 * 36 * sizes.mean(1)))
    np.testing.assert_allclose(gini(np.array([[1.0, -1.0], [0.0, 3.0]])), [0.0, 0.5])
    assert np.isnan(gini(np.zeros((1, 3)))).all()


def test_change_is_the_largest_relative_move():
    """Of all copies; the same copy moves nothing."""
    values = np.array([[3.0, 4.0]])
    others = np.stack([values, values + np.array([[0.0, 5.0]]), -values])
    np.testing.assert_allclose(change(values, others), [2.0])
    np.testing.assert_allclose(change(values, values[None]), [0.0])


def test_rank_correlations_of_rows():
    """scipy's, row by row, ties included; NaN where a row is constant."""
    values, others = RNG.integers(4, size=(6, 9)), RNG.integers(4, size=(6, 9))
    values[5] = 1
    for row in range(5):
        tau, rho = kendalltau(values[row], others[row]), spearmanr(values[row], others[row])
        assert kendall_taus(values * 1.0, others * 1.0)[row] == pytest.approx(tau.statistic)
        assert spearman(values * 1.0, others * 1.0)[row] == pytest.approx(rho.statistic)
    assert np.isnan(kendall_taus(values * 1.0, others * 1.0)[5])
    assert np.isnan(spearman(values * 1.0, others * 1.0)[5])

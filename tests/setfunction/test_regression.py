"""The shared-mask regressions against their definitions."""

from math import comb

import numpy as np
import pytest

from bench.setfunction.regression import (
    Design,
    constrained_regression,
    lime_design,
    ridge_regression,
    shapley_design,
    shapley_regression,
)
from bench.setfunction.table import Tabulated, masks_of, shapley_values


def tables(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


def none(n: int, p: int) -> np.ndarray:
    return np.zeros((n, p), dtype=bool)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 7, 8])
def test_all_masks_give_the_exact_shapley_values(p: int):
    """With 2^p - 2 samples the design is the whole kernel, and the regression exact."""
    table = tables(4, p)
    design = shapley_design(p, 2**p - 2, rng=np.random.default_rng(0))
    assert len(np.unique(design.kept, axis=0)) == len(design.kept) == 2**p - 2
    samples = max(2, 2**p - 2)
    found = shapley_regression(Tabulated(table), none(4, p), samples, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found, shapley_values(table), atol=1e-9)


def test_enumerated_weights_are_the_shapley_kernel():
    """(p - 1) / (C(p, s) s (p - s)), up to a constant factor."""
    p = 7
    design = shapley_design(p, 2**p, rng=np.random.default_rng(0))
    s = design.kept.sum(1)
    kernel = np.array([(p - 1) / (comb(p, k) * k * (p - k)) for k in s])
    np.testing.assert_allclose(design.weights / design.weights.sum(), kernel / kernel.sum())


@pytest.mark.parametrize("samples", [2, 20, 60, 500, 1000])
def test_sampled_masks_come_in_pairs_within_budget(samples: int):
    """Every set's complement is there as often, no more sets than samples, weights sum to 1."""
    p = 12
    design = shapley_design(p, samples, rng=np.random.default_rng(0))
    assert 0 < len(design.kept) <= samples
    rows, counts = np.unique(design.kept, axis=0, return_counts=True)
    others, again = np.unique(~design.kept, axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, others)
    np.testing.assert_array_equal(counts, again)
    assert design.weights.sum() == pytest.approx(1.0)
    assert set(design.kept.sum(1)) <= set(range(1, p))


def test_outer_sizes_are_enumerated():
    """At 500 samples all single features and all but one are there once."""
    design = shapley_design(30, 500, rng=np.random.default_rng(0))
    sizes = design.kept.sum(1)
    assert (sizes == 1).sum() == (sizes == 29).sum() == 30


def test_sampled_values_come_near_the_exact_ones():
    """The error falls with the samples and is small against the values."""
    table = np.tanh(
        np.random.default_rng(0).normal(size=(4, 10)) @ masks_of(np.arange(2**10), 10).T
    )
    exact = shapley_values(table)
    errors = []
    for samples in (60, 240, 960):
        rng = np.random.default_rng(1)
        found = shapley_regression(Tabulated(table), none(4, 10), samples, rng=rng)
        np.testing.assert_allclose(found.sum(1), table[:, 0] - table[:, -1], atol=1e-9)
        errors.append(np.sqrt(np.mean((found - exact) ** 2)))
    assert errors[2] < errors[1] < errors[0] < np.abs(exact).mean()


def with_nulls(small: np.ndarray, null: np.ndarray) -> np.ndarray:
    """A table of all features from one row for each instance of those that aren't null."""
    n, p = null.shape
    masks, table = masks_of(np.arange(2**p), p), np.empty((n, 2**p))
    for row in range(n):
        live = masks[:, ~null[row]]
        table[row] = small[row, live @ (1 << np.arange(live.shape[1]))]
    return table


def test_null_features_get_zero_and_the_rest_is_exact():
    """2^k - 2 samples are the whole game of the k features that F knows, other ones for each."""
    p, small = 7, tables(5, 7)
    null = none(5, p)
    null[0, [2, 5]] = null[1, [0, 6]] = null[2, 3] = null[3, :6] = null[4] = True
    table = with_nulls(small, null)
    found = shapley_regression(Tabulated(table), null, 62, rng=np.random.default_rng(0))
    assert not found[null].any()
    np.testing.assert_allclose(found, shapley_values(table), atol=1e-9)


def test_no_sample_is_spent_on_null_features():
    """All masks asked of an instance differ in the features that it knows."""
    p, samples, asked = 15, 40, []
    null = np.random.default_rng(0).random((6, p)) < 0.2
    table = with_nulls(tables(6, p), null)

    def value(masks: np.ndarray) -> np.ndarray:
        asked.append(np.broadcast_to(masks, (6, *masks.shape[-2:])))
        return Tabulated(table)(masks)

    shapley_regression(value, null, samples, rng=np.random.default_rng(1))
    masks = np.concatenate(asked, axis=1)
    assert not (masks[:, 2:] & null[:, None]).any()
    for row in range(6):
        assert len(np.unique(masks[row, 2:], axis=0)) > 0.8 * min(samples, 2 ** (~null[row]).sum())


def literal_ridge(design: Design, values: np.ndarray, penalty: float) -> np.ndarray:
    """The normal equations with the intercept as one more column, not penalised."""
    z = np.column_stack([np.ones(len(design.kept)), design.kept])
    w = np.diag(design.weights)
    penalties = penalty * np.diag([0.0, *[1.0] * design.kept.shape[1]])
    return np.linalg.solve(z.T @ w @ z + penalties, z.T @ w @ values)[1:]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_ridge_is_the_weighted_normal_equations(penalty: float):
    """Each instance for itself gives what the shared Gram matrix gives."""
    value, p = Tabulated(tables(3, 6)), 6
    design = lime_design(p, 101, 0.75 * p**0.5, "euclidean", rng=np.random.default_rng(0))
    null = none(3, p)
    null[1, [0, 4]] = True
    found = ridge_regression(design, value, null, penalty)
    for i, values in enumerate(value(~design.kept)):
        own = Design(design.kept[:, ~null[i]], design.weights)
        np.testing.assert_allclose(found[i, ~null[i]], literal_ridge(own, values, penalty))
        assert not found[i, null[i]].any()


def test_lime_weights():
    """sqrt(exp(-d^2 / w^2)): Euclidean and cosine distance to the full set."""
    for distance in ("cosine", "euclidean"):
        design = lime_design(9, 50, 0.4, distance, rng=np.random.default_rng(0))
        assert design.kept[0].all()
        assert design.weights[0] == 1
        full = np.ones(9)
        for kept, weight in zip(design.kept, design.weights, strict=True):
            if distance == "euclidean":
                d = np.linalg.norm(full - kept)
            else:
                d = 1 - kept @ full / max(1e-12, np.linalg.norm(kept) * 3)
            assert weight == pytest.approx(np.sqrt(np.exp(-(d**2) / 0.4**2)))


def test_instances_do_not_depend_on_each_other():
    """An instance's coefficients don't depend on which others are explained with it."""
    value, p = tables(5, 8), 8
    null = np.random.default_rng(1).random((5, p)) < 0.2
    value = with_nulls(value, null)
    together = shapley_regression(Tabulated(value), null, 60, rng=np.random.default_rng(0))
    alone = shapley_regression(Tabulated(value[2:3]), null[2:3], 60, rng=np.random.default_rng(0))
    np.testing.assert_allclose(together[2:3], alone, atol=1e-10)


def test_sizes_get_samples_by_the_root_of_their_kernel_mass():
    """p = 12, 120 samples: size 1 is enumerated, 48 pairs are of sizes 2 to 6.

    Each size has its part of the pairs to within one, and on average over 300 random starts the
    kernel's mass for its weight.
    """
    p = 12
    kernel = np.array([comb(p, s) * (p - 1) / (comb(p, s) * s * (p - s)) for s in range(1, p)])
    mass = np.array([kernel[s - 1] + (kernel[p - s - 1] if 2 * s < p else 0) for s in range(1, 7)])
    mass /= mass.sum()
    parts = np.sqrt(mass[1:]) / np.sqrt(mass[1:]).sum()
    weights = np.zeros((300, 7))
    for seed in range(300):
        design = shapley_design(p, 120, rng=np.random.default_rng(seed))
        sizes = np.minimum(design.kept.sum(1), p - design.kept.sum(1))
        pairs = np.bincount(sizes, minlength=7) / 2
        assert pairs[1] == 12
        assert (np.abs(pairs[2:] - 48 * parts) < 1).all()
        weights[seed] = np.bincount(sizes, design.weights, minlength=7)
    np.testing.assert_allclose(weights[:, 1], mass[0], rtol=1e-12)
    spread = weights[:, 2:].std(axis=0, ddof=1) / np.sqrt(300)
    assert (np.abs(weights[:, 2:].mean(axis=0) - mass[1:]) < 5 * spread + 1e-3).all()


def test_features_come_evenly_within_a_size():
    """Sets of a size are cut from orders of all 20 features: those of one order share none."""
    design = shapley_design(20, 400, rng=np.random.default_rng(0))
    for size in range(2, 10):
        sets = design.kept[design.kept.sum(1) == size]
        cuts = 20 // size
        for first in range(0, len(sets), cuts):
            assert sets[first : first + cuts].sum(0).max() == 1


def test_random_features_of_a_size_are_all_alike():
    """Over 400 designs each pair of features is kept together as often as any other pair."""
    p, together = 8, np.zeros((8, 8))
    for seed in range(400):
        kept = shapley_design(p, 60, rng=np.random.default_rng(seed)).kept
        together += kept[kept.sum(1) == 3].T.astype(float) @ kept[kept.sum(1) == 3]
    pairs = together[np.triu_indices(p, 1)]
    assert np.abs(pairs / pairs.mean() - 1).max() < 5 / np.sqrt(pairs.mean())


@pytest.mark.parametrize("samples", [2, 4, 12])
def test_few_masks_give_the_least_solution(samples: int):
    """Singular systems: the least of the coefficients that fit, summing to the drop."""
    p, table = 6, tables(3, 6)
    design = shapley_design(p, samples, rng=np.random.default_rng(1))
    gains = Tabulated(table)(~design.kept) - table[:, -1:]
    totals = table[:, 0] - table[:, -1]
    found = constrained_regression(design, gains, totals)
    np.testing.assert_allclose(found.sum(1), totals, atol=1e-9)
    root = np.sqrt(design.weights)[:, None] * design.kept
    bordered = np.zeros((p + 1, p + 1))
    bordered[:-1, :-1] = root.T @ root
    bordered[-1, :-1] = bordered[:-1, -1] = 1
    for row in range(3):
        wanted = [*(design.kept.T @ (design.weights * gains[row])), totals[row]]
        least = np.linalg.lstsq(bordered, np.array(wanted), rcond=1e-10)[0][:-1]
        np.testing.assert_allclose(found[row], least, atol=1e-8)

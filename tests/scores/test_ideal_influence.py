"""The scores as pure functions, and what is known of them (T4, T6, T8 of the criterion)."""

from itertools import permutations

import numpy as np
import pytest

from bench.scores import ideal_influence as scoring
from bench.setfunction.ideal import exact_ideal
from bench.setfunction.orders import along
from bench.setfunction.table import Tabulated


def tables(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


def influence(table: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """J of the orders `n k p`."""
    value = Tabulated(table)
    return scoring.area(along(value, orders[..., ::-1])) - scoring.area(along(value, orders))


def all_orders(n: int, p: int) -> np.ndarray:
    return np.broadcast_to(
        np.array(list(permutations(range(p)))), (n, len(list(permutations(range(p)))), p)
    )


def test_reverse_has_the_opposite_influence_and_the_mean_is_zero():
    """T4: J(reverse pi) = -J(pi); over all orders II averages 0 and reaches 1 and -1."""
    table = tables(3, 5)
    orders = all_orders(3, 5)
    j = influence(table, orders)
    np.testing.assert_allclose(influence(table, orders[..., ::-1]), -j, atol=1e-12)
    best = exact_ideal(table).joint
    found = scoring.ideal_influence(j, np.broadcast_to(best[:, None], j.shape))
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(found.max(1), 1, atol=1e-12)
    np.testing.assert_allclose(found.min(1), -1, atol=1e-12)


def test_bounds_of_the_area():
    """T6: the best sets of each size <= A_min <= A of any order <= A_max; the gap is >= 0."""
    table = tables(4, 5)
    ideal = exact_ideal(table)
    areas = scoring.area(along(Tabulated(table), all_orders(4, 5)))
    assert (scoring.nestedness_gap(table, ideal.least) >= -1e-12).all()
    assert (ideal.least[:, None] <= areas + 1e-12).all()
    assert (ideal.most[:, None] >= areas - 1e-12).all()
    np.testing.assert_allclose(ideal.chance_area, areas.mean(1), atol=1e-12)


def test_nested_best_sets_leave_no_gap():
    """Where F is modular the best sets of all sizes are nested."""
    masks = (np.arange(32)[:, None] >> np.arange(5)) & 1
    table = -np.random.default_rng(0).normal(size=(3, 5)) @ masks.T
    gap = scoring.nestedness_gap(table, exact_ideal(table).least)
    np.testing.assert_allclose(gap, 0, atol=1e-12)


def test_exclusion_and_inclusion_are_one_at_their_optima_and_zero_by_chance():
    """EX of the order of A_min, IN of that of A_max, both 1; the means over orders 0."""
    table = tables(3, 4)
    ideal = exact_ideal(table)
    orders = all_orders(3, 4)
    value = Tabulated(table)
    chance = np.broadcast_to(ideal.chance_area[:, None], orders.shape[:2])
    least = np.broadcast_to(ideal.least[:, None], orders.shape[:2])
    most = np.broadcast_to(ideal.most[:, None], orders.shape[:2])
    ex = scoring.exclusion(scoring.area(along(value, orders)), chance, least)
    into = scoring.inclusion(scoring.area(along(value, orders[..., ::-1])), chance, most)
    for score in (ex, into):
        np.testing.assert_allclose(score.max(1), 1)
        np.testing.assert_allclose(score.mean(1), 0, atol=1e-12)


@pytest.mark.parametrize("slope", [0.1, 7.0, -2.0])
def test_affine_change_of_f(slope: float):
    """T8: a F + b gives the same II for a > 0, and -II for a < 0."""
    table = tables(4, 5)
    orders = np.random.default_rng(1).permuted(np.tile(np.arange(5), (4, 1, 1)), axis=2)
    ratios = []
    for f in (table, slope * table + 3):
        best = exact_ideal(f).joint[:, None]
        ratios.append(scoring.ideal_influence(influence(f, orders), best))
    np.testing.assert_allclose(ratios[1], np.sign(slope) * ratios[0], atol=1e-12)


def test_only_the_ranking_counts():
    """T8: any increasing change of the values leaves the orders as they are."""
    values = np.random.default_rng(0).normal(size=(3, 6))
    keys = np.random.default_rng(1).random((3, 4, 6))
    np.testing.assert_array_equal(
        scoring.shuffled_orders(values, keys), scoring.shuffled_orders(np.exp(values) - 5, keys)
    )


def test_ties_are_broken_evenly():
    """Tied features come in every order about equally often; untied ones stay where they are."""
    values = np.array([[2.0, 1.0, 1.0, 0.0]])
    orders = scoring.shuffled_orders(values, np.random.default_rng(0).random((1, 400, 4)))[0]
    assert (orders[:, 0] == 0).all()
    assert (orders[:, 3] == 3).all()
    assert 150 < (orders[:, 1] == 1).sum() < 250


def test_tie_mass():
    """The share of pairs with equal values."""
    values = np.array([[1.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_allclose(scoring.tie_mass(values), [1 / 6, 1.0, 0.0])
    assert scoring.tie_mass(np.ones((2, 1))).tolist() == [0.0, 0.0]


def test_undefined_where_no_order_is_better():
    """F constant, of the size alone, p = 1, or F(S) = F(complement): J* is 0 and II is NaN."""
    sizes = np.bitwise_count(np.arange(32)).astype(float)
    half = np.random.default_rng(0).random(16)
    symmetric = np.concatenate([half, half[::-1]])
    cases = [np.full(32, 0.7), np.sin(sizes), symmetric, np.array([0.9, 0.9])]
    for f in cases:
        best = exact_ideal(f[None]).joint
        assert np.isnan(scoring.ideal_influence(np.zeros(1), best, np.abs(f).max()))[0]
    one = exact_ideal(np.array([[0.9, 0.2]]))
    assert np.isnan(scoring.ideal_influence(np.zeros(1), one.joint))[0]
    assert np.isnan(scoring.exclusion(one.least, one.chance_area, one.least))[0]


def test_the_tolerance_follows_the_scale():
    """Differences of a millionth of the largest |F| are rounding, whatever the unit."""
    j = np.array([1e-5])
    assert np.isnan(scoring.ideal_influence(j, j, 100.0))[0]
    assert scoring.ideal_influence(j, j, 1.0)[0] == 1.0

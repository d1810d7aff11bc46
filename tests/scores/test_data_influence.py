import numpy as np
import pytest

from bench.scores.data_influence import area, data_influence


def test_area_is_the_mean_under_straight_lines():
    """By hand, between unequal steps: 1 to .5 over 1 of 4 rows, .5 to 0 over the other 3."""
    assert area(np.array([[1.0, 0.5, 0.0]]), (0, 1, 4)) == pytest.approx([(0.75 + 3 * 0.25) / 4])
    constant = np.full((2, 3, 4), 0.3)
    np.testing.assert_allclose(area(constant, (0, 2, 3, 7)), 0.3)


def test_best_is_one_and_chance_is_zero():
    """And an order that beats the best known is above 1."""
    areas = np.array([0.2, 0.6, 0.9, 0.1])
    chance, best = np.full(4, 0.6), np.full(4, 0.2)
    np.testing.assert_allclose(data_influence(areas, chance, best), [1, 0, -0.75, 1.25])


def test_undefined_where_nothing_beats_chance():
    found = data_influence(np.array([0.5, 0.5]), np.array([0.6, 0.6]), np.array([0.6, 0.6 - 1e-9]))
    assert np.isnan(found).all()

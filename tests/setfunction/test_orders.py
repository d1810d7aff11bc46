"""Greedy orders and the polish, against loops that follow their words."""

from typing import get_args

import numpy as np
import pytest

from bench.setfunction.ideal import exact_ideal
from bench.setfunction.orders import Direction, along, greedy, polish, prefixes, trapezoid
from bench.setfunction.table import Tabulated

DIRECTIONS = get_args(Direction)


def tables(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


def influence(value: Tabulated, orders: np.ndarray) -> np.ndarray:
    orders = orders[:, None]
    difference = along(value, orders[..., ::-1]) - along(value, orders)
    return (difference @ trapezoid(orders.shape[-1]))[:, 0]


def literal_greedy(f: np.ndarray, p: int, direction: str) -> list[int]:
    """One instance, one step at a time, by the words of the direction."""
    full = 2**p - 1
    deleted = full if direction.startswith("insert") or direction == "backward" else 0
    sequence: list[int] = []
    for _ in range(p):
        best, chosen = -np.inf, -1
        for i in range(p):
            if i in sequence:
                continue
            after = deleted ^ (1 << i)  # delete where nothing was deleted, else restore
            gain = {
                "delete_min": -f[after],
                "delete_max": f[after],
                "insert_max": f[after],
                "insert_min": -f[after],
                "joint": f[full ^ after] - f[after],
                "backward": f[full ^ after] - f[after],
            }[direction]
            if gain > best:
                best, chosen = gain, i
        deleted ^= 1 << chosen
        sequence.append(chosen)
    least_first = direction in ("delete_max", "insert_min", "backward")
    return sequence[::-1] if least_first else sequence


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("p", [1, 2, 7])
def test_greedy_is_the_literal_loop(direction: Direction, p: int):
    """All instances at once, and the same as one by one."""
    table = tables(6, p, 3)
    found = greedy(Tabulated(table), 6, p, direction)
    assert found.orders.tolist() == [literal_greedy(f, p, direction) for f in table]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_greedy_is_ideal_where_f_is_modular(direction: Direction):
    """T1: F = F(0) - sum a_i is ordered by a."""
    a = np.random.default_rng(0).normal(size=(4, 6))
    masks = (np.arange(64)[:, None] >> np.arange(6)) & 1
    found = greedy(Tabulated(-a @ masks.T), 4, 6, direction)
    np.testing.assert_array_equal(found.orders, np.argsort(-a, axis=1))


def test_first_greedy_step_is_the_largest_occlusion():
    """T9."""
    table = tables(8, 6)
    occlusion = table[:, :1] - table[:, 1 << np.arange(6)]
    found = greedy(Tabulated(table), 8, 6, "delete_min")
    np.testing.assert_array_equal(found.orders[:, 0], occlusion.argmax(1))


def test_greedy_keeps_most_of_a_submodular_drop():
    """T7: of a monotone submodular drop every prefix has at least 1 - 1/e of the best set's."""
    rng = np.random.default_rng(0)
    covers = rng.random((12, 7, 20)) < 0.25  # each feature covers some of 20 items
    masks = ((np.arange(128)[:, None] >> np.arange(7)) & 1).astype(bool)
    drop = np.array([[c[m].any(0).mean() if m.any() else 0.0 for m in masks] for c in covers])
    order = greedy(Tabulated(1 - drop), 12, 7, "delete_min").orders
    reached = 1 - along(Tabulated(1 - drop), order[:, None])[:, 0]
    sizes = masks.sum(1)
    for k in range(1, 8):
        best = drop[:, sizes == k].max(1)
        assert (reached[:, k] >= (1 - 1 / np.e) * best - 1e-12).all()


@pytest.mark.parametrize("p", [1, 2, 3, 6, 7])
def test_polish_never_lowers_and_ends_in_a_swap_optimum(p: int):
    """J rises or stays, sweep by sweep; at the end no swap of neighbours raises it."""
    value = Tabulated(tables(10, p, 1))
    orders = np.stack([np.random.default_rng(i).permutation(p) for i in range(10)])
    before = influence(value, orders)
    for sweeps in range(1, 4):
        after = influence(value, polish(value, orders, sweeps).orders)
        assert (after >= before - 1e-12).all()
        before = after
    polished = polish(value, orders, 50).orders
    ended = influence(value, polished)
    assert (ended <= exact_ideal(value.table).joint + 1e-12).all()
    for k in range(p - 1):
        swapped = polished.copy()
        swapped[:, [k, k + 1]] = polished[:, [k + 1, k]]
        assert (influence(value, swapped) <= ended + 1e-9).all()


def test_polish_leaves_its_start_and_an_optimum_alone():
    """The orders handed in are not changed, and an ideal order stays."""
    value = Tabulated(tables(5, 7))
    ideal = exact_ideal(value.table).orders[:, 2]
    kept = ideal.copy()
    np.testing.assert_array_equal(polish(value, ideal).orders, kept)
    np.testing.assert_array_equal(ideal, kept)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_where_nothing_differs_all_features_tie(direction: Direction):
    """A constant F makes no feature more influential than another."""
    value = Tabulated(np.full((2, 32), 0.3))
    assert not greedy(value, 2, 5, direction).values.any()
    assert not polish(value, np.tile(np.arange(5), (2, 1))).values.any()


def test_prefixes():
    """After k steps the first k features of the order are deleted."""
    found = prefixes(np.array([2, 0, 1]))
    assert found.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_values_are_p_minus_rank():
    """p for the first, 1 for the last: the order is read back from the values."""
    found = greedy(Tabulated(tables(4, 5)), 4, 5, "joint")
    np.testing.assert_array_equal(np.argsort(-found.values, axis=1), found.orders)
    np.testing.assert_array_equal(np.sort(found.values, axis=1)[0], [1, 2, 3, 4, 5])

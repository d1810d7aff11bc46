"""Greedy orders, the polish and windows, against loops that follow their words."""

from itertools import permutations
from typing import get_args

import numpy as np
import pytest

from bench.setfunction import window as windows
from bench.setfunction.ideal import best_known, exact_ideal
from bench.setfunction.orders import Direction, along, greedy, polish, prefixes, trapezoid
from bench.setfunction.table import Tabulated
from bench.setfunction.window import window

DIRECTIONS = get_args(Direction)


def tables(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


def none(n: int, p: int) -> np.ndarray:
    return np.zeros((n, p), dtype=bool)


def smooth_tables(n: int, p: int) -> np.ndarray:
    """A logistic function of pairwise interactions."""
    rng = np.random.default_rng(0)
    masks = ((np.arange(2**p)[:, None] >> np.arange(p)) & 1).astype(float)
    pairs = rng.normal(size=(n, p, p)) / 2
    margins = masks @ rng.normal(size=(n, p, 1)) * 2
    margins = margins[..., 0] + np.einsum("si,nij,sj->ns", masks, pairs, masks)
    return 1 / (1 + np.exp(margins))


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
    found = greedy(Tabulated(table), none(6, p), direction)
    assert found.orders.tolist() == [literal_greedy(f, p, direction) for f in table]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_features_that_f_does_not_know_are_not_asked_for(direction: Direction):
    """The orders are the literal loop's, and after a null feature one set is all that is asked."""
    n, p = 8, 7
    null = np.random.default_rng(1).random((n, p)) < 0.4
    numbers, live = np.arange(2**p), ~null @ (1 << np.arange(p))
    table = tables(n, p, 3)[np.arange(n)[:, None], numbers & live[:, None]]
    asked: list[np.ndarray] = []

    def value(masks: np.ndarray) -> np.ndarray:
        asked.append(masks)
        return Tabulated(table)(masks)

    found = greedy(value, null, direction)
    assert found.orders.tolist() == [literal_greedy(f, p, direction) for f in table]
    least_first = direction in ("delete_max", "insert_min", "backward")
    taken = found.orders[:, ::-1] if least_first else found.orders
    a_step = len(asked) // (p - 1)
    for row in range(n):
        for step in range(1, p - 1):
            if null[row, taken[row, step - 1]]:
                for masks in asked[step * a_step : (step + 1) * a_step]:
                    assert len(np.unique(masks[row], axis=0)) == 1


def test_polish_tries_a_swap_again_only_behind_changes():
    """The same end as trying all swaps in each sweep, by fewer different sets."""
    value, asked = Tabulated(smooth_tables(12, 9)), []
    orders = np.stack([np.random.default_rng(i).permutation(9) for i in range(12)])

    def counted(masks: np.ndarray) -> np.ndarray:
        asked.append(sum(len(np.unique(own, axis=0)) for own in masks))
        return value(masks)

    found = polish(counted, orders).orders
    literal = orders.copy()
    for _ in range(9):
        for first in (0, 1):
            for row in range(12):
                for k in range(first, 8, 2):
                    swapped = literal[row : row + 1].copy()
                    swapped[0, [k, k + 1]] = swapped[0, [k + 1, k]]
                    own = Tabulated(value.table[row : row + 1])
                    if influence(own, swapped) > influence(own, literal[row : row + 1]) + 1e-12:
                        literal[row] = swapped
    np.testing.assert_array_equal(found, literal)
    assert sum(asked[-2:]) < 0.5 * sum(asked[2:4])


def test_swaps_with_features_that_f_does_not_know_need_no_value():
    """The same orders as when they are asked for, and no set but those of known features."""
    n, p = 10, 8
    null = np.random.default_rng(1).random((n, p)) < 0.4
    numbers, live = np.arange(2**p), ~null @ (1 << np.arange(p))
    table = smooth_tables(n, p)[np.arange(n)[:, None], numbers & live[:, None]]
    orders = np.stack([np.random.default_rng(i).permutation(p) for i in range(n)])
    asked: list[np.ndarray] = []

    def value(masks: np.ndarray) -> np.ndarray:
        asked.append(masks)
        return Tabulated(table)(masks)

    found = polish(value, orders, null=null).orders
    np.testing.assert_array_equal(found, polish(Tabulated(table), orders).orders)
    everything = null.sum(1) >= p - 1  # no two known features, no swap to ask for
    for masks in asked[2:]:
        assert all(len(np.unique(own, axis=0)) == 1 for own in masks[everything])
    with_null = sum(len(np.unique(own, axis=0)) for masks in asked[2:] for own in masks)
    asked.clear()
    polish(value, orders)
    assert with_null < sum(len(np.unique(own, axis=0)) for masks in asked[2:] for own in masks)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_greedy_is_ideal_where_f_is_modular(direction: Direction):
    """T1: F = F(0) - sum a_i is ordered by a."""
    a = np.random.default_rng(0).normal(size=(4, 6))
    masks = (np.arange(64)[:, None] >> np.arange(6)) & 1
    found = greedy(Tabulated(-a @ masks.T), none(4, 6), direction)
    np.testing.assert_array_equal(found.orders, np.argsort(-a, axis=1))


def test_first_greedy_step_is_the_largest_occlusion():
    """T9."""
    table = tables(8, 6)
    occlusion = table[:, :1] - table[:, 1 << np.arange(6)]
    found = greedy(Tabulated(table), none(8, 6), "delete_min")
    np.testing.assert_array_equal(found.orders[:, 0], occlusion.argmax(1))


def test_greedy_keeps_most_of_a_submodular_drop():
    """T7: of a monotone submodular drop every prefix has at least 1 - 1/e of the best set's."""
    rng = np.random.default_rng(0)
    covers = rng.random((12, 7, 20)) < 0.25  # each feature covers some of 20 items
    masks = ((np.arange(128)[:, None] >> np.arange(7)) & 1).astype(bool)
    drop = np.array([[c[m].any(0).mean() if m.any() else 0.0 for m in masks] for c in covers])
    order = greedy(Tabulated(1 - drop), none(12, 7), "delete_min").orders
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
    assert not greedy(value, none(2, 5), direction).values.any()
    for improved in (polish, window):
        assert not improved(value, np.tile(np.arange(5), (2, 1))).values.any()


def literal_window(f: np.ndarray, p: int, order: list[int], start: int, width: int) -> list[int]:
    """The best of all orders of one run of neighbours."""
    value = Tabulated(f[None])
    run = order[start : start + width]
    tried = [[*order[:start], *r, *order[start + width :]] for r in permutations(run)]
    return max(tried, key=lambda o: influence(value, np.array([o]))[0])


@pytest.mark.parametrize("width", [2, 3, 4])
def test_window_is_the_literal_search_run_by_run(width: int):
    """One sweep: each run takes the best of all its orders, the runs one after another."""
    p = 7
    table = tables(5, p, 2)
    orders = np.stack([np.random.default_rng(i).permutation(p) for i in range(5)])
    found = window(Tabulated(table), orders, width, sweeps=1).orders
    starts = sorted({*range(0, p - width, max(1, width // 2)), p - width})
    for row, order in enumerate(orders.tolist()):
        for start in starts:
            order = literal_window(table[row], p, order, start, width)
        assert found[row].tolist() == order


@pytest.mark.parametrize("p", [1, 2, 5, 8])
def test_a_window_of_all_features_is_the_exact_optimum(p: int):
    """For J, A_min and A_max alike, from any start."""
    value = Tabulated(tables(6, p, 3))
    ideal = exact_ideal(value.table)
    start = np.tile(np.arange(p), (6, 1))
    weights = trapezoid(p)
    joint = window(value, start, p + 2).orders
    np.testing.assert_allclose(influence(value, joint), ideal.joint, atol=1e-12)
    least = window(value, start, p + 2, aim="least").orders[:, None]
    np.testing.assert_allclose(along(value, least)[:, 0] @ weights, ideal.least)
    most = window(value, start, p + 2, aim="most").orders[:, None, ::-1]
    np.testing.assert_allclose(along(value, most)[:, 0] @ weights, ideal.most)


@pytest.mark.parametrize("width", [2, 3, 6])
def test_window_never_lowers_and_ends_in_a_swap_optimum(width: int):
    """J rises or stays, sweep by sweep; at the end no swap of neighbours raises it."""
    p = 9
    value = Tabulated(tables(8, p, 4))
    orders = np.stack([np.random.default_rng(i).permutation(p) for i in range(8)])
    before = influence(value, orders)
    for sweeps in range(1, 4):
        after = influence(value, window(value, orders, width, sweeps=sweeps).orders)
        assert (after >= before - 1e-12).all()
        before = after
    ended = window(value, orders, width, sweeps=50).orders
    np.testing.assert_array_equal(polish(value, ended).orders, ended)
    np.testing.assert_array_equal(window(value, ended, width).orders, ended)


def test_window_asks_no_more_at_once_than_it_may(monkeypatch: pytest.MonkeyPatch):
    """In parts, the same."""
    value = Tabulated(tables(6, 8, 5))
    orders = np.tile(np.arange(8), (6, 1))
    whole = window(value, orders, 5).orders
    monkeypatch.setattr(windows, "MASKED", 6 * 8 * 3)
    np.testing.assert_array_equal(window(value, orders, 5).orders, whole)


def test_window_refuses_a_width_of_one():
    """Nothing is ordered then."""
    with pytest.raises(ValueError, match="width=1"):
        window(Tabulated(tables(1, 3)), np.array([[0, 1, 2]]), 1)


def test_the_best_known_order_is_the_exact_optimum():
    """J* of arbitrary tables, which are far harder than networks' ones, on nearly all rows."""
    value = Tabulated(smooth_tables(40, 10))
    found = best_known(value, np.zeros((40, 10), dtype=bool), rng=np.random.default_rng(0))
    exact = exact_ideal(value.table)
    assert (found.joint <= exact.joint + 1e-12).all()
    assert (found.joint >= exact.joint * (1 - 1e-9)).mean() >= 0.95
    assert (found.least >= exact.least - 1e-12).all()
    assert (found.most <= exact.most + 1e-12).all()


def test_prefixes():
    """After k steps the first k features of the order are deleted."""
    found = prefixes(np.array([2, 0, 1]))
    assert found.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_values_are_p_minus_rank():
    """p for the first, 1 for the last: the order is read back from the values."""
    found = greedy(Tabulated(tables(4, 5)), none(4, 5), "joint")
    np.testing.assert_array_equal(np.argsort(-found.values, axis=1), found.orders)
    np.testing.assert_array_equal(np.sort(found.values, axis=1)[0], [1, 2, 3, 4, 5])

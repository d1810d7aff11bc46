"""Tables and the programme over the lattice, against every order one by one."""

from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest

from bench.setfunction import lattice
from bench.setfunction.ideal import best_known, exact_ideal
from bench.setfunction.lattice import least_area
from bench.setfunction.orders import along, trapezoid
from bench.setfunction.table import (
    Tabulated,
    banzhaf_values,
    check_table,
    least_by_size,
    masks_of,
    mean_by_size,
    numbers_of,
    shapley_values,
    spot_check,
    tabulate,
)


def tables(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


def literal_area(table: np.ndarray, order: tuple[int, ...]) -> float:
    """Sum of omega_k F({pi_1 .. pi_k}), as it is written."""
    p, total = len(order), 0.0
    for k in range(p + 1):
        weight = (0.5 if k in (0, p) else 1.0) / p
        total += weight * table[sum(1 << i for i in order[:k])]
    return total


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 6, 7])
def test_programme_equals_all_orders(p: int):
    """T5: A_min, A_max and J* are those of the best of all p! orders, and so are their orders."""
    table = tables(2 if p == 7 else 4, p, p)
    ideal = exact_ideal(table)
    for row, f in enumerate(table):
        areas = {order: literal_area(f, order) for order in permutations(range(p))}
        differences = {order: areas[order[::-1]] - area for order, area in areas.items()}
        assert ideal.least[row] == pytest.approx(min(areas.values()), abs=1e-12)
        assert ideal.most[row] == pytest.approx(max(areas.values()), abs=1e-12)
        assert ideal.joint[row] == pytest.approx(max(differences.values()), abs=1e-12)
        assert ideal.chance_area[row] == pytest.approx(np.mean(list(areas.values())), abs=1e-12)
        least, most, joint = (tuple(order.tolist()) for order in ideal.orders[row])
        assert areas[least] == pytest.approx(ideal.least[row], abs=1e-12)
        assert areas[most[::-1]] == pytest.approx(ideal.most[row], abs=1e-12)
        assert differences[joint] == pytest.approx(ideal.joint[row], abs=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("p", [1, 3, 4, 5, 6])
def test_objectives_equal_all_orders(p: int, compiled: bool):
    """T5 by either way: the least sum of F, -F, F(S) - F(complement), and its order attains it."""
    if compiled:
        pytest.importorskip("numba")
    table = tables(3, p, p)
    costs = {"least": table, "most": -table, "joint": table - table[:, ::-1]}
    for objective, cost in costs.items():
        sums, orders = least_area(table, objective, compiled=compiled)
        for row, f in enumerate(cost):
            best = min(literal_area(f, order) for order in permutations(range(p)))
            assert sums[row] == pytest.approx(best, abs=1e-12)
            assert literal_area(f, tuple(orders[row].tolist())) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 9, 12])
def test_compiled_and_plain_programme_give_equal_bits(p: int):
    """numba runs the same sums in the same order, on any memory layout, ties included."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(p)
    tied = rng.integers(3, size=(4, 2**p)).astype(float)
    layouts = (tables(3, p), np.asfortranarray(tables(3, p)), tables(6, p)[::2], tied, tied * 0)
    for table in layouts:
        for objective in ("least", "most", "joint"):
            plain, compiled = (least_area(table, objective, compiled=how) for how in (False, True))
            np.testing.assert_array_equal(plain[0], compiled[0])
            np.testing.assert_array_equal(plain[1], compiled[1])


def test_programme_reads_the_table_only():
    """The table stays as it is, and may be read only, as one from a file is."""
    table = tables(2, 9)
    before = table.copy()
    table.flags.writeable = False
    for compiled in (False, True):
        least_area(table, "joint", compiled=compiled)
    np.testing.assert_array_equal(table, before)


def test_joint_order_attains_its_sum_on_a_saturated_table():
    """J of the order found is J*, also where all F but a few are 1 - 1e-9 and less apart."""
    rng, p = np.random.default_rng(0), 14
    score = masks_of(np.arange(2**p), p) @ rng.exponential(size=(p, 3)).round(2)
    table = 1 / (1 + np.exp(2 * score.T - 22))
    sums, orders = least_area(table, "joint")
    value, reverse = Tabulated(table), orders[:, None, ::-1]
    attained = (along(value, reverse) - along(value, orders[:, None])) @ trapezoid(p)
    np.testing.assert_allclose(attained[:, 0], -sums, rtol=0, atol=1e-14)


def test_programme_without_numba(monkeypatch: pytest.MonkeyPatch):
    """Where numba isn't installed the plain way answers, even if the other is asked for."""
    monkeypatch.setattr(lattice, "_kernel", lambda: None)
    table = tables(2, 6)
    np.testing.assert_array_equal(
        least_area(table, compiled=True)[0], least_area(table, compiled=False)[0]
    )


def test_sizes_alone_leave_no_order_better():
    """F of |S| alone: all orders have one area, so J* is the difference of the two ways, 0."""
    p = 6
    by_size = np.random.default_rng(0).random(p + 1)
    table = by_size[np.bitwise_count(np.arange(2**p))][None]
    ideal = exact_ideal(table)
    assert ideal.least[0] == pytest.approx(ideal.most[0], abs=1e-12)
    assert ideal.joint[0] == pytest.approx(0.0, abs=1e-12)
    assert ideal.chance_area[0] == pytest.approx(by_size @ trapezoid(p), abs=1e-12)


def test_trapezoid_is_the_area_under_the_polygon():
    """omega sums to 1 and integrates the piecewise linear curve over [0, 1]."""
    curve = np.random.default_rng(0).random(8)
    assert trapezoid(7).sum() == pytest.approx(1.0)
    assert curve @ trapezoid(7) == pytest.approx(np.trapezoid(curve, dx=1 / 7))


def test_numbers_and_masks_are_inverse():
    """A mask's number has its members as binary digits, feature 0 the lowest."""
    masks = masks_of(np.arange(32), 5)
    np.testing.assert_array_equal(numbers_of(masks), np.arange(32))
    assert masks[6].tolist() == [False, True, True, False, False]
    np.testing.assert_array_equal(numbers_of(~masks), 31 - np.arange(32))


def test_tabulate_is_direct_calls():
    """A table's look-ups are the set function, for shared masks and for each its own."""
    weights = np.random.default_rng(1).normal(size=(3, 13))

    def value(masks: np.ndarray) -> np.ndarray:
        each = np.broadcast_to(masks, (3, *masks.shape[-2:]))
        return np.tanh(np.einsum("nmp,np->nm", each, weights))

    table = tabulate(value, 13)
    assert table.shape == (3, 2**13)
    shared = np.random.default_rng(2).random((40, 13)) < 0.5
    own = np.random.default_rng(3).random((3, 40, 13)) < 0.5
    np.testing.assert_allclose(Tabulated(table)(shared), value(shared), atol=1e-12)
    np.testing.assert_allclose(Tabulated(table)(own), value(own), atol=1e-12)


def test_a_wrong_table_is_found_out():
    """Entries that aren't what direct calls say are an error."""
    value = Tabulated(tables(2, 10))
    numbers, direct = spot_check(value, 10)
    check_table(value.table, numbers, direct)
    with pytest.raises(ArithmeticError, match="differs from direct calls"):
        check_table(value.table[:, ::-1], numbers, direct)
    spoilt = value.table.copy()
    spoilt[1, np.setdiff1d(np.arange(2**10), numbers)[0]] = np.nan
    with pytest.raises(ArithmeticError, match="NaN or infinite"):
        check_table(spoilt, numbers, direct)


def test_by_size():
    """Mean and minimum over the sets of each size."""
    table, p = tables(2, 5), 5
    for k in range(p + 1):
        sets = [sum(1 << i for i in c) for c in combinations(range(p), k)]
        np.testing.assert_allclose(mean_by_size(table)[:, k], table[:, sets].mean(1))
        np.testing.assert_allclose(least_by_size(table)[:, k], table[:, sets].min(1))


@pytest.mark.parametrize("p", [1, 2, 5])
def test_shapley_values_are_means_over_orders(p: int):
    """The mean over all orders of what a feature takes when it is deleted; they sum up."""
    table = tables(2, p)
    expected = np.zeros((2, p))
    for order in permutations(range(p)):
        deleted = 0
        for feature in order:
            expected[:, feature] += table[:, deleted] - table[:, deleted | 1 << feature]
            deleted |= 1 << feature
    found = shapley_values(table)
    np.testing.assert_allclose(found, expected / factorial(p), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), table[:, 0] - table[:, -1], atol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 5])
def test_banzhaf_values_are_means_over_sets(p: int):
    """The mean over all sets of others of what a feature takes when it is deleted."""
    table = tables(2, p)
    expected = np.zeros((2, p))
    for feature in range(p):
        for s in range(2**p):
            if not s >> feature & 1:
                expected[:, feature] += table[:, s] - table[:, s | 1 << feature]
    np.testing.assert_allclose(banzhaf_values(table), expected / 2 ** (p - 1), atol=1e-12)


def test_a_feature_that_F_does_not_know_gets_exactly_nothing():
    """So that it ties with the others like it."""
    p, unknown = 9, [0, 4, 8]
    known = masks_of(np.arange(2**p), p)
    known[:, unknown] = False
    table = tables(2, p)[:, numbers_of(known)]
    for values in (shapley_values(table), banzhaf_values(table)):
        assert (values[:, unknown] == 0).all()
        assert (np.delete(values, unknown, axis=1) != 0).all()


@pytest.mark.parametrize("kind", ["and", "or", "xor"])
@pytest.mark.parametrize("pair", [(0, 1), (3, 4), (0, 4)])
def test_of_equally_good_orders_the_other_side_chooses(kind: str, pair: tuple[int, int]):
    """Whichever numbers the two features have that F looks at, by the literal best of each side."""
    p = 5
    kept = ~masks_of(np.arange(2**p), p)[:, pair]
    f = {"and": kept.all(1), "or": kept.any(1), "xor": kept.sum(1) == 1}[kind].astype(float)
    found = exact_ideal(f[None])
    known = best_known(
        Tabulated(f[None]), np.zeros((1, p), dtype=bool), rng=np.random.default_rng(0)
    )
    areas = {order: literal_area(f, order) for order in permutations(range(p))}
    least, most = min(areas.values()), max(areas.values())
    assert found.least == pytest.approx(least)
    assert found.most == pytest.approx(most)
    most_behind_least = max(areas[o[::-1]] for o, a in areas.items() if a < least + 1e-9)
    least_behind_most = min(areas[o] for o in areas if areas[o[::-1]] > most - 1e-9)
    for ideal in (found, known):
        to_least, to_most = (tuple(order.tolist()) for order in ideal.orders[0, :2])
        assert areas[to_least] == pytest.approx(least)
        assert areas[to_least[::-1]] == pytest.approx(most_behind_least)
        assert areas[to_most[::-1]] == pytest.approx(most)
        assert areas[to_most] == pytest.approx(least_behind_most)


def test_best_known_is_never_above_the_exact_ideal():
    """The best known areas lie within the exact ones, and its orders attain what it says."""
    p, rng = 8, np.random.default_rng(0)
    sums = masks_of(np.arange(2**p), p) @ rng.normal(size=(5, p, 4))
    table = 1 / (1 + np.exp(np.maximum(sums, 0).sum(2) - 3))
    value, exact = Tabulated(table), exact_ideal(table)
    known = best_known(value, np.zeros((5, p), dtype=bool), rng=np.random.default_rng(0))
    assert not known.exact
    assert (known.joint <= exact.joint + 1e-12).all()
    assert (known.least >= exact.least - 1e-12).all()
    assert (known.most <= exact.most + 1e-12).all()
    assert (known.joint > 0.95 * exact.joint).all()
    areas = along(value, known.orders) @ trapezoid(p)
    reversed_areas = along(value, known.orders[..., ::-1]) @ trapezoid(p)
    np.testing.assert_allclose(known.least, np.minimum(areas, reversed_areas).min(1), atol=1e-12)
    np.testing.assert_allclose(known.joint, (reversed_areas - areas)[:, 2], atol=1e-12)
    assert (np.abs(known.chance_area - exact.chance_area) < 5 * known.chance_se).all()


def test_many_features_have_a_best_known_order_within_few_values():
    """Beyond 128 features no greedy search is made; the best order of a modular F is found."""
    n, p, asked = 2, 200, []
    weights = np.random.default_rng(0).normal(size=(n, p))

    def value(masks: np.ndarray) -> np.ndarray:
        asked.append(masks.shape[-2])
        return -(np.broadcast_to(masks, (n, *masks.shape[-2:])) @ weights[..., None])[..., 0]

    known = best_known(value, np.zeros((n, p), dtype=bool), rng=np.random.default_rng(0))
    ranked = np.argsort(-weights, axis=1)
    np.testing.assert_array_equal(known.orders[:, 2], ranked)
    assert sum(asked) < 60 * p + 64 * p


def test_raised_takes_the_better_of_old_and_new():
    """An order and its reverse attain J and -J, so |J| is reached by one of them."""
    ideal = exact_ideal(tables(3, 5))
    low, high = ideal.least[:, None] - 1, ideal.most[:, None] + 1
    for raised in (ideal.raised(low, high), ideal.raised(high, low)):
        np.testing.assert_allclose(raised.joint, (high - low)[:, 0])
        np.testing.assert_array_equal(raised.least, low[:, 0])
        np.testing.assert_array_equal(raised.most, high[:, 0])
    same = ideal.raised(ideal.least[:, None], ideal.least[:, None])
    np.testing.assert_array_equal(same.joint, ideal.joint)


def test_chance_is_estimated_to_its_standard_error():
    """The spread of 150 fresh estimates of A_rand is the standard error that each one claims."""
    table = np.random.default_rng(3).random((3, 2**5))
    null = np.zeros((3, 5), dtype=bool)
    found = [
        best_known(Tabulated(table), null, rng=np.random.default_rng(seed)) for seed in range(150)
    ]
    spread = np.std([ideal.chance_area for ideal in found], axis=0, ddof=1)
    claimed = np.mean([ideal.chance_se for ideal in found], axis=0)
    np.testing.assert_allclose(spread / claimed, 1, atol=0.3)

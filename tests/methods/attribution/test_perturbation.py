"""Baselines that ask at random or single sets: against their definitions and exact values."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from bench.models.given import BlackBox
from bench.probes import plain
from bench.setfunction.anchors import grow_rules
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.sampling import (
    at_positions,
    coarse_shares,
    dependences,
    mean_contributions,
    random_orders,
    random_sets,
    total_effects,
    window_positions,
)
from bench.setfunction.table import Tabulated, masks_of, shapley_values
from bench.tasks.attribution import AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import alone

SIGNED = ["insertion", "shapley_sampling", "owen_sampling", "banzhaf", "banzhaf_sampling", "rise"]
UNSIGNED = ["sobol", "hsic"]
IMAGES = ["rise_grid", "sliding_occlusion"]
NAMES = [*SIGNED, *UNSIGNED, *IMAGES, "anchors"]


def some_table(n: int = 4, p: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((n, 2**p))


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("name", [*SIGNED, "sliding_occlusion"])
def test_affine_output_is_ideal(name: str, draws: int, answer, problem_of, scores):
    """T1: g affine, F modular: II = 1; all sets of five features are asked where they fit."""
    problem = problem_of(0, (), draws=draws)
    np.testing.assert_allclose(scores(problem, answer(name, problem))[0], 1, atol=1e-9)


@pytest.mark.parametrize("name", UNSIGNED)
def test_without_a_sign_they_order_sizes(name: str, answer, problem_of):
    """F modular: Sobol's total index is a_i^2 / sum a^2, and HSIC orders by |a_i| as well."""
    problem = problem_of(0, ())
    a = answer("occlusion", problem)
    found = answer(name, problem)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(np.abs(a)))
    if name == "sobol":
        wanted = a**2 / (a**2).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_insertion_is_its_formula(answer, problem_of):
    """F with all but i deleted, less F with all deleted; the mirror image of occlusion."""
    problem = problem_of(3, draws=2)
    table = problem.table()
    wanted = table[:, 31 - (1 << np.arange(5))] - table[:, [31]]
    np.testing.assert_allclose(answer("insertion", problem), wanted, atol=1e-12)


def test_all_orders_give_the_shapley_value():
    """The mean over all 120 orders, and the pairs of a random design."""
    table = some_table()
    every = np.array(list(permutations(range(5))))
    found = mean_contributions(Tabulated(table), every)
    np.testing.assert_allclose(found, shapley_values(table), atol=1e-12)
    orders = random_orders(5, 7, rng=np.random.default_rng(0))
    assert orders.shape == (7, 5)
    np.testing.assert_array_equal(orders[1], orders[0, ::-1])
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(5), (7, 1)))


def test_contributions_one_order_at_a_time():
    """A plain loop over orders and places; they sum to the drop."""
    table, orders = some_table(), random_orders(5, 4, rng=np.random.default_rng(1))
    wanted = np.zeros((4, 5))
    for order in orders:
        gone = 0
        for feature in order:
            wanted[:, feature] += (table[:, gone] - table[:, gone | 1 << feature]) / len(orders)
            gone |= 1 << feature
    found = mean_contributions(Tabulated(table), orders)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), table[:, 0] - table[:, -1], atol=1e-12)


def test_owen_sampling_by_hand(problem_of, method):
    """F of its sets without each feature less F with it, a set and a feature at a time."""
    problem, rng = problem_of(3, draws=2), np.random.default_rng(0)
    found = method("owen_sampling", samples=60).explain(problem, rng=np.random.default_rng(0))
    table, wanted = problem.table(), np.zeros((4, 5))
    shares = [(k + u) / 10 for k, u in enumerate(rng.random(5))]
    for share, coins in zip(shares, rng.random((5, 5)), strict=True):
        drawn = sum(1 << i for i in range(5) if coins[i] < share)
        for members in (drawn, 31 - drawn):
            for i in range(5):
                drop = table[:, members & ~(1 << i)] - table[:, members | 1 << i]
                wanted[:, i] += drop / 10
    np.testing.assert_allclose(found.values, wanted, atol=1e-12)


def test_owen_sampling_is_unbiased(answer, image_problem):
    """Nine features, a pair of sets: the mean of 600 answers is the Shapley value."""
    problem = image_problem()
    found = np.stack([answer("owen_sampling", problem, s, samples=1) for s in range(600)])
    error = found.mean(axis=0) - answer("shapley", problem)
    assert (np.abs(error) < 5 * found.std(axis=0) / np.sqrt(600)).all()


@pytest.mark.parametrize(
    ("name", "exact"),
    [("shapley_sampling", "shapley"), ("owen_sampling", "shapley"), ("rise", "banzhaf")],
)
def test_sampling_converges(name: str, exact: str, answer, image_problem):
    """100 times the samples, about a tenth of the error; RISE orders as Banzhaf does."""
    problem = image_problem()
    wanted = answer(exact, problem)
    errors = []
    for samples in (100, 10000):
        found = answer(name, problem, samples=samples)
        if name == "rise":
            # The mean where kept is half the Banzhaf value above the mean of all.
            found = 2 * (found - problem.table().mean(1)[:, None])
        errors.append(np.sqrt(np.mean((found - wanted) ** 2)))
    assert errors[1] < errors[0] / 3


def test_banzhaf_by_hand(answer, problem_of):
    """The mean over the 16 sets without i of F(S) - F(S and i); sampled with all sets, too."""
    problem = problem_of(3)
    table = problem.table()
    wanted = np.zeros((4, 5))
    for i in range(5):
        without = [s for s in range(32) if not s >> i & 1]
        wanted[:, i] = np.mean([table[:, s] - table[:, s | 1 << i] for s in without], axis=0)
    for name in ("banzhaf", "banzhaf_sampling"):
        np.testing.assert_allclose(answer(name, problem), wanted, atol=1e-12)
    half = table.mean(axis=1, keepdims=True) + wanted / 2
    np.testing.assert_allclose(answer("rise", problem), half, atol=1e-12)


def test_banzhaf_sampling_is_unbiased(answer, image_problem):
    """Nine features, 40 of 512 sets: the mean of 400 answers is the exact value."""
    problem = image_problem()
    found = np.stack([answer("banzhaf_sampling", problem, s, samples=40) for s in range(400)])
    error = found.mean(axis=0) - answer("banzhaf", problem)
    assert (np.abs(error) < 5 * found.std(axis=0) / 20).all()


def test_sobol_by_hand():
    """1 - Var(E[F | all but i]) / Var(F), from the table of all sets."""
    table = some_table()
    found = total_effects(Tabulated(table), masks_of(np.arange(32), 5))
    variance = table.var(axis=1)
    for i in range(5):
        others = table.reshape(4, -1, 2, 2**i).mean(axis=2).reshape(4, -1)
        np.testing.assert_allclose(found[:, i], 1 - others.var(axis=1) / variance, atol=1e-12)


def test_hsic_by_hand():
    """tr(K H L H) / (m - 1)^2 with all matrices written out; a constant F depends on nothing."""
    rng = np.random.default_rng(0)
    kept, values = rng.random((30, 4)) < 0.5, rng.normal(size=(3, 30))
    found = dependences(kept, values)
    centring = np.eye(30) - 1 / 30
    for row in range(3):
        squares = (values[row][:, None] - values[row]) ** 2
        on_values = np.exp(-squares / (2 * squares.mean()))
        for i in range(4):
            on_coins = (kept[:, i][:, None] == kept[:, i]).astype(float)
            trace = np.trace(on_coins @ centring @ on_values @ centring) / 29**2
            assert found[row, i] == pytest.approx(trace, abs=1e-12)
    np.testing.assert_allclose(dependences(kept, np.ones((1, 30))), 0, atol=1e-12)


def test_random_sets():
    """All where they fit; else pairs of complements, or fair coins alone."""
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(random_sets(4, 16, rng=rng), masks_of(np.arange(16), 4))
    paired = random_sets(10, 101, pairs=True, rng=rng)
    assert len(paired) == 100
    np.testing.assert_array_equal(paired[:50], ~paired[50:])
    coins = random_sets(70, 4000, rng=rng)
    assert np.abs(coins.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(4000)


@pytest.mark.parametrize("draws", [1, 3])
def test_positions_kept_in_part(draws: int, image_problem):
    """Hard masks of whole features are the set function; halves are the blended input."""
    problem = image_problem(draws)
    deleted = masks_of(np.array([0, 5, 300, 511]), 9)
    kept = ~problem.partition.positions(torch.from_numpy(deleted))
    found = at_positions(problem.output, problem.inputs, problem.reference, kept.double())
    np.testing.assert_allclose(found, problem.value(deleted), atol=1e-12)
    half = at_positions(
        problem.output, problem.inputs, problem.reference, torch.full((1, 2, 6, 6), 0.5).double()
    )
    points = (problem.inputs[1] + problem.reference.draws[0]) / 2
    wanted = problem.output(points, torch.ones(draws, dtype=torch.int64)).mean()
    assert half[1, 0] == pytest.approx(wanted.item(), abs=1e-12)


def test_coarse_shares_are_a_shifted_grid():
    """Shares in [0, 1], half on average, neighbours close; one cell a pixel gives coins."""
    shares = coarse_shares(2000, 2, (8, 8), rng=np.random.default_rng(0))
    assert shares.shape == (2000, 8, 8)
    assert 0 <= shares.min() <= shares.max() <= 1
    assert abs(float(shares.mean()) - 0.5) < 0.03
    assert (shares.diff(dim=1).abs().amax() <= 0.25 + 1e-9).all()
    coins = coarse_shares(50, 6, (6, 6), rng=np.random.default_rng(0))
    assert set(coins.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 2), (3, 1), (4, 3), (9, 2)])
def test_windows_cover_the_image(patch: int, stride: int):
    """Squares inside the image, all pixels covered; single pixels are each once."""
    windows = window_positions((7, 6), patch, stride)
    assert windows.any(0).all()
    assert (windows.sum((1, 2)) == min(patch, 7) * min(patch, 6)).all()
    if patch == 1:
        assert len(windows) == 42


def test_windows_that_are_the_features_are_occlusion(answer, problem_of, image_problem):
    """Limit case: 2 x 2 windows without overlap on 2 x 2 blocks, and single columns of a table."""
    for problem in (image_problem(2), problem_of(3, draws=2)):
        found = answer("sliding_occlusion", problem, patch=2, stride=2)
        np.testing.assert_allclose(found, answer("occlusion", problem), atol=1e-12)


def test_windows_are_averaged_over_positions(answer, image_problem):
    """One image, a plain loop over windows."""
    problem = image_problem()
    x, r = problem.inputs[0], problem.reference.draws[0, 0]
    drops, times = torch.zeros(6, 6), torch.zeros(6, 6)
    whole = problem.output(x[None], torch.tensor([0])).item()
    for down in range(4):
        for across in range(4):
            point = x.clone()
            point[:, down : down + 3, across : across + 3] = r[
                :, down : down + 3, across : across + 3
            ]
            drop = whole - problem.output(point[None], torch.tensor([0])).item()
            drops[down : down + 3, across : across + 3] += drop
            times[down : down + 3, across : across + 3] += 1
    blocks = (drops / times).view(3, 2, 3, 2).mean((1, 3)).flatten()
    np.testing.assert_allclose(answer("sliding_occlusion", problem)[0], blocks, atol=1e-6)


def test_rules_grow_as_a_plain_search_does():
    """One instance at a time, rules as Python sets, precision from the table of all sets."""
    p, table = 5, (np.random.default_rng(3).random((10, 32)) < 0.6).astype(float)
    deleted = masks_of(np.arange(32), p)
    found = grow_rules(Tabulated(table), 10, deleted, 0.9)

    def precision(row: int, rule: list[int]) -> float:
        bits = sum(1 << i for i in rule)
        return float(np.mean([table[row, s & ~bits] for s in range(32)]))

    for row in range(10):
        rule: list[int] = []
        while precision(row, rule) < 0.9 and len(rule) < p:
            left = [i for i in range(p) if i not in rule]
            gains = [precision(row, [*rule, i]) for i in range(p)]
            if max(gains) - min(gains) == 0:
                break
            rule.append(left[int(np.argmax([precision(row, [*rule, i]) for i in left]))])
        wanted = [rule.index(i) if i in rule else p for i in range(p)]
        assert found.place[row].tolist() == wanted
        alone = [precision(row, [i]) for i in range(p)]
        np.testing.assert_allclose(found.alone[row], alone, atol=1e-12)


def test_anchors_find_the_planted_rule(answer, problem_of):
    """The label holds exactly where features 1 and 3 are kept: they come first, the rest tie."""

    def function(x: torch.Tensor) -> torch.Tensor:
        both = (x[:, 1] > 0.5) & (x[:, 3] > 0.5)
        return torch.stack([~both, both], dim=1).double() * 4

    model = BlackBox(function, 2)
    inputs = torch.ones(2, 6)
    features, zero = Partition(torch.arange(6), tuple("abcdef")), Reference(torch.zeros(1, 1, 6))
    problem = AttributionProblem(model, inputs, torch.tensor([1, 1]), features, zero)
    found = answer("anchors", problem, samples=64)
    assert set(np.argsort(-found[0])[:2]) == {1, 3}
    assert set(found[0][[1, 3]]) == {6, 5}
    assert np.ptp(found[0][[0, 2, 4, 5]]) < 1e-12
    with pytest.raises(Unsupported, match="regression"):
        answer("anchors", problem_of(0))


@pytest.mark.parametrize("name", NAMES)
def test_instances_do_not_mix(name: str, answer, problem_of, image_problem):
    """Explaining one instance alone gives its row, on tables and on images."""
    for problem in (problem_of(3, draws=2), image_problem(2)):
        np.testing.assert_allclose(
            answer(name, alone(problem, 0))[0], answer(name, problem)[0], atol=1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_black_boxes_get_the_same_answer(name: str, answer, problem_of):
    """No gradient is asked for."""
    problem = problem_of(3)
    blind = replace(problem, model=plain(problem.model))
    np.testing.assert_allclose(answer(name, blind), answer(name, problem), atol=1e-12)


def test_budgets(answer, image_problem):
    """What is asked of the set function, a row and a mask at a time."""
    problem = image_problem()
    for name, wanted in {
        "insertion": 10,
        "shapley_sampling": 500 // 8 * 8 + 2,
        "owen_sampling": 500 // 20 * 20,
        "banzhaf_sampling": 500,
        "rise": 500,
        "sobol": 500 // 10 * 10,
        "hsic": 500,
    }.items():
        before = problem.model.calls.values
        answer(name, problem)
        assert (problem.model.calls.values - before) / 3 == wanted, name


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("shapley_sampling", {"samples": 0}),
        ("owen_sampling", {"samples": 0}),
        ("banzhaf_sampling", {"samples": 1}),
        ("rise", {"cells": -1}),
        ("sliding_occlusion", {"stride": 4}),
        ("sobol", {"samples": 0}),
        ("hsic", {"samples": 1}),
        ("anchors", {"threshold": 0.0}),
        ("anchors", {"samples": 0}),
    ],
)
def test_impossible_numbers(name: str, fields: dict[str, float], answer, problem_of):
    """Refused when the method is made, the value met and the value wanted named."""
    with pytest.raises(Exception, match="wanted"):
        answer(name, problem_of(3, ()), **fields)


def test_too_many_features(answer, problem_of):
    """2^p values are refused with a reason, not tried."""
    with pytest.raises(Unsupported, match="p = 5 is above 4"):
        answer("banzhaf", problem_of(3, ()), exact_up_to=4)

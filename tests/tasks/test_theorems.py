"""What theorems say of the synthetic data sets' true functions, through the whole task."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.components import Shelf, build
from bench.setfunction.lattice import least_area
from bench.setfunction.orders import along
from bench.setfunction.table import Tabulated, mean_by_size, shapley_values, sizes
from bench.tasks.attribution import (
    AttributionProblem,
    AttributionSetting,
    AttributionTask,
    predicted,
)

SHELF = Shelf()
P = 8
GREEDY = [
    *("greedy_delete", "greedy_delete_max", "greedy_insert", "greedy_insert_min"),
    *("greedy_joint", "greedy_backward"),
]


def case(data: str, truth: str, **setting):
    """The case of a synthetic data set and its true function."""
    loaded = build(SHELF.config("dataset", f"synthetic_{data}")).load()
    recipe = build(SHELF.config("model", f"known_{truth}"))
    chosen = AttributionSetting(instances=12, **setting)
    return AttributionTask().case(loaded, recipe, chosen, rng=np.random.default_rng(0))


def answer(problem: AttributionProblem, name: str, **fields) -> np.ndarray:
    method = build({**SHELF.config("method/attribution", name), **fields}, name)
    return method.explain(problem, rng=np.random.default_rng(1)).values


def scores(found, values: np.ndarray) -> np.ndarray:
    """II, EX and IN of each instance, three rows, of descending `values`."""
    ideal, value = found.held.ideal, Tabulated(found.held.table)
    orders = np.argsort(-values, axis=1, kind="stable")[:, None]
    weights = np.r_[0.5, np.ones(P - 1), 0.5] / P
    deleted, kept = (along(value, o)[:, 0] @ weights for o in (orders, orders[..., ::-1]))
    chance = ideal.chance_area
    return np.stack(
        [
            (kept - deleted) / ideal.joint,
            (chance - deleted) / (chance - ideal.least),
            (kept - chance) / (ideal.most - chance),
        ]
    )


@pytest.mark.parametrize("reference", ["mean", "zero", "instances"])
def test_modular(reference: str):
    """T1. F(S) = F(nothing) - sum_{i in S} a_i (x_i - b_i), b the mean of the draws: every
    exchange of neighbours in an order that sorts these effects can only raise the area under
    deletion, so sorting is optimal for A_min, A_max and J alike; each of these methods returns
    the effects themselves, or greedily sorts by them."""
    found = case("modular", "affine", reference=reference, draws=5)
    problem = found.problem
    slopes = problem.model.module[1].weight[0]
    effects = (slopes * (problem.inputs - problem.baseline)).detach().double().numpy()
    np.testing.assert_allclose(shapley_values(found.held.table), effects, atol=1e-5)
    methods = [
        *("occlusion", "shapley", "kernel_shap", "gradient_times_difference"),
        *("integrated_gradients", "exact_optimum"),
    ]
    for name in methods[:-1]:
        np.testing.assert_allclose(answer(problem, name), effects, atol=1e-5)
    for name in (*methods, *GREEDY):
        np.testing.assert_allclose(scores(found, answer(problem, name)), 1, atol=1e-5)
    lime = answer(problem, "lime", ridge=0.0)
    np.testing.assert_allclose(lime, effects, atol=1e-4)
    np.testing.assert_allclose(scores(found, lime), 1, atol=1e-5)


def test_additive_on_the_scale_of_the_logit():
    """T2. With g the logit F(S) = F(nothing) - sum_{i in S} f_i(x_i) - f_i(b_i): modular again,
    whatever the curves, and integrated gradients with one reference give each term. Gradient
    times difference is the first order of the curves only. On the scale of the probability F is
    no sum, and Shapley values need not be ideal."""
    found = case("additive", "additive", g="logit")
    problem = found.problem
    for name in ("occlusion", "shapley", "exact_optimum", *GREEDY):
        np.testing.assert_allclose(scores(found, answer(problem, name)), 1, atol=1e-5)
    shapley = answer(problem, "shapley")
    np.testing.assert_allclose(answer(problem, "occlusion"), shapley, atol=1e-5)
    ig = answer(problem, "integrated_gradients", steps=300)
    np.testing.assert_allclose(ig, shapley, atol=1e-3)
    np.testing.assert_allclose(scores(found, ig), 1, atol=1e-3)
    assert scores(found, answer(problem, "gradient_times_difference"))[0].min() < 0.99


@pytest.mark.parametrize("g", ["probability", "logit", "margin"])
def test_monotone_link(g: str):
    """T3. g = h(sum_{i not in S} e_i), h increasing: for each size the least F deletes the
    largest e_i, so the order of e is optimal at every size, and no ranking loses anything to
    sets chosen size by size."""
    found = case("monotone", "affine", g=g)
    problem, table = found.problem, found.held.table
    e = answer(replace(problem, g="logit"), "gradient_times_difference")
    # A class-0 target sees -e; `gradient_times_difference` of the logit has that sign.
    np.testing.assert_allclose(scores(found, e), 1, atol=1e-6)
    ordered = along(Tabulated(table), np.argsort(-e, axis=1)[:, None])[:, 0]
    for size in range(P + 1):
        least = table[:, sizes(P) == size].min(axis=1)
        np.testing.assert_allclose(ordered[:, size], least, atol=1e-6)
    for name in ("occlusion", "exact_optimum", *GREEDY):
        np.testing.assert_allclose(scores(found, answer(problem, name)), 1, atol=1e-6)


def halves(table: np.ndarray) -> np.ndarray:
    """Weights u of h(S) = F(complement) - F(S) = sum_{i in S} u_i - sum_{i not in S} u_i."""
    h = table[:, ::-1] - table
    return np.stack([h[:, 2**i] - h[:, 0] for i in range(P)], axis=1) / 2


def is_modular(h: np.ndarray, u: np.ndarray) -> bool:
    members = (np.arange(2**P)[:, None] >> np.arange(P)) & 1
    return np.allclose(h, u @ (2 * members - 1).T, atol=1e-5)


@pytest.mark.parametrize("data", ["xor", "copies"])
def test_pairs_make_the_joint_ideal_modular(data: str):
    """T10. Let F be a sum of terms of at most two features each. Then h(S) = F(complement) - F(S)
    is modular with weights 2 phi, phi the Shapley values.

    Proof. Both sides are linear in F, so take one term. Of one feature: clear. Of two, up to
    terms of one: w where neither of 1, 2 is in S, else 0. Then h(S) = w ([both in S] - [neither
    in S]) = w ([1 in S] + [2 in S] - 1), as the cases of none, one and both show; and phi_1 =
    phi_2 = w / 2. A pair that stays until both are gone is w minus such a term's mirror image,
    with the same h. So sorting phi is ideal for J, by T1's exchange: II(Shapley) = 1."""
    found = case(data, data, g="logit")
    table = found.held.table
    h, phi = table[:, ::-1] - table, shapley_values(table)
    assert is_modular(h, halves(table))
    np.testing.assert_allclose(halves(table), phi, atol=1e-5)
    np.testing.assert_allclose(scores(found, phi)[0], 1, atol=1e-5)
    np.testing.assert_allclose(scores(found, answer(found.problem, "kernel_shap"))[0], 1, atol=1e-5)


def test_three_features_together_are_no_sum_of_pairs():
    """T10's limit: of F = [none of 1, 2, 3 in S] h isn't modular: [all in S] - [none in S] is 0
    for one and for two members alike."""
    table = ((np.arange(2**P) & 7) == 0).astype(float)[None]
    assert not is_modular(table[:, ::-1] - table, halves(table))


def test_xor():
    """F(S) = w [1, 2 not in S] + sum of the others' effects, w = c x_1 x_2 on the logit's scale.

    Deleting either takes w, all that the pair has: occlusion gives both w, twice their share
    w / 2. Inserting either alone brings 0, as a feature that the function doesn't know: neither
    matters alone. Where w / 2 < effect of another < w both go wrong, occlusion by putting the
    pair first, single insertion by putting it last (w > 0). Deleting the second after the first
    takes nothing."""
    found = case("xor", "xor", g="logit")
    problem, table = found.problem, found.held.table
    signs = 2 * problem.targets.double().numpy() - 1
    x = problem.inputs.double().numpy()
    w = signs * 2 * x[:, 0] * x[:, 1]
    occlusion = answer(problem, "occlusion")
    np.testing.assert_allclose(occlusion[:, :2], np.stack([w, w], axis=1), atol=1e-5)
    everything = 2**P - 1
    for single in (1, 2):
        inserted = table[:, everything ^ single] - table[:, everything]
        np.testing.assert_allclose(inserted, 0, atol=1e-5)
    np.testing.assert_allclose(table[:, 1], table[:, 3], atol=1e-5)
    np.testing.assert_allclose(answer(problem, "shapley")[:, :2].T, [w / 2, w / 2], atol=1e-5)
    assert scores(found, occlusion)[0].min() < 0.999
    insertion = np.stack([table[:, everything ^ 2**i] - table[:, everything] for i in range(P)], 1)
    assert scores(found, insertion)[0].min() < scores(found, occlusion)[0].mean()


def test_half_of_an_xor_is_at_chance():
    """Where the pair is all there is, the reference 0 and g the probability, the model says 1/2
    as soon as one half is deleted, and goes on saying so: F is p at nothing deleted of the pair,
    else 1/2. All orders that put the pair first are ideal, in either order: the halves tie."""
    found = case("xor", "xor", reference="zero")
    model = found.problem.model
    with torch.no_grad():
        model.module.slopes.zero_()
    targets = predicted(model, found.problem.inputs)
    problem = replace(found.problem, targets=targets)
    table = problem.table()
    alone = (np.arange(2**P) & 3) == 0
    np.testing.assert_allclose(table[:, ~alone], 0.5, atol=1e-9)
    np.testing.assert_allclose(table[:, alone], table[:, :1] @ np.ones((1, alone.sum())), atol=1e-9)
    assert (table[:, 0] > 0.5).all()
    values = answer(problem, "occlusion")
    np.testing.assert_allclose(values[:, 0], values[:, 1], atol=1e-9)
    joint = least_area(table - table[:, ::-1])[0]
    for first, second in ((0, 1), (1, 0)):
        order = np.array([first, second, *range(2, P)])
        path = along(Tabulated(table), np.tile(order, (problem.n, 1, 1)))[:, 0]
        back = along(Tabulated(table), np.tile(order[::-1], (problem.n, 1, 1)))[:, 0]
        reached = (path - back) @ (np.r_[0.5, np.ones(P - 1), 0.5] / P)
        np.testing.assert_allclose(reached, joint, atol=1e-9)


def test_copies():
    """F(S) = w (1 - [1, 2 in S]) + sum of the others' effects, w = c x_1 on the logit's scale.

    Deleting one copy changes nothing: occlusion gives both 0. By T10 each is worth w / 2 for J.
    For A_min the pair is a job of length 2 and weight w: whatever stands between the copies
    gains by moving out (before both if its effect is positive, else behind them), so they stand
    side by side, at the rank of w / 2 an item. For A_max one copy holds w alone and the other is
    worth 0: the copies stand apart, and the two sides have different optima."""
    found = case("copies", "copies", g="logit")
    problem, table = found.problem, found.held.table
    signs = 2 * problem.targets.double().numpy() - 1
    w = signs * 2 * problem.inputs[:, 0].double().numpy()
    occlusion = answer(problem, "occlusion")
    np.testing.assert_allclose(occlusion[:, :2], 0, atol=1e-5)
    np.testing.assert_allclose(table[:, 0] - table[:, 3], w, atol=1e-5)
    phi = answer(problem, "shapley")
    np.testing.assert_allclose(phi[:, :2].T, [w / 2, w / 2], atol=1e-5)
    place = np.argsort(found.held.ideal.orders, axis=2)
    apart = np.abs(place[..., 0] - place[..., 1])
    positive = w > 0
    assert (apart[positive, 0] == 1).all()
    assert (apart[positive, 1] > 1).any()
    np.testing.assert_allclose(scores(found, phi)[1][positive], 1, atol=1e-5)
    assert scores(found, phi)[2].min() < 0.999
    held_by_one = np.where(np.arange(P) == 0, w[:, None], phi)
    held_by_one[:, 1] = 0
    np.testing.assert_allclose(scores(found, held_by_one)[2][positive], 1, atol=1e-5)
    assert scores(found, occlusion)[0].min() < 0.99


@pytest.mark.parametrize("data", ["xor", "copies", "additive", "monotone"])
def test_reversal_and_chance(data: str):
    """T4: II of the reversed order is -II, and the mean path of random orders is that of the
    means by size, so a random order's II is 0 in expectation."""
    found = case(data, {"monotone": "affine"}.get(data, data))
    values = np.random.default_rng(3).normal(size=(found.problem.n, P))
    np.testing.assert_allclose(scores(found, -values)[0], -scores(found, values)[0], atol=1e-12)
    chance = mean_by_size(found.held.table)
    np.testing.assert_allclose(found.held.ideal.chance, chance, atol=1e-12)
    order = np.argsort(-values, axis=1)
    rotations = np.stack([np.roll(order, k, axis=1) for k in range(P)], axis=1)
    both = np.concatenate([rotations, rotations[..., ::-1]], axis=1)
    areas = along(Tabulated(found.held.table), both) @ (np.r_[0.5, np.ones(P - 1), 0.5] / P)
    back = along(Tabulated(found.held.table), both[..., ::-1])
    back = back @ (np.r_[0.5, np.ones(P - 1), 0.5] / P)
    np.testing.assert_allclose((back - areas).mean(axis=1), 0, atol=1e-12)

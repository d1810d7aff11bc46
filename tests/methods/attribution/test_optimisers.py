"""The programme's own optimisers: beam search, relaxed areas, continuous selection, PertMap."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from bench.models.network import Network
from bench.probes import plain
from bench.setfunction.beam import beam
from bench.setfunction.continuous import Adam, Blend, area_slope, selection_path, soft_sets
from bench.setfunction.orders import along, greedy, prefixes, trapezoid
from bench.setfunction.pertmap import Linearised, linearised, noisiest, widest_box
from bench.setfunction.reference import Reference
from bench.setfunction.table import Tabulated
from bench.tasks.attribution import AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import alone

RELAXED = ["relaxed_area", "relaxed_exclusion", "relaxed_inclusion"]
SELECTION = ["c_efs", "c_ifs"]
ONE_LAMBDA = ["c_efs_paper", "c_ifs_paper"]
PERTMAP = ["pertmap", "pertmap_lp"]
WINDOWS = ["kernel_shap_window", "greedy_backward_window"]


def blend_of(problem: AttributionProblem) -> Blend:
    return Blend(problem.inputs, problem.partition, problem.reference, problem.gradient)


def table_of(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2**p))


@pytest.mark.parametrize(("least_first", "direction"), [(False, "joint"), (True, "backward")])
def test_a_beam_of_one_is_the_joint_greedy_order(least_first: bool, direction: str):
    """Limit case, on random tables, orders and whether anything tells."""
    value = Tabulated(table_of(20, 7))
    found = beam(value, 20, 7, 1, least_first=least_first)
    wanted = greedy(value, np.zeros((20, 7), dtype=bool), direction)
    np.testing.assert_array_equal(found.orders, wanted.orders)
    np.testing.assert_array_equal(found.tells, wanted.tells)


@pytest.mark.parametrize("least_first", [False, True])
def test_a_beam_of_all_sets_is_exact(least_first: bool):
    """T5: with the width of the largest level J is that of the best of all 120 orders."""
    p, table = 5, table_of(12, 5)
    orders = beam(Tabulated(table), 12, p, 10, least_first=least_first).orders
    every = np.array(list(permutations(range(p))))
    paths = Tabulated(table)(prefixes(every).reshape(-1, p)).reshape(12, 120, p + 1)
    back = Tabulated(table)(prefixes(every[:, ::-1]).reshape(-1, p)).reshape(12, 120, p + 1)
    best = ((back - paths) @ trapezoid(p)).max(axis=1)
    value = Tabulated(table)
    ours = along(value, orders[:, None, ::-1]) - along(value, orders[:, None])
    np.testing.assert_allclose((ours @ trapezoid(p))[:, 0], best, atol=1e-12)


def literal_beam(table: np.ndarray, p: int, width: int) -> list[int]:
    """One instance, sets and dictionaries."""
    everything = 2**p - 1
    level = {0: (0.0, [])}
    for size in range(1, p + 1):
        grown: dict[int, tuple[float, list[int]]] = {}
        for members, (score, order) in level.items():
            for feature in range(p):
                if members >> feature & 1:
                    continue
                new = members | 1 << feature
                h = table[everything ^ new] - table[new]
                reached = score + h * (1 if size < p else 0.5) / p
                if new not in grown or reached > grown[new][0]:
                    grown[new] = (reached, [*order, feature])
        best = sorted(grown, key=lambda members: -grown[members][0])[:width]
        level = {members: grown[members] for members in best}
    return level[everything][1]


@pytest.mark.parametrize("width", [2, 3, 6])
def test_beam_is_its_definition(width: int):
    """The same orders as a plain search with dictionaries."""
    table = table_of(15, 7, seed=1)
    found = beam(Tabulated(table), 15, 7, width).orders
    assert found.tolist() == [literal_beam(row, 7, width) for row in table]


def test_many_features_take_no_table():
    """p = 70, more features than a machine word has bits: T1, F modular, gives a's order."""
    a = np.random.default_rng(0).normal(size=(2, 70))

    def value(masks: np.ndarray) -> np.ndarray:
        return -(masks if masks.ndim == 3 else masks[None]).astype(float) @ a[:, :, None]

    found = beam(lambda masks: value(masks)[:, :, 0], 2, 70, 3)
    np.testing.assert_array_equal(found.orders, np.argsort(-a, axis=1))


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_improve_and_a_wide_one_is_exact(name: str, method, answer, problem_of, scores):
    """J is at least the start's on every instance; a window of all features gives II = 1."""
    problem = problem_of(3, (12, 12), draws=2, n=20)
    start = method(name).start.explain(problem, rng=np.random.default_rng(0)).values
    before = scores(problem, start)[0]
    assert (scores(problem, answer(name, problem, width=2))[0] >= before - 1e-12).all()
    np.testing.assert_allclose(scores(problem, answer(name, problem, width=5))[0], 1, atol=1e-12)


@pytest.mark.parametrize("draws", [1, 3])
def test_slopes_of_blended_inputs(draws: int, problem_of):
    """df / dw against central differences of the mean of g at (1 - w) x + w r."""
    problem = problem_of(3, draws=draws)
    rng = np.random.default_rng(0)
    weights = rng.random((4, 2, 5))

    def f(w: np.ndarray, row: int) -> float:
        spread = torch.from_numpy(w)[problem.partition.membership]
        points = (1 - spread) * problem.inputs[row] + spread * problem.reference.draws[0]
        return float(problem.output(points, torch.full((draws,), row)).mean().detach())

    found = blend_of(problem).slope(weights, np.arange(draws))
    for row in range(4):
        for k in range(2):
            for i in range(5):
                step = 1e-5 * np.eye(5)[i]
                up, down = f(weights[row, k] + step, row), f(weights[row, k] - step, row)
                assert found[row, k, i] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_each_instance_may_have_its_own_draws(problem_of):
    """Draws of shape n k: an instance's slopes are those of the problem with its draws alone."""
    problem = problem_of(3)
    own = Reference(torch.from_numpy(np.random.default_rng(5).normal(size=(4, 2, 7))))
    weights = np.random.default_rng(0).random((4, 3, 5))
    found = blend_of(replace(problem, reference=own)).slope(weights, np.arange(2))
    for row in range(4):
        alone = replace(
            problem,
            inputs=problem.inputs[row : row + 1],
            targets=problem.targets[row : row + 1],
            reference=Reference(own.draws[row : row + 1]),
        )
        one = blend_of(alone).slope(weights[row : row + 1], np.arange(2))
        np.testing.assert_allclose(found[row], one[0], atol=1e-12)


def test_adam_is_torchs():
    """Fifty steps on a quadratic, against torch.optim.Adam."""
    start = np.random.default_rng(0).normal(size=(3, 4))
    ours, theirs = Adam(start), torch.from_numpy(start).requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.05)
    for _ in range(50):
        ours.descend(4 * ours.at**3, 0.05)
        optimiser.zero_grad()
        (theirs**4).sum().backward()
        optimiser.step()
    np.testing.assert_allclose(ours.at, theirs.detach().numpy(), atol=1e-6)


def test_soft_sets_have_their_share():
    """The mean weight is the share asked; a cold set is the hard one; order is kept."""
    scored = np.random.default_rng(0).normal(size=(6, 10))
    shares = np.array([0.05, 0.3, 0.5, 0.9])
    soft = soft_sets(scored, shares, 0.5)
    np.testing.assert_allclose(soft.mean(axis=2), np.tile(shares, (6, 1)), atol=1e-7)
    assert (np.diff(np.take_along_axis(soft, np.argsort(scored)[:, None], 2), axis=2) >= 0).all()
    hard = soft_sets(scored, np.array([0.3]), 1e-4)[:, 0]
    np.testing.assert_allclose(hard, np.argsort(np.argsort(-scored)) < 3, atol=1e-6)


@pytest.mark.parametrize("side", ["exclusion", "inclusion", "both"])
def test_slope_of_the_relaxed_area(side: str, problem_of):
    """Against central differences of the mean over shares of f(w), -f(1 - w) or both."""
    problem = problem_of(3)
    scored = np.random.default_rng(0).normal(size=(4, 5))
    shares = np.array([0.2, 0.5, 0.7])

    def area(s: np.ndarray) -> np.ndarray:
        w = torch.from_numpy(soft_sets(s, shares, 0.7))
        total = np.zeros(4)
        for weights, sign in ((w, 1.0), (1 - w, -1.0)):
            if side not in ("both", "exclusion" if sign > 0 else "inclusion"):
                continue
            spread = weights[:, :, problem.partition.membership]
            points = (1 - spread) * problem.inputs[:, None] + spread * problem.reference.draws
            rows = torch.arange(4).repeat_interleave(3)
            found = problem.output(points.flatten(0, 1), rows).view(4, 3).mean(1)
            total += sign * found.detach().numpy()
        return total

    found = area_slope(blend_of(problem), scored, shares, 0.7, side, np.array([0]))
    for i in range(5):
        step = 1e-4 * np.eye(5)[i]
        difference = (area(scored + step) - area(scored - step)) / 2e-4
        np.testing.assert_allclose(found[:, i], difference, atol=1e-5)


def test_equal_scores_move_as_integrated_gradients_do(answer, problem_of):
    """Limit case: at s = 0 the slope is IG over the line, centred, at Gauss-Legendre shares."""
    problem = problem_of(3)
    nodes = (np.polynomial.legendre.leggauss(30)[0] + 1) / 2
    weights = np.polynomial.legendre.leggauss(30)[1] / 2
    # v = w (1 - w) weighs the middle of the line: taken out one share at a time.
    slopes = [
        area_slope(
            blend_of(problem), np.zeros((4, 5)), np.array([t]), 1.0, "exclusion", np.array([0])
        )
        / (t * (1 - t))
        for t in nodes
    ]
    found = -np.tensordot(weights, np.array(slopes), axes=1)
    wanted = answer("integrated_gradients", problem, steps=30)
    np.testing.assert_allclose(found, wanted - wanted.mean(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("name", [*RELAXED, *SELECTION, *WINDOWS, "beam"])
def test_affine_output_is_ideal(name: str, draws: int, answer, problem_of, scores):
    """T1: g affine, so F is modular: II = EX = IN = 1, nearly so where steps look at one draw."""
    problem = problem_of(0, (), draws=draws)
    fields = {"steps": 400} if name in RELAXED else {}
    found = scores(problem, answer(name, problem, **fields))
    assert (found > 0.97).all()
    if name in ("beam", *WINDOWS):
        np.testing.assert_allclose(found, 1, atol=1e-9)


@pytest.mark.parametrize("name", [*RELAXED, *SELECTION])
def test_positive_change_of_g_keeps_the_order(name: str, answer, network, problem_of):
    """T8: 2.5 g + 3 for g leaves the values as they are: Adam and prices have no unit."""
    net, changed = network(0).double(), network(0).double()
    with torch.no_grad():
        changed[-1].weight.mul_(2.5)
        changed[-1].bias.mul_(2.5).add_(3)
    one, other = (answer(name, problem_of(0, net=each)) for each in (net, changed))
    np.testing.assert_allclose(other, one, atol=1e-3)


def test_each_side_is_best_on_its_own(answer, problem_of, scores):
    """Relaxed exclusion has the better EX, inclusion the better IN, both the better II."""
    problem = problem_of(3, (12, 12), n=30)
    found = {name: scores(problem, answer(name, problem)).mean(axis=1) for name in RELAXED}
    assert found["relaxed_area"][0] > 0.95
    assert found["relaxed_area"][0] >= max(found[name][0] for name in RELAXED)
    assert found["relaxed_exclusion"][1] > found["relaxed_inclusion"][1]
    assert found["relaxed_inclusion"][2] > found["relaxed_exclusion"][2]


@pytest.mark.parametrize("side", ["exclusion", "inclusion"])
def test_one_price_solves_the_papers_problem(side: str, answer, problem_of):
    """Affine g, where the solution is known: deleted is what lowers f by more than its price
    (exclusion), or what doesn't lower it by more than deleting is worth (inclusion)."""
    problem = problem_of(0, ())
    blend, price = blend_of(problem), np.full(400, 0.8)
    *_, last = selection_path(blend, side, price, 0.05, rng=np.random.default_rng(0))
    slope = blend.slope(np.full((4, 1, 5), 0.5), np.array([0]))[:, 0]
    size = 0.8 * np.abs(slope).mean(axis=1, keepdims=True)
    wanted = slope + size < 0 if side == "exclusion" else slope + size > 0
    np.testing.assert_allclose(last, wanted, atol=1e-6)
    name = "c_efs" if side == "exclusion" else "c_ifs"
    values = answer(name, problem, cheapest=0.8, dearest=0.8, steps=2000)
    np.testing.assert_allclose(values, wanted if side == "exclusion" else ~wanted, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("name", ONE_LAMBDA)
def test_one_lambda_is_the_best_of_all_sets(name: str, lambda_: float, answer, problem_of):
    """Affine g, all 32 sets: min |S| + lambda F(S), and max, in the raw unit of F."""
    problem = problem_of(0, ())
    masks = np.arange(32)[:, None] >> np.arange(5) & 1
    worth = masks.sum(1) + lambda_ * problem.table()
    best = worth.argmin(1) if name == "c_efs_paper" else worth.argmax(1)
    wanted = masks[best] if name == "c_efs_paper" else 1 - masks[best]
    found = answer(name, problem, lambda_=lambda_)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("name", ONE_LAMBDA)
def test_one_lambda_is_no_worse_than_a_grid_of_weights(name: str, answer, problem_of):
    """Softmax of a bent network, where optima are local: best of 3^5 weights, on average."""
    problem = problem_of(3)
    sign = 1.0 if name == "c_efs_paper" else -1.0
    grid = torch.tensor(list(product([0.0, 0.5, 1.0], repeat=5)), dtype=torch.float64)

    def objective(weights: torch.Tensor, row: int) -> np.ndarray:
        spread = weights[:, problem.partition.membership]
        points = (1 - spread) * problem.inputs[row] + spread * problem.reference.draws[0]
        chance = problem.output(points, torch.full((len(weights),), row)).detach()
        return sign * (weights.sum(1) + 4 * chance).numpy()

    values = answer(name, problem, lambda_=4.0)
    deleted = torch.from_numpy(values if name == "c_efs_paper" else 1 - values)
    found = np.array([objective(deleted[[row]], row)[0] for row in range(4)])
    every = np.stack([objective(grid, row) for row in range(4)])
    assert (found <= np.quantile(every, 0.1, axis=1)).all()
    assert (found <= every.min(1) + 1e-3).sum() >= 3


@pytest.mark.parametrize("name", ONE_LAMBDA)
def test_one_step_from_nothing_deleted_is_the_gradient(name: str, answer, problem_of):
    """The paper's unified view: the order of dg / dx (x - b), where the weights leave the edge."""
    problem = problem_of(3)
    fields = {"optimiser": "sgd", "start": 0.0, "steps": 1, "rate": 1e-3}
    # So large that 1 can't turn a slope, so small a rate that no weight comes to 1.
    found = answer(name, problem, lambda_=100.0, **fields)
    first_order = answer("gradient_times_difference", problem)
    change = 1e-3 * np.maximum(0, (100 * first_order - 1) * (1 if name == "c_efs_paper" else -1))
    np.testing.assert_allclose(found, change if name == "c_efs_paper" else 1 - change, atol=1e-9)


def test_margins_are_taken_back_to_the_instance(problem_of):
    """Affine margins: every copy gives the margin at x itself; the notebook's form does not."""
    problem = problem_of(3, ())
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 7)))
    x, target = problem.inputs[0], int(problem.targets[0])
    exact = linearised(problem.model.margins, x + noise, noise, target, notebook_compat=False)
    z = problem.model.margins(x[None])[0].detach().numpy()
    margins = np.delete(z[target] - z, target)
    np.testing.assert_allclose(exact.at, np.tile(margins, 6), atol=1e-9)
    weight = problem.model.module[-1].weight.detach().numpy()
    np.testing.assert_allclose(
        exact.slopes, np.tile(np.delete(weight[target] - weight, target, 0), (6, 1)), atol=1e-9
    )
    other = linearised(problem.model.margins, x + noise, noise, target, notebook_compat=True)
    difference = weight[target] - np.delete(weight, target, 0)
    back = noise.numpy() @ difference.T + (noise.numpy() @ weight[target])[:, None]
    np.testing.assert_allclose(other.at, exact.at + back.flatten(), atol=1e-9)


@pytest.mark.parametrize("price", [0.05, 1.0])
def test_lazy_rows_lose_nothing(price: float):
    """The objective of the whole programme, written out; rows hold, and so does the box."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        around = Linearised(rng.normal(size=(120, 9)), rng.normal(loc=1.5, size=120))
        up, down, slack = widest_box(around, 1.0, price)
        plus, minus = np.maximum(around.slopes, 0), np.maximum(-around.slopes, 0)
        rows = np.hstack([minus, plus, -np.ones((120, 1))])
        aim = np.concatenate([np.full(18, -1.0), [price * 18]])
        whole = linprog(aim, rows, around.at, bounds=[(0, 1)] * 18 + [(0, None)])
        assert -(up + down).sum() + price * 18 * slack == pytest.approx(whole.fun, abs=1e-7)
        assert (minus @ up + plus @ down - slack <= around.at + 1e-7).all()
        moves = rng.uniform(-down, up, (500, 9))
        assert (around.slopes @ moves.T + around.at[:, None] >= -slack - 1e-7).all()


def test_a_label_that_nothing_threatens_leaves_the_box_whole():
    """Limit case: large margins, all of [-delta, delta], no slack, no row used."""
    around = Linearised(np.ones((3, 4)), np.full(3, 100.0))
    up, down, slack = widest_box(around, 2.0, 1.0)
    np.testing.assert_array_equal(np.concatenate([up, down]), 2.0)
    assert slack == 0


def test_noise_grows_where_the_model_does_not_look():
    """Four positions, two of them without weight: w reaches its bound there, not elsewhere."""
    net = nn.Sequential(nn.Linear(4, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 2.0, 0.0, 0.0], [-2.0, -2.0, 0.0, 0.0]]))
        net[0].bias.zero_()
    x = torch.tensor([[0.5, 0.5, 0.5, 0.5]], dtype=torch.float64)
    widths = noisiest(
        Network(net, 2).margins,
        x,
        torch.tensor([0]),
        widest=2.0,
        price=100.0,
        steps=500,
        copies=16,
        rate=0.01,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(widths[0, 2:], 2.0)
    assert (widths[0, :2] < 1.0).all()


@pytest.mark.parametrize("name", ["pertmap", "c_ifs", "c_ifs_paper"])
def test_blocks_of_rows_change_nothing(name: str, answer, problem_of, monkeypatch):
    """Two points at a time, or all: the same answer, from the same draws."""
    problem = problem_of(3, draws=2)
    wanted = answer(name, problem, steps=20)
    monkeypatch.setattr("bench.models.chunks.NUMBERS", 14)
    np.testing.assert_allclose(answer(name, problem, steps=20), wanted, atol=1e-9)


@pytest.mark.parametrize("name", [*RELAXED, *SELECTION, *ONE_LAMBDA, *PERTMAP, *WINDOWS, "beam"])
def test_instances_do_not_mix(name: str, answer, problem_of):
    """Explaining one instance alone gives its row."""
    problem = problem_of(3, draws=2)
    np.testing.assert_allclose(
        answer(name, alone(problem, 0))[0], answer(name, problem)[0], atol=1e-7
    )


@pytest.mark.parametrize("name", [*RELAXED, *SELECTION, *ONE_LAMBDA, *PERTMAP])
def test_images(name: str, answer, image_problem):
    """Channels and pixels of a block are pooled."""
    problem = image_problem()
    assert answer(name, problem).shape == (3, 9)


@pytest.mark.parametrize("name", [*RELAXED, *SELECTION, *ONE_LAMBDA, *PERTMAP])
def test_black_boxes_are_refused(name: str, answer, problem_of):
    """They need a gradient, and PertMap a label to keep."""
    problem = problem_of(3)
    blind = replace(problem, model=plain(problem.model))
    with pytest.raises(Unsupported, match="differentiable"):
        answer(name, blind)
    if name in PERTMAP:
        with pytest.raises(Unsupported, match="regression"):
            answer(name, problem_of(0))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("beam", {"width": 0}),
        ("kernel_shap_window", {"width": 1}),
        ("kernel_shap_window", {"sweeps": 0}),
        ("relaxed_area", {"steps": 0}),
        ("relaxed_area", {"hot": 0.01}),
        ("c_ifs", {"steps": 1}),
        ("c_efs", {"dearest": 0.01}),
        ("c_efs_paper", {"lambda_": 0.0}),
        ("c_efs_paper", {"start": 2.0}),
        ("pertmap", {"widest": 0.0}),
        ("pertmap_lp", {"copies": 0}),
        ("pertmap_lp", {"noise": -1.0}),
    ],
)
def test_impossible_numbers(name: str, fields: dict[str, float], method):
    """Refused when the method is made, the value met and the value wanted named."""
    with pytest.raises(Exception, match="wanted"):
        method(name, **fields)

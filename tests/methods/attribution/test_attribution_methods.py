"""Attribution methods against their formulas, and on set functions whose ideal is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.models import chunks
from bench.probes import plain
from bench.scores import ideal_influence as scoring
from bench.setfunction.ideal import exact_ideal
from bench.setfunction.reference import Reference
from bench.setfunction.table import shapley_values
from bench.tasks.attribution import AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import alone

NAMES = [
    "random",
    "gradient",
    "absolute_gradient",
    "gradient_times_input",
    "gradient_times_difference",
    "integrated_gradients",
    "occlusion",
    "lime",
    "kernel_shap",
    "shapley",
    "greedy_delete",
    "greedy_delete_max",
    "greedy_insert",
    "greedy_insert_min",
    "greedy_joint",
    "greedy_backward",
    "exact_optimum",
    "gradient_polish",
    "kernel_shap_polish",
]
GREEDY = [name for name in NAMES if name.startswith("greedy")]
POLISHED = ["gradient_polish", "kernel_shap_polish"]


class Additive(nn.Module):
    """sum_i a_i tanh(2 x_i) + c_i x_i^2, and features that don't meet."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.a = nn.Parameter(torch.from_numpy(rng.normal(size=7)))
        self.c = nn.Parameter(torch.from_numpy(rng.normal(size=7)))

    def forward(self, inputs: Tensor) -> Tensor:
        return (torch.tanh(2 * inputs) @ self.a + inputs**2 @ self.c)[:, None]


MODULAR = [
    *("gradient_times_difference", "integrated_gradients", "occlusion", "shapley"),
    *("kernel_shap", "exact_optimum", *GREEDY, *POLISHED),
]


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("name", [*MODULAR, "lime"])
def test_affine_output_makes_them_all_ideal(name: str, draws: int, answer, problem_of, scores):
    """T1: g affine, so F is modular: II = EX = IN = 1; LIME where nothing is penalised."""
    problem = problem_of(0, (), draws=draws)
    fields = {"ridge": 0.0} if name == "lime" else {}
    np.testing.assert_allclose(scores(problem, answer(name, problem, **fields)), 1, atol=1e-9)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize(
    "name", ["integrated_gradients", "occlusion", "shapley", "exact_optimum", *GREEDY]
)
def test_additive_output(name: str, draws: int, answer, problem_of, scores):
    """T2: F a sum of functions of one feature each; the gradient alone can be misled."""
    problem = problem_of(0, net=Additive(), draws=draws)
    np.testing.assert_allclose(scores(problem, answer(name, problem)), 1, atol=1e-9)
    assert scores(problem, answer("gradient_times_difference", problem))[0].min() < 0.99


@pytest.mark.parametrize("g", ["probability", "logit", "margin"])
def test_increasing_function_of_an_affine_one(g: str, answer, problem_of, scores):
    """T3: binary logistic regression, one reference: a's order is best at every size."""
    problem = replace(problem_of(2, ()), g=g)
    table = problem.table()
    ideal = exact_ideal(table)
    np.testing.assert_allclose(scoring.nestedness_gap(table, ideal.least), 0, atol=1e-12)
    for name in ("gradient_times_difference", "occlusion", "greedy_joint", "greedy_backward"):
        np.testing.assert_allclose(scores(problem, answer(name, problem)), 1, atol=1e-9)


def test_positive_change_of_g_keeps_the_scores(answer, network, problem_of, scores):
    """T8: 2.5 g + 3 for g scales the values and leaves their order and all scores."""
    net, changed = network(0).double(), network(0).double()
    with torch.no_grad():
        changed[-1].weight.mul_(2.5)
        changed[-1].bias.mul_(2.5).add_(3)
    one, other = problem_of(0, net=net), problem_of(0, net=changed)
    np.testing.assert_allclose(other.table(), 2.5 * one.table() + 3, atol=1e-9)
    for name in ("occlusion", "shapley", "integrated_gradients", "kernel_shap"):
        np.testing.assert_allclose(answer(name, other), 2.5 * answer(name, one), atol=1e-9)
    for name in ("occlusion", "shapley", "kernel_shap", "greedy_joint", "exact_optimum"):
        found = [scores(problem, answer(name, problem)) for problem in (one, other)]
        np.testing.assert_allclose(found[1], found[0], atol=1e-9)


def test_exact_optimum_is_one_and_nothing_is_above(answer, problem_of, scores):
    """II = 1 to rounding; every method of the shelf stays within [-1, 1]."""
    problem = problem_of(3, draws=2)
    for name in NAMES:
        found = scores(problem, answer(name, problem))
        assert (np.abs(found[0]) <= 1 + 1e-12).all()
        assert (found <= 1 + 1e-12).all()
    np.testing.assert_allclose(scores(problem, answer("exact_optimum", problem))[0], 1, atol=1e-12)


def literal_gradient(problem: AttributionProblem, point: Tensor, row: int) -> Tensor:
    x = point.clone().requires_grad_()
    out = problem.model.margins(x[None]).softmax(1)[0, problem.targets[row]]
    return torch.autograd.grad(out, x)[0]


def summed(values: Tensor) -> list[float]:
    """Positions 1 and 2 are one feature, 4 and 5 another."""
    return [float(values[list(of)].sum()) for of in ((0,), (1, 2), (3,), (4, 5), (6,))]


def test_gradients_are_summed_over_a_features_positions(answer, problem_of):
    """Four formulas, one instance and one feature at a time."""
    problem = problem_of(3, draws=3)
    b = problem.reference.draws[0].mean(0)
    for row, x in enumerate(problem.inputs):
        slope = literal_gradient(problem, x, row)
        expected = {
            "gradient": slope,
            "absolute_gradient": slope.abs(),
            "gradient_times_input": slope * x,
            "gradient_times_difference": slope * (x - b),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(answer(name, problem)[row], summed(values), atol=1e-9)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("n_classes", [0, 3])
def test_integrated_gradients_are_complete(draws: int, n_classes: int, answer, problem_of):
    """They sum to F(nothing) - F(everything); a fine midpoint sum agrees."""
    problem = problem_of(n_classes, draws=draws)
    found = answer("integrated_gradients", problem)
    ends = problem.value(np.array([[False] * 5, [True] * 5]))
    np.testing.assert_allclose(found.sum(1), ends[:, 0] - ends[:, 1], atol=1e-4)
    if n_classes:
        x, total, steps = problem.inputs[0], torch.zeros(7, dtype=torch.float64), 2000
        for draw in problem.reference.draws[0]:
            path = draw + (torch.arange(steps)[:, None] + 0.5) / steps * (x - draw)
            path = path.requires_grad_()
            out = problem.model.margins(path).softmax(1)[:, problem.targets[0]].sum()
            total += (x - draw) * torch.autograd.grad(out, path)[0].mean(0) / draws
        np.testing.assert_allclose(found[0], summed(total), atol=1e-4)


def test_occlusion_and_shapley_are_their_formulas(answer, problem_of):
    """Differences of the table; the ends of KernelSHAP with all masks."""
    problem = problem_of(3, draws=2)
    table = problem.table()
    np.testing.assert_allclose(
        answer("occlusion", problem), table[:, :1] - table[:, 1 << np.arange(5)], atol=1e-12
    )
    np.testing.assert_allclose(answer("shapley", problem), shapley_values(table), atol=1e-12)
    np.testing.assert_allclose(
        answer("kernel_shap", problem, samples=30), shapley_values(table), atol=1e-9
    )


def test_taylor_of_occlusion(answer, problem_of):
    """T9: for a small change (x - b) grad is what occlusion measures."""
    problem = problem_of(3)
    near = problem.inputs[:1] + 1e-4 * problem.reference.draws
    problem = replace(
        problem, inputs=problem.inputs[:1], targets=problem.targets[:1], reference=Reference(near)
    )
    taylor, occluded = (answer(m, problem) for m in ("gradient_times_difference", "occlusion"))
    np.testing.assert_allclose(taylor, occluded, rtol=1e-2, atol=1e-9)


@pytest.mark.parametrize("name", POLISHED)
def test_polish_is_no_worse_than_its_start(name: str, method, network, problem_of, scores):
    """J of the polished order is at least that of the start's, on every instance."""
    problem = problem_of(3, net=network(3, (12, 12), "relu"), draws=2, n=30)
    polished = method(name)
    start = polished.start.explain(problem, rng=np.random.default_rng(0)).values
    found = polished.explain(problem, rng=np.random.default_rng(0)).values
    assert (scores(problem, found)[0] >= scores(problem, start)[0] - 1e-12).all()
    assert scores(problem, found)[0].mean() > scores(problem, start)[0].mean()


def test_polish_takes_any_method(method, problem_of):
    """A start that isn't of this house, too."""
    problem = problem_of(3)
    constant = method(
        "gradient_polish", start={"_target_": "earnest.methods.attribution.random.Random"}
    )
    assert constant.explain(problem, rng=np.random.default_rng(0)).values.shape == (4, 5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_instances_do_not_mix(name: str, answer, problem_of):
    """Explaining one instance alone gives its row; a convolutional net in small chunks, too."""
    problem = problem_of(3, draws=2)
    np.testing.assert_allclose(
        answer(name, alone(problem, 0))[0], answer(name, problem)[0], atol=1e-9
    )


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "occlusion", "lime"])
def test_images(name: str, monkeypatch: pytest.MonkeyPatch, answer, image_problem):
    """Channels are pooled, chunks change nothing."""
    problem = image_problem()
    whole = answer(name, problem)
    monkeypatch.setattr(chunks, "IMAGE_ROWS", 2)
    assert whole.shape == (3, 9)
    np.testing.assert_allclose(answer(name, problem), whole, atol=1e-9)


@pytest.mark.parametrize("name", ["exact_optimum", "shapley"])
def test_too_many_features(name: str, answer, problem_of):
    """2^p values are refused with a reason, not tried."""
    with pytest.raises(Unsupported, match="p = 5 is above 4"):
        answer(name, problem_of(3), exact_up_to=4)


@pytest.mark.parametrize("name", NAMES)
def test_black_box(name: str, method, answer, problem_of):
    """Methods that need no gradient answer alike without one; the others say why not."""
    problem = problem_of(3)
    blind = replace(problem, model=plain(problem.model))
    built = method(name)
    if "gradient" in built.needs or name == "gradient_polish":
        with pytest.raises(Unsupported, match="differentiable"):
            answer(name, blind)
    else:
        np.testing.assert_allclose(answer(name, blind), answer(name, problem), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_values_asked(name: str, answer, problem_of):
    """What a method asks of the set function, a row and a mask at a time."""
    problem, p, n = problem_of(3), 5, 4
    before = problem.model.calls.values
    answer(name, problem)
    asked = (problem.model.calls.values - before) / n
    steps = p * (p + 1) / 2 - 1
    expected = {
        **dict.fromkeys(GREEDY, steps),
        **dict.fromkeys(("greedy_joint", "greedy_backward"), 2 * steps),
        **dict.fromkeys(("shapley", "exact_optimum"), 2**p),
        "occlusion": p + 1,
        "lime": 500,
        "kernel_shap": 2**p,
    }
    if name in POLISHED:
        sweeps = (asked - 2 * (p + 1) - (2**p if name == "kernel_shap_polish" else 0)) / (2 * p - 2)
        assert sweeps == int(sweeps)
        assert 1 <= sweeps <= p
    else:
        assert asked == expected.get(name, 0)


@pytest.mark.parametrize("fields", [{"samples": 0}, {"samples": 1}])
def test_impossible_numbers(fields: dict[str, int], method):
    """Refused when the method is made."""
    with pytest.raises(Exception, match="wanted"):
        method("kernel_shap", **fields)
    with pytest.raises(Exception, match="wanted at least 1"):
        method("integrated_gradients", steps=0)

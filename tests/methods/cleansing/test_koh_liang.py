"""Influence at the trained network: four ways to solve its system, on one that can be formed."""

import numpy as np
import pytest
import torch
from earnest.methods.cleansing import inverse_hessian
from earnest.methods.cleansing.inverse_hessian import (
    ConjugateGradients,
    Curvature,
    Exact,
    LiSSA,
    MomentumSGD,
    Solver,
    Systems,
)
from earnest.methods.cleansing.koh_liang import KohLiang

from bench.data import Samples
from bench.models.influence import query_gradient
from bench.models.network import CNN, MLP
from bench.models.sgd import SGD
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem

RNG = np.random.default_rng
LOGISTIC = SGD(MLP(), epochs=30, batch_size=10, weight_decay=0.05, single_logit=True)
NETWORK = SGD(MLP((5,), "gelu"), epochs=20, batch_size=10)


def logistic_hessian(asked):
    """Of the mean loss and its penalty, by the textbook."""
    final = asked.trajectory.final.double()
    inputs = torch.cat([asked.train.inputs, torch.ones(60, 1)], dim=1).double()
    probability = (inputs @ final).sigmoid()
    weights = probability * (1 - probability)
    return inputs.T @ (weights[:, None] * inputs) / 60 + 0.05 * torch.eye(4)


@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize(
    "solver",
    [
        Exact(),
        ConjugateGradients(tolerance=1e-7),
        LiSSA(depth=400),
        LiSSA(depth=1000, scale=2.0),
        MomentumSGD(iterations=800, learning_rate=0.1),
        MomentumSGD(iterations=800, learning_rate=0.1, start="zero"),
    ],
)
def test_every_solver_finds_the_solution(solver, damping, ask):
    """v = (H + damping I)^-1 u on a logistic regression, whose Hessian is written down."""
    asked = ask(LOGISTIC)
    objective, final = asked.trajectory.objective, asked.trajectory.final
    query = query_gradient(objective, final, asked.validation)
    assert isinstance(solver, Solver)
    found = solver.solve(Systems(Curvature(objective, final), query, (damping,)), rng=RNG(0))[0]
    matrix = logistic_hessian(asked) + damping * torch.eye(4)
    torch.testing.assert_close(
        found.double(), torch.linalg.solve(matrix, query.double()), rtol=2e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    "solver",
    [
        LiSSA(depth=100, repeats=60, batch_size=10),
        MomentumSGD(iterations=4000, learning_rate=0.002, batch_size=10),
    ],
)
def test_batches_are_right_on_average(solver, ask):
    """Ten rows at a time: noisy, and within a tenth of the solution."""
    asked = ask(LOGISTIC)
    objective, final = asked.trajectory.objective, asked.trajectory.final
    query = query_gradient(objective, final, asked.validation)
    found = solver.solve(Systems(Curvature(objective, final), query, (0.2,)), rng=RNG(0))[
        0
    ].double()
    wanted = torch.linalg.solve(logistic_hessian(asked) + 0.2 * torch.eye(4), query.double())
    assert (found - wanted).norm() < 0.1 * wanted.norm()


PICTURES = SGD(CNN(channels=(3,), hidden=4), epochs=2, batch_size=10)


def pictures() -> CleansingProblem:
    """Thirty random pictures of two classes, six of them the query."""
    drawn = torch.tensor(RNG(0).normal(size=(30, 1, 6, 6))).float()
    samples = Samples(drawn, torch.arange(30) % 2, 2)
    train, query = samples.rows(np.arange(24)), samples.rows(np.arange(24, 30))
    return CleansingProblem(PICTURES.fit(train, rng=RNG(1)), train, query)


@pytest.mark.parametrize("recipe", [LOGISTIC, NETWORK, PICTURES], ids=["chain", "deep", "pictures"])
@pytest.mark.parametrize(
    "solver",
    [
        Exact(),
        ConjugateGradients(),
        LiSSA(depth=20),
        LiSSA(depth=20, batch_size=7, repeats=2, scale=3.0),
        MomentumSGD(iterations=20),
        MomentumSGD(iterations=20, batch_size=7, start="zero"),
    ],
)
def test_many_dampings_at_once_are_each_alone(solver, recipe, ask):
    """The same answers and random batches; what is given to each is checked."""
    asked, dampings = pictures() if recipe is PICTURES else ask(recipe), (3.0, 0.1, 1.0)
    together = KohLiang(solver=solver).explain_each(asked, dampings, rng=RNG(2))
    for damping, found in zip(dampings, together, strict=True):
        alone = KohLiang(damping, solver).explain(asked, rng=RNG(2)).values
        np.testing.assert_allclose(found.values, alone, rtol=1e-3, atol=1e-4 * abs(alone).max())
    with pytest.raises(ValueError, match="damping=-1"):
        KohLiang(solver=solver).explain_each(asked, (0.1, -1.0), rng=RNG(2))


def test_passes_that_would_fill_the_memory_are_made_anew(monkeypatch):
    """The same product of pictures, and the rows counted each time."""
    asked = pictures()
    objective, final = asked.trajectory.objective, asked.trajectory.final
    vector = torch.tensor(RNG(0).normal(size=len(final))).float()
    kept = Curvature(objective, final)
    whole, calls = kept.product(vector), objective.calls
    before = calls.copy()
    assert torch.equal(kept.product(vector), whole)
    assert calls.since(before).forward == 0
    monkeypatch.setattr(inverse_hessian, "KEPT_BYTES", 0)
    monkeypatch.setattr(inverse_hessian, "at_a_time", lambda inputs: 10)
    anew = Curvature(objective, final)
    torch.testing.assert_close(anew.product(vector), whole, rtol=1e-5, atol=1e-7)
    before = calls.copy()
    anew.product(vector)
    assert calls.since(before).forward == len(asked.train) - 10


def test_wide_layers_take_one_vector_after_the_other(ask, monkeypatch):
    """The products are the same however many go through the chain at once."""
    asked = ask(NETWORK)
    objective, final = asked.trajectory.objective, asked.trajectory.final
    vectors = torch.tensor(RNG(0).normal(size=(7, len(final)))).float()
    whole = Curvature(objective, final).product(vectors)
    for numbers in (1, 3 * 60 * 8):
        monkeypatch.setattr(inverse_hessian, "TOGETHER_NUMBERS", numbers)
        parts = Curvature(objective, final).product(vectors)
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_where_some_dampings_diverge_the_others_answer(ask):
    """Each has its own answer or its own error, which names it."""
    lissa = KohLiang(solver=LiSSA(depth=200, scale=1.0))
    first, found, last = lissa.explain_each(ask(NETWORK), (50.0, 0.5, 60.0), rng=RNG(0))
    assert np.isfinite(found.values).all()
    assert "damping 50: raise the scale of 1" in str(first)
    assert "damping 60" in str(last)


def test_products_of_a_network(ask, monkeypatch):
    """H v is the derivative of the gradient along v, whether the rows are taken at once or not;
    on some rows it is theirs."""
    asked = ask(NETWORK)
    objective, final = asked.trajectory.objective, asked.trajectory.final
    direction = torch.tensor(RNG(3).normal(size=len(final))).float()
    direction /= direction.norm()

    def gradient(flat):
        flats = flat[None].requires_grad_()
        mean = objective.losses(flats, torch.arange(60)).mean()
        return torch.autograd.grad(mean, flats)[0][0]

    step = 1e-2
    slope = (gradient(final + step * direction) - gradient(final - step * direction)) / (2 * step)
    whole = Curvature(objective, final).product(direction)
    torch.testing.assert_close(whole, slope, rtol=1e-2, atol=1e-4)
    monkeypatch.setattr(inverse_hessian, "ROWS_AT_ONCE", 25)
    parted = Curvature(objective, final)
    torch.testing.assert_close(parted.product(direction), whole, rtol=1e-5, atol=1e-6)
    halves = [parted.product(direction, rows) for rows in torch.arange(60).split(30)]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole, rtol=1e-5, atol=1e-6)


def test_values_are_products_with_the_solution_and_have_two_signs(ask):
    """(1 / n) <v, grad l_j>, and minus that: the authors' sign in Sec. 7.2."""
    asked = ask(LOGISTIC)
    final = asked.trajectory.final.double()
    inputs = torch.cat([asked.train.inputs, torch.ones(60, 1)], dim=1).double()
    gradients = ((inputs @ final).sigmoid() - asked.train.targets)[:, None] * inputs + 0.05 * final
    query = query_gradient(asked.trajectory.objective, asked.trajectory.final, asked.validation)
    solved = torch.linalg.solve(logistic_hessian(asked) + 0.1 * torch.eye(4), query.double())
    removal = KohLiang(0.1, Exact()).explain(asked, rng=RNG(0)).values
    np.testing.assert_allclose(removal, (gradients @ solved / 60).numpy(), rtol=1e-3, atol=1e-7)
    weighting = KohLiang(0.1, Exact(), "upweighting").explain(asked, rng=RNG(0)).values
    np.testing.assert_array_equal(weighting, -removal)


def test_what_cannot_be_solved_says_so(ask):
    """Too many parameters, a scale or a rate that diverges, a damping below 0."""
    asked = ask(LOGISTIC)
    with pytest.raises(Unsupported, match="4 parameters: a Hessian is formed for 3 at most"):
        KohLiang(1.0, Exact(largest=3)).explain(asked, rng=RNG(0))
    with pytest.raises(FloatingPointError, match="raise the scale"):
        KohLiang(1.0, LiSSA(scale=0.1)).explain(asked, rng=RNG(0))
    with pytest.raises(FloatingPointError, match="lower the rate"):
        KohLiang(1.0, MomentumSGD(200, learning_rate=10.0)).explain(asked, rng=RNG(0))
    with pytest.raises(ValueError, match="wanted 0 or more"):
        KohLiang(-1.0)

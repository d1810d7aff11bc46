"""What the cleansing methods answer, on problems where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from earnest.methods.cleansing import inverse_hessian
from earnest.methods.cleansing.koh_liang import KohLiang, conjugate_gradients, hessian_product
from earnest.methods.cleansing.leave_one_out import LeaveOneOut
from earnest.methods.cleansing.linear_leave_one_out import LinearLeaveOneOut
from earnest.methods.cleansing.own_loss import OwnLoss
from earnest.methods.cleansing.random import Random
from earnest.methods.cleansing.sgd_influence import SGDInfluence
from torch import nn

from bench.data import Samples
from bench.models.influence import leave_one_out, mean_losses, query_gradient
from bench.models.losses import row_losses
from bench.models.network import CNN, MLP
from bench.models.paper_networks import FiveByFive, Pairs
from bench.models.sgd import SGD
from bench.models.stack import flatten
from bench.models.trajectory import Objective
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import Cleansing, CleansingProblem

RNG = np.random.default_rng


def problem(recipe, n=60):
    """Noisy linear classes, the first five training labels wrong."""
    rng = RNG(0)
    inputs = torch.tensor(rng.normal(size=(2 * n, 3))).float()
    targets = (inputs.sum(1) + 0.3 * torch.tensor(rng.normal(size=2 * n)) > 0).long()
    targets[:5] = 1 - targets[:5]
    samples = Samples(inputs, targets, 2)
    train = samples.rows(np.arange(n))
    return CleansingProblem(recipe.fit(train, rng=RNG(1)), train, samples.rows(np.arange(n, 2 * n)))


LOGISTIC = SGD(MLP(), epochs=30, batch_size=10, weight_decay=0.05, single_logit=True)
NETWORK = SGD(MLP((6,)), epochs=10, batch_size=10)


def test_random_knows_nothing():
    """Its values are the generator's, whatever the problem."""
    asked = Cleansing().tiny()
    values = Random().explain(asked, rng=RNG(3)).values
    assert np.array_equal(values, RNG(3).standard_normal(16))


@pytest.mark.parametrize("recipe", [LOGISTIC, NETWORK])
def test_own_loss_is_minus_the_rows_loss(recipe):
    """Minus the logarithm of the probability of the row's label, one row at a time."""
    asked = problem(recipe)
    values = OwnLoss().explain(asked, rng=RNG(0)).values
    for x, y, value in zip(asked.train.inputs, asked.train.targets, values, strict=True):
        margins = asked.model.margins(x[None])[0]
        assert value == pytest.approx(margins.log_softmax(0)[y].item())


@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_koh_liang_solves_the_damped_system(damping):
    """Conjugate gradients against the Hessian of a logistic regression, formed and solved."""
    asked = problem(LOGISTIC)
    objective, final = asked.trajectory.objective, asked.trajectory.final.double()
    inputs = torch.cat([asked.train.inputs, torch.ones(60, 1)], dim=1).double()
    probability = (inputs @ final).sigmoid()
    weights = probability * (1 - probability)
    hessian = inputs.T @ (weights[:, None] * inputs) / 60 + 0.05 * torch.eye(4)
    query = query_gradient(objective, asked.trajectory.final, asked.validation).double()
    solved = torch.linalg.solve(hessian + damping * torch.eye(4), query)
    gradients = (probability - asked.train.targets)[:, None] * inputs + 0.05 * final
    values = KohLiang(damping).explain(asked, rng=RNG(0)).values
    np.testing.assert_allclose(values, (gradients @ solved / 60).numpy(), rtol=1e-3, atol=1e-7)
    product = hessian_product(objective, asked.trajectory.final)
    found = torch.stack([product(unit) for unit in torch.eye(4)]).double()
    torch.testing.assert_close(found, hessian, rtol=1e-4, atol=1e-6)


def test_conjugate_gradients_stop_at_negative_curvature():
    """Exact where the matrix is positive, a multiple of the target where the first step isn't."""
    rng = RNG(0)
    root = torch.tensor(rng.normal(size=(5, 5)))
    positive, target = root @ root.T + torch.eye(5), torch.tensor(rng.normal(size=5))
    options = {"first": 10.0, "iterations": 20, "tolerance": 1e-12}
    solved = conjugate_gradients(lambda v: positive @ v, target, **options)
    torch.testing.assert_close(solved, torch.linalg.solve(positive, target))
    negative = conjugate_gradients(lambda v: -positive @ v, target, **options)
    assert torch.equal(negative, 10 * target)
    mixed = torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0, -0.1]).double())
    stopped = conjugate_gradients(lambda v: mixed @ v, torch.ones(5).double(), **options)
    assert torch.isfinite(stopped).all()
    assert stopped @ torch.ones(5).double() > 0
    zero = conjugate_gradients(lambda v: positive @ v, torch.zeros(5).double(), **options)
    assert not zero.any()


def test_leave_one_out_is_training_again():
    """The values are the truth; above its limit the method says so."""
    asked = problem(NETWORK)
    values = LeaveOneOut().explain(asked, rng=RNG(0)).values
    keep = torch.ones(2, 60, dtype=torch.bool)
    keep[1, 7] = False
    models = asked.model.retrain(keep)
    objective = asked.trajectory.objective
    finals = torch.stack(
        [torch.cat([p.detach().flatten() for p in model.module.parameters()]) for model in models]
    )
    losses = mean_losses(objective, finals, asked.validation)
    assert values[7] == pytest.approx(float(losses[1] - losses[0]), abs=1e-6)
    with pytest.raises(Unsupported, match="floating-point operations, over 1000"):
        LeaveOneOut(flops=1000.0).explain(asked, rng=RNG(0))


def test_the_linear_leave_one_out_is_the_parameters_step_along_the_query():
    """One row by hand; above its limit the method says so."""
    asked = problem(NETWORK)
    values = LinearLeaveOneOut().explain(asked, rng=RNG(0)).values
    run, keep = asked.trajectory, torch.ones(2, 60, dtype=torch.bool)
    keep[1, 7] = False
    whole, without = run.retrain(keep)
    query = query_gradient(run.objective, run.final, asked.validation)
    assert values[7] == pytest.approx(float(query @ (without - whole)), abs=1e-6)
    with pytest.raises(Unsupported, match="floating-point operations, over 1000"):
        LinearLeaveOneOut(flops=1000.0).explain(asked, rng=RNG(0))


def test_sgd_influence_is_the_linear_leave_one_out_where_a_step_is_linear():
    """One step and no row twice: the linear influence is exact."""
    recipe = SGD(MLP((6,)), epochs=1, batch_size=60)
    asked = problem(recipe)
    exact = LinearLeaveOneOut().explain(asked, rng=RNG(0)).values
    estimate = SGDInfluence().explain(asked, rng=RNG(0)).values
    np.testing.assert_allclose(estimate, exact, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("method", "at_least"),
    [(SGDInfluence(), 0.9), (SGDInfluence("none"), 0.5), (KohLiang(damping=0.01), 0.9)],
)
def test_estimates_have_the_sign_of_the_truth(method, at_least):
    """On a convex problem each estimate follows the true leave-one-out, harm below zero."""
    asked = problem(LOGISTIC)
    truth = leave_one_out(asked.trajectory, asked.validation).numpy()
    values = method.explain(asked, rng=RNG(0)).values
    assert np.corrcoef(values, truth)[0, 1] > at_least
    assert values[:5].mean() < 0 < values[5:].mean()


@pytest.mark.parametrize(
    "method",
    [
        SGDInfluence(),
        SGDInfluence("none"),
        KohLiang(),
        LeaveOneOut(),
        LinearLeaveOneOut(),
        OwnLoss(),
    ],
)
def test_training_rows_in_another_order(method):
    """Permute the rows (and the batches with them): the values permute."""
    asked = problem(NETWORK)
    order = RNG(2).permutation(60)
    place = torch.from_numpy(np.argsort(order))
    run = asked.trajectory
    train = asked.train.rows(order)
    moved = replace(
        run,
        objective=replace(run.objective, samples=train),
        schedule=replace(run.schedule, order=place[run.schedule.order]),
    )
    model = replace(asked.model, trajectory=moved)
    values = method.explain(asked, rng=RNG(0)).values
    again = method.explain(CleansingProblem(model, train, asked.validation), rng=RNG(0)).values
    np.testing.assert_allclose(again, values[order], rtol=1e-4, atol=1e-6)


def test_a_replayed_run_gives_the_same_influence(monkeypatch):
    """One model an epoch is enough: the values are equal to the last bit."""
    whole = SGDInfluence().explain(problem(NETWORK), rng=RNG(0)).values
    monkeypatch.setattr("bench.models.sgd.SMALL_BYTES", 0)
    sparse = problem(NETWORK)
    assert sparse.trajectory.stride == 6
    assert np.array_equal(SGDInfluence().explain(sparse, rng=RNG(0)).values, whole)


@pytest.mark.parametrize("rows", [None, [5], list(range(7, 150)), [3, 3, 9]])
@pytest.mark.parametrize(
    "module",
    [
        FiveByFive((3,)).build(torch.Size([2, 8, 8]), 3),
        Pairs((4,)).build(torch.Size([2, 8, 8]), 3),
        MLP((5,), "gelu").build(torch.Size([2, 8, 8]), 3),
        CNN((4,), 6).build(torch.Size([2, 8, 8]), 3),
        nn.Sequential(nn.Conv2d(2, 2, 3), nn.ELU(), nn.Flatten(), nn.Linear(72, 3)),
    ],
    ids=["five", "pairs", "mlp", "cnn", "autograd"],
)
def test_hessian_products_are_autograds(module, rows):
    """Written out where the layers are known, some rows at a time; counted as autograd counts."""
    module = module.double().eval()
    inputs = torch.randn(150, 2, 8, 8, dtype=torch.float64)
    samples = Samples(inputs, torch.arange(150) % 3, 3)
    objective, flat = Objective(module, row_losses, samples, 0.1), flatten(module)
    chosen = torch.arange(150) if rows is None else torch.tensor(rows)
    vectors = torch.randn(2, len(flat), dtype=torch.float64)

    def products(make) -> tuple[torch.Tensor, tuple[int, int]]:
        before = objective.calls.forward, objective.calls.backward
        product = make(objective, flat, chosen)
        found = torch.stack([product(v) for v in vectors])
        counts = objective.calls.forward - before[0], objective.calls.backward - before[1]
        return found, counts

    expected, counted = products(inverse_hessian._by_autograd)
    found, counts = products(hessian_product)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert counts == counted
    assert (found[0] @ vectors[1]) == pytest.approx(float(found[1] @ vectors[0]))

"""TracIn, Grad-Dot, Grad-Cos, self-influence and DataInf against their definitions."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from earnest.methods.cleansing import row_gradients
from earnest.methods.cleansing.data_inf import DataInf, layer_sizes
from earnest.methods.cleansing.grad_cos import GradCos
from earnest.methods.cleansing.grad_dot import GradDot
from earnest.methods.cleansing.self_influence import SelfInfluence
from earnest.methods.cleansing.trac_in import TracIn

from bench.data import Samples
from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.network import CNN, MLP
from bench.models.sgd import SGD
from bench.tasks.cleansing import CleansingProblem

RNG = np.random.default_rng
NETWORK = SGD(MLP((5,), "gelu"), epochs=4, batch_size=7, decay="sqrt", weight_decay=0.01)
LOGISTIC = SGD(MLP(), epochs=30, batch_size=10, weight_decay=0.05, single_logit=True)
METHODS = [TracIn(), TracIn("steps"), GradDot(), GradCos(), SelfInfluence(), DataInf()]


def values(method, problem):
    return method.explain(problem, rng=RNG(0)).values


def one_by_one(objective, flat):
    """grad l_i of each row by itself."""
    gradients = []
    for row in range(len(objective.samples)):
        flats = flat[None].clone().requires_grad_()
        loss = objective.losses(flats, torch.tensor([row]))
        gradients.append(torch.autograd.grad(loss.sum(), flats)[0][0])
    return torch.stack(gradients)


def thetas(trajectory):
    """theta[0], ..., theta[T]."""
    before = [flat for flat, _, _ in trajectory.backwards()]
    return [*reversed(before), trajectory.final]


@pytest.mark.parametrize("recipe", [NETWORK, SGD(CNN((2,), 4), epochs=1)])
def test_row_gradients_are_those_of_single_rows(recipe, monkeypatch):
    """One row at a time, penalty included; in chunks too; each row is counted once each way."""
    shape = (12, 1, 4, 4) if isinstance(recipe.architecture, CNN) else (12, 3)
    inputs = torch.tensor(RNG(0).normal(size=shape)).float()
    train = Samples(inputs, torch.arange(12) % 2, 2)
    trajectory = recipe.fit(train, rng=RNG(1)).trajectory
    objective, flat = trajectory.objective, trajectory.final
    before = objective.calls.copy()
    found = row_gradients.row_gradients(objective, flat, torch.arange(12))
    spent = objective.calls.since(before)
    assert (spent.forward, spent.backward) == (12, 12)
    torch.testing.assert_close(found, one_by_one(objective, flat), rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(row_gradients, "CHUNK_NUMBERS", 5 * len(flat))
    rows, parts = zip(*row_gradients.all_gradients(objective, flat), strict=True)
    assert [len(part) for part in rows] == [5, 5, 2]
    torch.testing.assert_close(torch.cat(parts), found)
    monkeypatch.setattr(row_gradients, "CHUNK_ROWS", 5)
    direction = torch.tensor(RNG(2).normal(size=len(flat))).float()
    products = row_gradients.all_products(objective, flat, direction)
    torch.testing.assert_close(products, found @ direction, rtol=1e-4, atol=1e-5)


def test_trac_in_by_its_sums(ask):
    """Every step for the rows in it; the end of every epoch for all rows, by the epoch's rates."""
    problem = ask(NETWORK)
    run = problem.trajectory
    objective, schedule, passed = run.objective, run.schedule, thetas(run)

    def products(flat):
        return one_by_one(objective, flat) @ query_gradient(objective, flat, problem.validation)

    by_steps, by_epochs = torch.zeros(60), torch.zeros(60)
    for t in range(len(schedule)):
        rows = schedule.batch(t)
        by_steps[rows] += schedule.rates[t] / len(rows) * products(passed[t])[rows]
    assert schedule.steps_per_epoch == 9
    for end in (9, 18, 27, 36):
        by_epochs += sum(schedule.rates[end - 9 : end]) / 60 * products(passed[end])
    np.testing.assert_allclose(values(TracIn("steps"), problem), by_steps, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(values(TracIn(), problem), by_epochs, rtol=1e-3, atol=1e-6)


def test_trac_in_is_influence_without_curvature_where_the_query_is_linear(ask):
    """Where the query's gradient is the same everywhere, TracIn at every step is SGD-influence
    with no Hessian, rates and divisors included."""
    plain = ask(SGD(MLP(), epochs=3, batch_size=8, single_logit=True))
    run = plain.trajectory

    def linear(outputs, targets):
        return outputs.squeeze(-1) * (2 * targets - 1)

    objective = replace(run.objective, loss=linear)
    run = replace(run, objective=objective)
    problem = CleansingProblem(replace(plain.model, trajectory=run), plain.train, plain.validation)
    query = query_gradient(objective, run.final, plain.validation)
    expected = sgd_influence(run, query, "none").double().numpy()
    np.testing.assert_allclose(values(TracIn("steps"), problem), expected, rtol=1e-4, atol=1e-7)


def test_trac_in_sees_augmented_rows(ask):
    """Every step is taken on the rows as training saw them then; epochs on rows as they are."""

    @dataclass(frozen=True)
    class Doubled:
        def __call__(self, inputs, rows, epoch, seed):
            return inputs * (1 + epoch)

    plain = ask(SGD(MLP(), epochs=2, batch_size=60))
    objective = replace(plain.trajectory.objective, augmentation=Doubled())
    run = replace(plain.trajectory, objective=objective)
    problem = replace(plain, model=replace(plain.model, trajectory=run))
    expected = torch.zeros(60)
    for t, flat in enumerate(thetas(run)[:2]):
        query = query_gradient(objective, flat, problem.validation)
        doubled = Samples((1 + t) * problem.train.inputs, problem.train.targets, 2)
        seen = replace(objective, samples=doubled, augmentation=None)
        expected += run.schedule.rates[t] / 60 * (one_by_one(seen, flat) @ query)
    np.testing.assert_allclose(values(TracIn("steps"), problem), expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(values(TracIn(), problem), values(TracIn(), plain))


def test_dot_and_cosine(ask):
    """Products and cosines of the gradients at the end."""
    problem = ask(NETWORK)
    objective, final = problem.trajectory.objective, problem.trajectory.final
    gradients, query = (
        one_by_one(objective, final),
        query_gradient(objective, final, problem.validation),
    )
    dots = gradients @ query
    np.testing.assert_allclose(values(GradDot(), problem), dots, rtol=1e-3, atol=1e-6)
    cosines = dots / gradients.norm(dim=1) / query.norm()
    np.testing.assert_allclose(values(GradCos(), problem), cosines, rtol=1e-3, atol=1e-5)


def test_self_influence_is_trac_in_of_each_row_on_itself(ask):
    """Minus TracIn where the query is the row; never above 0."""
    problem = ask(NETWORK)
    found = values(SelfInfluence(), problem)
    assert (found <= 0).all()
    for row in (0, 17):
        alone = replace(problem, validation=problem.train.rows(np.array([row])))
        # The query has no penalty: without one in training either, both are the same.
        bare = replace(problem.trajectory.objective, weight_decay=0.0)
        run = replace(problem.trajectory, objective=bare)
        alone = replace(alone, model=replace(problem.model, trajectory=run))
        assert -values(TracIn(), alone)[row] == pytest.approx(
            values(SelfInfluence(), alone)[row], rel=1e-3
        )


def test_data_inf_by_its_inverses(ask):
    """The mean of the inverses, formed one by one in each layer."""
    problem = ask(NETWORK)
    objective, final = problem.trajectory.objective, problem.trajectory.final
    gradients = one_by_one(objective, final).double()
    query = query_gradient(objective, final, problem.validation).double()
    sizes = layer_sizes(objective.module)
    assert sizes == [20, 12]
    solved = []
    for g, u in zip(gradients.split(sizes, dim=1), query.split(sizes), strict=True):
        damping = 0.1 * g.square().mean()
        inverses = torch.linalg.inv(g[:, :, None] * g[:, None] + damping * torch.eye(len(u)))
        solved.append(inverses.mean(0) @ u)
    expected = gradients @ torch.cat(solved) / 60
    np.testing.assert_allclose(values(DataInf(), problem), expected, rtol=2e-3, atol=1e-6)


def test_data_inf_is_exact_for_equal_rows_of_one_layer(ask):
    """Where all rows have one gradient, the mean of inverses is the inverse of the mean."""
    plain = ask(LOGISTIC)
    train = plain.train.rows(np.zeros(60, dtype=int))
    objective = replace(plain.trajectory.objective, samples=train)
    run = replace(plain.trajectory, objective=objective)
    problem = replace(plain, train=train, model=replace(plain.model, trajectory=run))
    g = one_by_one(objective, run.final)[0].double()
    query = query_gradient(objective, run.final, problem.validation).double()
    damping = 0.1 * g.square().mean()
    solved = torch.linalg.solve(torch.outer(g, g) + damping * torch.eye(4), query)
    np.testing.assert_allclose(values(DataInf(), problem), float(g @ solved) / 60, rtol=1e-3)


@pytest.mark.parametrize("method", [TracIn(), TracIn("steps"), GradDot(), GradCos(), DataInf()])
def test_estimates_have_the_sign_of_the_truth(method, ask):
    """On a convex problem each follows the true leave-one-out, harm below zero."""
    problem = ask(LOGISTIC)
    truth = leave_one_out(problem.trajectory, problem.validation).numpy()
    assert np.corrcoef(values(method, problem), truth)[0, 1] > 0.4


@pytest.mark.parametrize("method", METHODS)
def test_a_replayed_run_gives_the_same_values(method, ask, monkeypatch):
    """One model an epoch is enough."""
    whole = values(method, ask(NETWORK))
    monkeypatch.setattr("bench.models.sgd.SMALL_BYTES", 0)
    sparse = ask(NETWORK)
    assert sparse.trajectory.stride > 1
    np.testing.assert_array_equal(values(method, sparse), whole)


def test_dampings_are_positive():
    """A share of 0 leaves a matrix of rank one."""
    with pytest.raises(ValueError, match="wanted more than 0"):
        DataInf(0.0)

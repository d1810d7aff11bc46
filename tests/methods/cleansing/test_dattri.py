"""The adapter for dattri: what it should agree with, and its NaN as an error."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from earnest.methods.cleansing.data_inf import DataInf
from earnest.methods.cleansing.dattri import Dattri
from earnest.methods.cleansing.grad_dot import GradDot
from earnest.methods.cleansing.inverse_hessian import Exact
from earnest.methods.cleansing.koh_liang import KohLiang

from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.network import MLP
from bench.models.optimiser import Momentum
from bench.models.sgd import SGD
from bench.tasks.base import Unsupported

pytest.importorskip("dattri")

RNG = np.random.default_rng
LOGISTIC = SGD(MLP(), epochs=20, batch_size=10, weight_decay=0.05, single_logit=True)
NETWORK = SGD(MLP((6,), "gelu"), epochs=10, batch_size=10, weight_decay=0.01)


def values(method, problem, seed=0):
    return method.explain(problem, rng=RNG(seed)).values


def gradients(problem, flat):
    """grad l_i of each training row, one by one."""
    flats = flat[None].clone().requires_grad_()
    losses = problem.trajectory.objective.losses(flats, torch.arange(len(problem.train)))[0]
    return torch.stack([torch.autograd.grad(x, flats, retain_graph=True)[0][0] for x in losses])


@pytest.mark.parametrize("recipe", [LOGISTIC, NETWORK])
def test_its_exact_influence_is_ours(recipe, ask):
    """Two programs, one formula: sign, penalty and divisor are the same."""
    problem = ask(recipe)
    ours = values(KohLiang(0.5, Exact()), problem)
    np.testing.assert_allclose(values(Dattri("Explicit", 0.5), problem), ours, rtol=2e-3, atol=1e-7)
    found = values(Dattri("CG", 0.5, {"max_iter": 4}), problem)
    assert np.corrcoef(found, ours)[0, 1] > 0.999


def test_its_data_inf_orders_as_ours(ask):
    """On one layer, with the same damping, both give the same up to a factor."""
    problem = ask(replace(LOGISTIC, weight_decay=0.0))
    squares = gradients(problem, problem.trajectory.final).square()
    theirs = values(Dattri("DataInf", 0.1 * float(squares.mean())), problem)
    ours = values(DataInf(0.1), problem)
    assert np.corrcoef(theirs, ours)[0, 1] > 0.99


def test_ek_fac_with_a_large_damping_is_grad_dot(ask):
    """(F + damping I)^-1 is I / damping where damping is large."""
    problem = ask(NETWORK)
    found = 1e4 * 60 * values(Dattri("EKFAC", 1e4), problem)
    np.testing.assert_allclose(found, values(GradDot(), problem), rtol=1e-2, atol=1e-4)


def test_ek_fac_by_its_factors(ask):
    """One layer: eigenvectors of the covariances of its inputs (and a 1) and of its outputs'
    gradients, the eigenvalues the mean squares of the gradients turned that way."""
    problem = ask(replace(LOGISTIC, single_logit=False, weight_decay=0.0), n_classes=3)
    inputs = torch.cat([problem.train.inputs, torch.ones(60, 1)], dim=1).double()
    weight, bias = problem.model.module[-1].weight, problem.model.module[-1].bias
    layer = torch.cat([weight, bias[:, None]], dim=1).detach().double()
    errors = (inputs @ layer.T).softmax(1) - torch.eye(3)[problem.train.targets]
    each = errors[:, :, None] * inputs[:, None]
    turn_in = torch.linalg.eigh(inputs.T @ inputs / 60).eigenvectors
    turn_out = torch.linalg.eigh(errors.T @ errors / 60).eigenvectors
    turned = turn_out.T @ each @ turn_in
    asked = torch.cat([problem.validation.inputs, torch.ones(60, 1)], dim=1).double()
    wrong = (asked @ layer.T).softmax(1) - torch.eye(3)[problem.validation.targets]
    query = turn_out.T @ (wrong.T @ asked / 60) @ turn_in
    expected = (turned * query / (turned.square().mean(0) + 0.1)).sum((1, 2)) / 60
    found = values(Dattri("EKFAC", 0.1), problem)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-5)


def test_trak_without_projection_by_its_formula(ask):
    """phi_t' (Phi' Phi + damping I)^-1 phi_j (1 - p_j), the mean over the query, with phi the
    gradients of the log-odds of the right class over the square root of their number."""
    problem = ask(NETWORK, n_classes=3)
    objective, final = problem.trajectory.objective, problem.trajectory.final

    def odds(samples):
        flats = final[None].clone().requires_grad_()
        found = objective.outputs(flats, samples.inputs)[0].log_softmax(1)
        own = found.gather(1, samples.targets[:, None])[:, 0]
        each = own - torch.log1p(-own.exp())
        phi = [torch.autograd.grad(x, flats, retain_graph=True)[0][0] for x in each]
        return torch.stack(phi).double() / len(final) ** 0.5, own.exp().detach().double()

    (train, probability), (query, _) = odds(problem.train), odds(problem.validation)
    kernel = train.T @ train + 0.1 * torch.eye(len(final))
    expected = (query @ torch.linalg.solve(kernel, train.T)).mean(0) * (1 - probability)
    method = Dattri("TRAK", 0.1, {"proj_type": "identity", "proj_dim": len(final)})
    np.testing.assert_allclose(values(method, problem), expected, rtol=1e-2, atol=1e-4)


def test_dvemb_of_one_step_is_sgd_influence(ask):
    """With a single step nothing is carried back: rate / n <grad l_j, u>."""
    problem = ask(replace(NETWORK, epochs=1, batch_size=60))
    run = problem.trajectory
    query = query_gradient(run.objective, run.final, problem.validation)
    expected = sgd_influence(run, query).double().numpy()
    np.testing.assert_allclose(values(Dattri("DVEmb"), problem), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    "method",
    [Dattri("DVEmb"), Dattri("EKFAC", 0.1), Dattri("Arnoldi", 0.1), Dattri("TRAK", 1e-3)],
)
def test_values_have_the_sign_of_the_truth(method, ask):
    """On a convex problem they follow the true leave-one-out."""
    problem = ask(LOGISTIC)
    if method.attributor in ("TRAK", "Arnoldi"):
        method = replace(method, options={"proj_dim": 16})
    truth = leave_one_out(problem.trajectory, problem.validation).numpy()
    assert np.corrcoef(values(method, problem), truth)[0, 1] > 0.5


def test_values_that_are_not_finite_are_an_error(ask):
    """Arnoldi without damping gives NaN on a network (dattri's issue 184): it says what to do."""
    with pytest.raises(FloatingPointError, match=r"Arnoldi gives 60 of 60 .* raise the damping"):
        values(Dattri("Arnoldi", 0.0, {"proj_dim": 40}), ask(NETWORK))


def test_matrices_of_many_parameters_are_refused(ask):
    """38 parameters where 30 are allowed; a projection needs no such matrix."""
    problem = ask(NETWORK)
    for attributor in ("DVEmb", "Explicit"):
        with pytest.raises(Unsupported, match="38 parameters: a matrix is formed for 30"):
            values(Dattri(attributor, 0.1, largest=30), problem)
    assert np.isfinite(values(Dattri("DVEmb", options={"proj_dim": 16}, largest=30), problem)).all()


def test_dvemb_wants_plain_sgd(ask):
    """Its recursion is that of SGD without momentum."""
    problem = ask(NETWORK)
    run = replace(problem.trajectory, optimiser=Momentum(0.9))
    moved = replace(problem, model=replace(problem.model, trajectory=run))
    with pytest.raises(Unsupported, match="plain SGD"):
        values(Dattri("DVEmb"), moved)

import pytest
import torch

from bench.models.optimiser import (
    Adam,
    After,
    Before,
    Decoupled,
    Momentum,
    Optimiser,
    Plain,
    pull_by_autograd,
)

PAIRS = [
    (Plain(), torch.optim.SGD, {}),
    (Momentum(0.7), torch.optim.SGD, {"momentum": 0.7}),
    (Momentum(0.7, nesterov=True), torch.optim.SGD, {"momentum": 0.7, "nesterov": True}),
    (Adam(0.8, 0.95, 1e-6), torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-6}),
    (Decoupled(Adam(), 0.3), torch.optim.AdamW, {"weight_decay": 0.3}),
]


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("optimiser", "peer", "options"), PAIRS)
def test_updates_are_those_of_torch(optimiser: Optimiser, peer, options):
    """Ten steps of three runs at once with changing rates, each run by torch's own optimiser."""
    theta, gradients = random(3, 5), random(10, 3, 5)
    gradients[:, :, 0] = 0
    state = torch.zeros(3, optimiser.slots, 5, dtype=torch.float64)
    leaves = [row.clone().requires_grad_() for row in theta]
    peers = [peer([leaf], lr=1.0, **options) for leaf in leaves]
    for t in range(10):
        rate = 0.1 / (1 + t)
        theta, state = optimiser.update(Before(theta, state, gradients[t], rate, t))
        for leaf, gradient, step in zip(leaves, gradients[t], peers, strict=True):
            leaf.grad = gradient
            step.param_groups[0]["lr"] = rate
            step.step()
        torch.testing.assert_close(theta, torch.stack(leaves).detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "optimiser", [pair[0] for pair in PAIRS] + [Decoupled(Momentum(0.6, nesterov=True), 0.2)]
)
def test_pulling_back_is_the_vector_jacobian_product(optimiser: Optimiser):
    """Closed forms and autograd agree with the Jacobian formed in full, for three adjoints."""
    slots = optimiser.slots
    before = Before(random(1, 4), random(1, slots, 4), random(1, 4), 0.3, 2)
    if slots == 2:
        before.state[:, 1].abs_()
    after = After(random(3, 4), random(3, slots, 4))
    pulled = optimiser.pull(before, after)
    for mine, generic in zip(
        pulled, pull_by_autograd(optimiser.update, before, after), strict=True
    ):
        torch.testing.assert_close(mine, generic)

    def flat_update(theta, state, gradient):
        found = optimiser.update(Before(theta, state, gradient, before.rate, before.t))
        return torch.cat([found.theta.flatten(), found.state.flatten()])

    jacobians = torch.autograd.functional.jacobian(flat_update, tuple(before[:3]))
    for q in range(3):
        adjoint = torch.cat([after.theta[q], after.state[q].flatten()])
        for mine, jacobian in zip(pulled, jacobians, strict=True):
            expected = adjoint @ jacobian.flatten(1)
            torch.testing.assert_close(mine[q].flatten(), expected)


def test_a_parameter_that_never_had_a_gradient_has_finite_adjoints():
    """Adam divides 0 by 0 there; what it pulls back is finite and theta's part is whole."""
    zeros = torch.zeros(1, 2, 3)
    before = Before(torch.ones(1, 3), zeros, torch.zeros(1, 3), 0.1, 0)
    pulled = Adam().pull(before, After(torch.ones(1, 3), torch.ones(1, 2, 3)))
    assert all(torch.isfinite(part).all() for part in pulled)
    assert torch.equal(pulled.theta, torch.ones(1, 3))


def test_wrong_numbers_are_refused():
    """A value outside its range is named."""
    with pytest.raises(ValueError, match="momentum=1.0: wanted from 0 to below 1"):
        Momentum(1.0)
    with pytest.raises(ValueError, match="beta2=1"):
        Adam(beta2=1)
    with pytest.raises(ValueError, match="eps=0: wanted more than 0"):
        Adam(eps=0)

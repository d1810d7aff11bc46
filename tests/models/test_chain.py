import pytest
import torch
from torch import nn

from bench.models.chain import Chain
from bench.models.losses import bends, row_losses, slopes
from bench.models.network import CNN, MLP
from bench.models.smoothing import with_smoothed_kinks
from bench.models.stack import flatten, outputs

ACTIVATIONS = ["relu", "gelu", "softplus", "tanh"]


def targets_of(n_outputs, *shape):
    """Classes, or numbers for a regression (n_outputs 0)."""
    if not n_outputs:
        return torch.randn(*shape, dtype=torch.float64)
    return torch.randint(max(n_outputs, 2), shape)


@pytest.mark.parametrize("n_outputs", [0, 1, 3])
def test_derivatives_of_the_losses(n_outputs):
    """First and second derivatives against autograd."""
    found = torch.randn(2, 5, max(n_outputs, 1), dtype=torch.float64, requires_grad=True)
    targets = targets_of(n_outputs, 2, 5)
    total = row_losses(found, targets).sum()
    (first,) = torch.autograd.grad(total, found)
    turned = found.detach().transpose(1, 2)
    torch.testing.assert_close(slopes(turned, targets), first.transpose(1, 2))
    full = torch.autograd.functional.hessian(lambda z: row_losses(z, targets).sum(), found)
    second = bends(turned, targets)
    for i in range(2):
        for j in range(5):
            torch.testing.assert_close(second[i, :, :, j], full[i, j, :, i, j, :])


@pytest.mark.parametrize("n_outputs", [0, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(), (5,), (5, 1), (4, 3)])
def test_gradients_of_groups(widths, activation, n_outputs):
    """Two groups of three models, weights for each row of each, against autograd."""
    module = MLP(widths, activation).build(torch.Size([6]), max(n_outputs, 1)).double()
    chain, p = Chain.of(module), len(flatten(module))
    flats = torch.randn(2, 3, p, dtype=torch.float64, requires_grad=True)
    inputs, targets = torch.randn(2, 7, 6, dtype=torch.float64), targets_of(n_outputs, 2, 7)
    weights = torch.rand(2, 3, 7, dtype=torch.float64)
    total = sum(
        (row_losses(outputs(module, flats[g], inputs[g]), targets[g]) * weights[g]).sum()
        for g in range(2)
    )
    (expected,) = torch.autograd.grad(total, flats)
    found = chain.gradients(flats.detach(), inputs.transpose(1, 2), targets, weights)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n_outputs", [0, 1, 3])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "smoothed"])
@pytest.mark.parametrize("widths", [(), (5,), (4, 3)])
def test_hessian_products(widths, activation, n_outputs):
    """Rows' products, gradients and Hessian products of four models against autograd."""
    module = MLP(widths, "relu" if activation == "smoothed" else activation)
    module = module.build(torch.Size([6]), max(n_outputs, 1)).double()
    if activation == "smoothed":
        module = with_smoothed_kinks(module, 4.0)
    chain = Chain.of(module)
    flats = torch.randn(4, len(flatten(module)), dtype=torch.float64, requires_grad=True)
    inputs, targets = torch.randn(4, 7, 6, dtype=torch.float64), targets_of(n_outputs, 4, 7)
    weights = torch.rand(4, 7, dtype=torch.float64).requires_grad_()
    losses = torch.stack(
        [row_losses(outputs(module, flats[i : i + 1], inputs[i])[0], targets[i]) for i in range(4)]
    )
    (gradients,) = torch.autograd.grad((losses * weights).sum(), flats, create_graph=True)
    directions = torch.randn_like(flats.detach())
    products, curved = torch.autograd.grad((gradients * directions).sum(), (weights, flats))
    rows_last = inputs.transpose(1, 2)
    tape = chain.tape(flats.detach(), rows_last, targets, weights.detach())
    torch.testing.assert_close(tape.gradients(), gradients.detach())
    found = tape.product(directions)
    torch.testing.assert_close(found[0], products)
    torch.testing.assert_close(found[1], curved)
    for i, one in enumerate(tape.split(1)):
        both = one.expand(2).product(directions[i].expand(2, -1))
        for k, expected in enumerate((products, curved)):
            torch.testing.assert_close(both[k], expected[i].expand(2, -1))


def test_what_is_no_chain():
    """Other layers, a missing bias or two linear layers in a row are left to autograd."""
    assert Chain.of(MLP((3,)).build(torch.Size([4]), 2)) is not None
    for module in (
        CNN((2,), 3).build(torch.Size([1, 4, 4]), 2),
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2, bias=False)),
        nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.GELU("tanh"), nn.Linear(2, 2)),
    ):
        assert Chain.of(module) is None

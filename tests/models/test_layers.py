import pytest
import torch
from torch import nn
from torch.func import functional_call

from bench.models.convolutional import ResNet
from bench.models.layers import Pass, layers_of, picked, pooled
from bench.models.losses import row_losses
from bench.models.network import CNN, MLP
from bench.models.paper_networks import FiveByFive, Pairs
from bench.models.smoothing import with_smoothed_kinks
from bench.models.stack import flatten, unflatten


def normed():
    """Batch norm of both kinds, statistics of their own, an odd picture and a stride."""
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.GELU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2, dilation=1), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5),
        nn.BatchNorm1d(5), nn.Softplus(), nn.Linear(5, 3),
    )  # fmt: skip
    for layer in module:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    return module.eval(), (2, 11, 12), 3


def paper(architecture, shape, n_outputs):
    return architecture.build(torch.Size(shape), n_outputs).eval(), shape, n_outputs


NETS = {
    "normed": normed,
    "mnist": lambda: paper(FiveByFive((3, 4)), (1, 17, 16), 10),
    "cifar": lambda: paper(Pairs((2, 3)), (3, 8, 8), 4),
    "cnn, one logit": lambda: paper(CNN((2, 3), 4), (1, 6, 6), 1),
    "numbers": lambda: paper(CNN((2,), 4), (1, 4, 4), 1),
    "mlp": lambda: paper(MLP((4, 3), "gelu"), (2, 3), 2),
    "linear": lambda: paper(MLP(), (5,), 3),
}


@pytest.mark.parametrize("smoothed", [False, True])
@pytest.mark.parametrize("net", NETS)
def test_products_of_a_sequence(net, smoothed):
    """Rows' products, gradient and Hessian product against autograd, rows weighted."""
    torch.manual_seed(0)
    module, shape, n_outputs = NETS[net]()
    module = module.double()
    if smoothed:
        module = with_smoothed_kinks(module, 3.0)
    flat = (flatten(module) + 0.1 * torch.randn(len(flatten(module)))).requires_grad_()
    inputs, shares = torch.randn(6, *shape).double(), torch.rand(6).double().requires_grad_()
    targets = torch.randint(max(n_outputs, 2), (6,))
    if net == "numbers":
        targets = torch.randn(6).double()
    found = functional_call(module, unflatten(module, flat), (inputs,))
    losses = row_losses(found[None], targets)[0]
    (gradient,) = torch.autograd.grad(losses @ shares, flat, create_graph=True)
    direction = torch.randn_like(flat.detach())
    products, curved = torch.autograd.grad(gradient @ direction, (shares, flat))
    own = list(unflatten(module, flat.detach()).values())
    passed = Pass.of(layers_of(module), own, inputs, targets, shares.detach())
    torch.testing.assert_close(passed.gradient(), gradient.detach())
    moved = list(unflatten(module, direction).values())
    torch.testing.assert_close(passed.pushed(moved)[0], products)
    ours = passed.product(moved)
    torch.testing.assert_close(ours[0], products)
    torch.testing.assert_close(ours[1], curved)


@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (2, 2)])
def test_what_a_pooling_picks(shape):
    """The values at the places of the maxima, ties among them, sides odd or even."""
    x = torch.randint(-2, 3, (3, 2, *shape)).float().relu()
    x = x.to(memory_format=torch.channels_last)
    maxima, places = pooled(x)
    other = torch.randn_like(x)
    assert torch.equal(picked(x, places), maxima)
    flat = other.flatten(2).gather(2, places.flatten(2))
    assert torch.equal(picked(other, places), flat.view_as(maxima))


def test_what_is_left_to_autograd():
    """Residual sums, other poolings, groups and networks in train mode aren't known here."""
    conv = nn.Conv2d(2, 2, 3)
    assert layers_of(nn.Sequential(conv).eval()) is not None
    for module in (
        ResNet(1, (2,)).build(torch.Size([1, 4, 4]), 2),
        nn.Sequential(conv, nn.MaxPool2d(3)),
        nn.Sequential(conv, nn.MaxPool2d(2, ceil_mode=True)),
        nn.Sequential(nn.Conv2d(2, 2, 3, groups=2)),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding="same")),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
        nn.Sequential(nn.Conv2d(2, 2, 3, bias=False)),
        nn.Sequential(nn.BatchNorm2d(2, affine=False)),
        nn.Sequential(conv, nn.Sigmoid()),
        nn.Sequential(conv, nn.Tanh(), conv),
        nn.Sequential(conv, nn.Linear(2, 2)),
        nn.Sequential(nn.Flatten(), conv, nn.Linear(2, 2)),
        nn.Sequential(conv, nn.Flatten(2), nn.Linear(4, 2)),
        nn.Sequential(type("Twice", (nn.Conv2d,), {})(2, 2, 3)),
        nn.Sequential(type("Twice", (nn.MaxPool2d,), {})(2)),
        type("Twice", (nn.Sequential,), {})(conv),
        conv,
    ):
        assert layers_of(module.eval()) is None
    assert layers_of(nn.Sequential(conv).train()) is None

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call

from bench.models.convolutional import VGG
from bench.models.network import CNN, MLP, with_parameters
from bench.models.stack import ROWS, flatten, outputs, stackable, unflatten


@pytest.mark.parametrize("activation", ["relu", "gelu", "softplus", "tanh"])
@pytest.mark.parametrize("widths", [(), (5,), (5, 4)])
def test_a_stack_of_networks_is_the_networks_one_by_one(widths, activation):
    """The batched product of each layer gives what every network gives alone."""
    modules = [MLP(widths, activation).build(torch.Size([2, 3]), 2).double() for _ in range(3)]
    inputs = torch.randn(7, 2, 3, dtype=torch.float64)
    stacked = outputs(modules[0], torch.stack([flatten(m) for m in modules]), inputs)
    alone = torch.stack([module(inputs) for module in modules])
    assert stackable(modules[0])
    torch.testing.assert_close(stacked, alone, rtol=0, atol=1e-14)


def test_convolutions_are_looped_over():
    """A network that isn't a chain of linear layers gives the same by the slower way."""
    modules = [CNN((2,), 3).build(torch.Size([1, 4, 4]), 2) for _ in range(3)]
    inputs = torch.randn(5, 1, 4, 4)
    stacked = outputs(modules[0], torch.stack([flatten(m) for m in modules]), inputs)
    assert not stackable(modules[0])
    assert torch.equal(stacked, torch.stack([module(inputs) for module in modules]))


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
@pytest.mark.parametrize("rows", [0, 1, 3 * ROWS + 5])
def test_without_gradients_networks_pass_some_rows_at_a_time(norm, rows):
    """As all at once, in their own precision, their modules untouched; batch norm that still takes
    the batch's own statistics sees the whole batch."""
    modules = [VGG(((4,), (6,)), 8, norm).build(torch.Size([2, 8, 8]), 3) for _ in range(2)]
    flats, inputs = torch.stack([flatten(m) for m in modules]), torch.randn(rows, 2, 8, 8)
    before = flatten(modules[0])
    for trained in (False, True) if rows > 1 else (False,):
        for module in modules:
            module.train(trained)
        found = outputs(modules[0], flats, inputs)
        with torch.no_grad():
            assert torch.equal(found, outputs(modules[0], flats, inputs)) or trained
            expected = torch.stack([module(inputs) for module in modules])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert not found.requires_grad
    assert torch.equal(flatten(modules[0]), before)
    modules[0].eval()
    assert outputs(modules[0], flats.double(), inputs.double()).dtype == torch.float64


def test_gradients_pass_through_convolutions():
    """By the parameters, by the inputs, and by torch.func."""
    module = CNN((2,), 3).build(torch.Size([1, 4, 4]), 2).eval()
    flat, inputs = flatten(module), torch.randn(5, 1, 4, 4)
    (expected,) = torch.autograd.grad(module(inputs.requires_grad_()).sum(), inputs)
    (found,) = torch.autograd.grad(outputs(module, flat[None], inputs).sum(), inputs)
    assert torch.equal(found, expected)
    by_flat = torch.func.grad(lambda f: outputs(module, f[None], inputs.detach()).square().sum())
    leaf = flat.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(outputs(module, leaf[None], inputs).square().sum(), leaf)
    torch.testing.assert_close(by_flat(flat), wanted)


def test_unflatten_undoes_flatten():
    """The views bear the parameters' names, shapes and numbers."""
    module = MLP((4,)).build(torch.Size([3]), 2)
    views = unflatten(module, flatten(module))
    assert all(torch.equal(views[name], p) for name, p in module.named_parameters())
    inputs = torch.randn(2, 3)
    assert torch.equal(functional_call(module, views, (inputs,)), module(inputs))
    copied = with_parameters(module, flatten(module) + 1)
    assert torch.equal(flatten(copied), flatten(module) + 1)
    assert not copied.training


def plain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), *layers, nn.Flatten(), nn.LazyLinear(2))


@pytest.mark.parametrize("what", ["strided", "nan", "own batch", "training below", "hook", "dual"])
def test_what_the_quick_way_would_get_wrong_goes_the_other(what):
    """Parameters that don't lie side by side, NaN, rows that depend on each other, onlookers."""
    norm = nn.BatchNorm2d(2, track_running_stats=what != "own batch")
    module = plain(norm) if what in ("own batch", "training below") else plain(nn.MaxPool2d(2))
    inputs = torch.randn(2 * ROWS + 2, 1, 6, 6)
    module(inputs)
    module.eval()
    flats = torch.stack([flatten(module), 2 * flatten(module)])
    if what == "strided":
        flats = torch.stack(list(flats), 1).T
        assert not flats.is_contiguous()
    if what == "nan":
        inputs[0, 0, 0, 0] = torch.nan
    norm.train(what == "training below")
    seen = []
    if what == "hook":
        module.register_forward_hook(lambda *_: seen.append(1))
    each = [unflatten(module, flat) for flat in flats]
    with torch.no_grad():
        expected = torch.stack([functional_call(module, own, (inputs,)) for own in each])
    seen.clear()
    if what == "dual":
        with forward_ad.dual_level():
            moved = forward_ad.make_dual(flats, torch.ones_like(flats))
            assert forward_ad.unpack_dual(outputs(module, moved, inputs)).tangent is not None
    found = outputs(module, flats, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert found.isnan().any() == (what == "nan")
    assert bool(seen) == (what == "hook")

import pytest
import torch
from torch.func import functional_call

from bench.models.network import CNN, MLP, with_parameters
from bench.models.stack import flatten, outputs, stackable, unflatten


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

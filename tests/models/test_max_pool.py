"""Max pooling with torch's bits."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from bench.models.max_pool import pooled, quick_pooling, spread


def images(kind: str, n: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    drawn = torch.randn(n, 4, 9, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return {
        "drawn": drawn,
        "ties": drawn.round(),
        "all equal": torch.zeros_like(drawn),
        "nan": drawn.where(drawn < 1, torch.nan),
        "channels last": drawn.contiguous(memory_format=torch.channels_last),
        "a view": drawn.transpose(2, 3),
        "one channel": drawn[:, :1],
        "none": drawn[:0],
    }[kind]


KINDS = ("drawn", "ties", "all equal", "nan", "channels last", "a view", "one channel", "none")


@pytest.mark.parametrize("kind", KINDS)
def test_maxima_and_places_are_those_of_torch(kind: str):
    """Of equal ones the first, whatever the layout, which stays."""
    x = images(kind)
    expected, places = functional.max_pool2d(x, 2, return_indices=True)
    found, at = pooled(x)
    assert torch.equal(found.nan_to_num(99), expected.nan_to_num(99))
    assert torch.equal(at, places)
    assert found.stride() == expected.stride()
    delta = torch.rand(found.shape)
    back = torch.zeros(x.shape).flatten(2).scatter(2, places.flatten(2), delta.flatten(2))
    assert torch.equal(spread(delta, x, at), back.view(x.shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d((2, 2), (2, 2))])
def test_first_and_second_derivatives_have_the_same_bits(kind: str, pool: nn.Module):
    """Through a smooth function, so that the second is not 0."""

    def derivatives() -> tuple[torch.Tensor, torch.Tensor]:
        x = images(kind).nan_to_num(99).requires_grad_()
        (first,) = torch.autograd.grad(pool(x).sin().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return first, second

    expected = derivatives()
    with quick_pooling() as block:
        found = derivatives()
    assert block.met == 1
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert found[1].abs().sum() > 0 or kind in ("all equal", "none")


def test_gradients_are_those_of_differences():
    """Autograd's check, twice differentiated."""
    x = images("drawn", 1, torch.float64).requires_grad_()
    with quick_pooling():
        assert torch.autograd.gradcheck(nn.MaxPool2d(2), x)
        assert torch.autograd.gradgradcheck(nn.MaxPool2d(2), x)


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d((2, 1)),
    ],
)
def test_other_windows_are_torchs(pool: nn.Module):
    """Nothing but 2x2 windows side by side is taken over."""
    x = images("drawn")
    with quick_pooling():
        found = pool(x)
    assert torch.equal(found, pool(x))


def test_rows_of_torch_func_are_torchs():
    """A gradient a row, as the row-wise methods take it."""
    module = nn.Sequential(nn.Conv2d(4, 4, 2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 1))
    own = {name: p.detach() for name, p in module.named_parameters()}

    def loss(parameters: dict, row: torch.Tensor) -> torch.Tensor:
        return functional_call(module, parameters, (row[None],)).sin().sum()

    expected = vmap(grad(loss), (None, 0))(own, images("drawn"))
    with quick_pooling():
        found = vmap(grad(loss), (None, 0))(own, images("drawn"))
    for name in own:
        torch.testing.assert_close(found[name], expected[name])


def test_what_isnt_wrapped_goes_torchs_way_too():
    """A gradient by parameters of which the pooled images are none; images by their keyword."""
    module = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3))
    weight, x = module[2].weight.detach(), images("drawn")

    def loss(own: torch.Tensor) -> torch.Tensor:
        return functional_call(module, {"2.weight": own}, (x,)).square().sum()

    with quick_pooling():
        found = grad(loss)(weight)
        torch.max_pool2d(input=x.requires_grad_(), kernel_size=2).sum().backward()
    torch.testing.assert_close(found, grad(loss)(weight))
    assert x.grad is not None

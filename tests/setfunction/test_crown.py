"""Linear bounds of networks against all sets of the features that a box leaves free."""

import pytest
import torch
from torch import nn

from bench.setfunction.chain import Chain, Pool, read_chain
from bench.setfunction.crown import (
    SLOPES,
    Interval,
    bounds_by_size,
    by_intervals,
    pool_planes,
    relu_planes,
)


def network(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def convolutional(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 2 * 2, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    ).eval()


def all_masks(p: int) -> torch.Tensor:
    return (torch.arange(2**p)[:, None] >> torch.arange(p)) & 1 == 1


def check_bounds(chain: Chain, base: torch.Tensor, effects: torch.Tensor) -> float:
    """Every set's output lies within the bounds of its size; the largest gap."""
    masks = all_masks(len(effects))
    found = bounds_by_size(chain, base, effects)
    size = masks.sum(1)
    gap = 0.0
    for b, one in enumerate(base):
        outputs = chain.behind(one + masks.double() @ effects)
        for j in range(len(effects) + 1):
            here = outputs[size == j]
            assert (found.low[b, :, j] <= here.amin(0) + 1e-9).all()
            assert (found.high[b, :, j] >= here.amax(0) - 1e-9).all()
            gap = max(gap, float((found.high[b, :, j] - here.amax(0)).max()))
    return gap


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("widths", [(6, 8, 2), (6, 8, 8, 3), (6, 8, 7, 6, 2)])
def test_every_output_lies_within_the_bounds_of_its_size(widths: tuple[int, ...], seed: int):
    """Soundness: over all 2^f sets of random boxes of random networks, at every size."""
    generator = torch.Generator().manual_seed(seed)
    chain = read_chain(network(widths, seed), widths[:1])
    assert isinstance(chain, Chain)
    hidden = widths[1]
    base = torch.randn(5, hidden, generator=generator, dtype=torch.float64)
    effects = torch.randn(6, hidden, generator=generator, dtype=torch.float64)
    check_bounds(chain, base, effects)


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_convolutions_and_pooling(seed: int):
    """The same with strides, padding, batch norm, overlapping max-pooling and three classes."""
    chain = read_chain(convolutional(seed), (2, 5, 5))
    assert isinstance(chain, Chain)
    changes = torch.randn(7, 50, generator=torch.Generator().manual_seed(seed)).double()
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(seed + 99)).double()
    effects = chain.first.linear(changes)
    check_bounds(chain, chain.first.linear(x) + chain.first.bias, effects)


def test_bounds_are_exact_where_no_relu_is_undecided():
    """Far from all kinks the network is linear, so every size's bound is attained."""
    chain = read_chain(network((4, 6, 2), 0), (4,))
    assert isinstance(chain, Chain)
    base = 100.0 + torch.rand(2, 6, dtype=torch.float64)
    effects = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert check_bounds(chain, base, effects) < 1e-9


def test_no_free_feature_leaves_the_value():
    """A box of one set is bounded by what the network says there."""
    chain = read_chain(network((3, 6, 5, 4, 2), 0), (3,))
    assert isinstance(chain, Chain)
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = bounds_by_size(chain, base, torch.zeros(0, 6, dtype=torch.float64))
    wanted = chain.behind(base)
    torch.testing.assert_close(found.low[..., 0], wanted)
    torch.testing.assert_close(found.high[..., 0], wanted)


def test_more_slopes_are_never_worse():
    """The best of the slopes counts."""
    chain = read_chain(network((5, 9, 2), 3), (5,))
    assert isinstance(chain, Chain)
    base = torch.randn(4, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    effects = torch.randn(5, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    best = bounds_by_size(chain, base, effects)
    for slope in SLOPES:
        one = bounds_by_size(chain, base, effects, [slope])
        assert (best.high <= one.high + 1e-12).all()
        assert (best.low >= one.low - 1e-12).all()


def test_lines_lie_around_the_relu():
    """Above and below it, at points all over intervals of every sign."""
    low = torch.tensor([[-3.0, -1.0, -2.0, 0.0, 1.0, -2.0]], dtype=torch.float64)
    high = torch.tensor([[-1.0, 3.0, 0.5, 2.0, 2.0, 0.0]], dtype=torch.float64)
    found = relu_planes(Interval(low, high), SLOPES)
    for share in torch.linspace(0, 1, 21, dtype=torch.float64):
        x = low + share * (high - low)
        assert (found.above * x + found.offset >= x.clamp(min=0) - 1e-12).all()
        assert (found.below * x[:, None] <= x.clamp(min=0)[:, None] + 1e-12).all()


def test_planes_lie_around_the_maximum():
    """Above and below it, at random points of random boxes."""
    generator = torch.Generator().manual_seed(0)
    pool = Pool(torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5]]), 6)
    ends = torch.randn(2, 50, 6, generator=generator, dtype=torch.float64)
    low, high = ends.amin(0), ends.amax(0)
    found = pool_planes(pool, Interval(low, high))
    for _ in range(50):
        x = low + torch.rand(50, 6, generator=generator, dtype=torch.float64) * (high - low)
        largest = pool.windows(x).amax(-1)
        assert ((found.above * pool.windows(x)).sum(-1) + found.offset >= largest - 1e-12).all()
        assert ((found.below[:, 0] * pool.windows(x)).sum(-1) <= largest + 1e-12).all()
        inside = by_intervals(pool, Interval(low, high))
        assert (inside.low <= largest).all()
        assert (largest <= inside.high).all()


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (network((4, 5, 3), 0), (4,)),
        (convolutional(1), (2, 5, 5)),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), (4,)),
        (nn.Sequential(network((4, 5, 3), 0), nn.Sequential(nn.ReLU(), nn.Linear(3, 2))), (4,)),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1)), (4,)),
        (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, bias=False),
                nn.ReLU(),
                nn.Conv2d(4, 4, 2, stride=2, groups=2),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(4, 2),
            ),
            (1, 6, 6),
        ),
    ],
)
def test_a_chain_answers_as_its_module(module: nn.Module, shape: tuple[int, ...]):
    """Folded norms, joined maps and convolutions over flat vectors say the same."""
    module = module.eval()
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    chain = read_chain(module, shape)
    assert isinstance(chain, Chain)
    with torch.no_grad():
        torch.testing.assert_close(chain(x.flatten(1).double()).float(), module(x))


def test_transposed_is_the_adjoint():
    """rows (A x) = (rows A) x, with strides, padding, dilation and groups."""
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.Conv2d(4, 3, 2, dilation=2)
    )
    chain = read_chain(module.eval(), (2, 8, 7))
    assert isinstance(chain, Chain)
    generator = torch.Generator().manual_seed(0)
    for layer, d in ((chain.layers[0], 2 * 8 * 7), (chain.layers[2], 4 * 4 * 4)):
        assert not isinstance(layer, Pool)
        x = torch.randn(5, d, generator=generator, dtype=torch.float64)
        forward = layer.linear(x)
        rows = torch.randn(5, forward.shape[1], generator=generator, dtype=torch.float64)
        torch.testing.assert_close((rows * forward).sum(1), (layer.transposed(rows) * x).sum(1))
        eye = torch.eye(d, dtype=torch.float64)
        torch.testing.assert_close(layer.absolute(eye), layer.linear(eye).abs())
        torch.testing.assert_close(
            layer.absolute_transposed(rows), rows @ layer.linear(eye).abs().t()
        )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "no nn.Sequential"),
        (nn.Linear(3, 2), "no nn.Sequential"),
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)), "Tanh"),
        (nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Linear(2, 2)).train(), "Dropout"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "no linear map"),
    ],
)
def test_other_modules_have_no_chain_and_say_why(module: nn.Module | None, said: str):
    """Nothing is bounded that isn't understood."""
    found = read_chain(module, (3,))
    assert isinstance(found, str)
    assert said in found

"""Tables by two small ones, against a direct call for every set."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.clock import counted
from bench.models.network import CNN, MLP, Network, initial
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.split_table import find_split
from bench.setfunction.table import tabulate
from bench.tasks.attribution import AttributionProblem, predicted


def blocks(channels: int, height: int, width: int, side: int) -> Partition:
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    membership = rows[:, None] * (int(columns[-1]) + 1) + columns
    names = tuple(str(i) for i in range(int(membership.max()) + 1))
    return Partition(membership.expand(channels, -1, -1).contiguous(), names)


def problem(
    net: nn.Module, partition: Partition, n_classes: int, g: str = "probability", draws: int = 1
) -> AttributionProblem:
    rng = np.random.default_rng(0)
    shape = partition.membership.shape
    inputs = torch.from_numpy(rng.normal(size=(2, *shape))).float()
    reference = Reference(torch.from_numpy(rng.normal(size=(1, draws, *shape))).float())
    model = Network(net.eval(), n_classes)
    return AttributionProblem(model, inputs, predicted(model, inputs), partition, reference, g)


def check(made: AttributionProblem) -> None:
    """The shortcut is taken, and equals direct calls up to float32's rounding."""
    assert find_split(made.model.module, made.partition) is not None
    np.testing.assert_allclose(made.table(), tabulate(made.value, made.p), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p", [13, 14])
@pytest.mark.parametrize("widths", [(), (9,), (8, 7)])
def test_linear_layers(p: int, widths: tuple[int, ...]):
    """Features of one position and of two, scattered over the input."""
    membership = torch.from_numpy(np.random.default_rng(0).permutation(np.arange(p + 5) % p))
    partition = Partition(membership, tuple(str(i) for i in range(p)))
    net = initial(MLP(widths), torch.Size([p + 5]), 3, rng=np.random.default_rng(1))
    check(problem(net, partition, 3))


@pytest.mark.parametrize(
    ("n_classes", "outputs", "g"),
    [(0, 1, "output"), (2, 1, "probability"), (2, 2, "logit"), (4, 4, "margin")],
)
def test_outcomes_and_draws(n_classes: int, outputs: int, g: str):
    """Every kind of output, averaged over several draws."""
    partition = Partition(torch.arange(13), tuple(str(i) for i in range(13)))
    net = initial(MLP((6,)), torch.Size([13]), outputs, rng=np.random.default_rng(1))
    check(problem(net, partition, n_classes, g, draws=3))


def test_convolutions():
    """The receptive field decides which blocks the two tables know."""
    net = initial(CNN((4, 5), 6), torch.Size([2, 8, 8]), 3, rng=np.random.default_rng(0))
    partition = blocks(2, 8, 8, 2)
    split = find_split(net, partition)
    assert split is not None
    assert (split.lower, split.upper) == (4, 12)
    check(problem(net, partition, 3))


def test_strides_groups_and_uneven_blocks():
    """Other geometries, too: 9 x 6 pixels in blocks of 2, strided and grouped convolutions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(2, 4, (3, 1), padding=(1, 0), stride=(1, 2), groups=2),
            nn.Tanh(),
            nn.MaxPool2d((2, 1), ceil_mode=True),
            nn.Flatten(),
            nn.Linear(4 * 5 * 3, 5),
            nn.Softplus(),
            nn.Linear(5, 3),
        )
    check(problem(net, blocks(2, 9, 6, 2), 3))


def test_where_there_is_none():
    """Few features, fields as wide as the image, or layers that mix positions: direct calls."""
    p = 13
    columns = Partition(torch.arange(p), tuple(str(i) for i in range(p)))
    few = Partition(torch.arange(p) % 4, tuple("abcd"))
    mlp = initial(MLP((4,)), torch.Size([p]), 2, rng=np.random.default_rng(0))
    assert find_split(mlp, columns) is not None
    assert find_split(mlp, few) is None
    assert find_split(None, columns) is None
    assert (
        find_split(nn.Sequential(nn.LayerNorm(p), nn.Flatten(), nn.Linear(p, 2)), columns) is None
    )
    assert find_split(nn.Sequential(nn.Linear(p, 2)), columns) is None
    wide = nn.Sequential(nn.Conv2d(1, 2, 7, padding=3), nn.Flatten(), nn.Linear(2 * 64, 2))
    assert find_split(wide, blocks(1, 8, 8, 2)) is None


@pytest.mark.parametrize(
    ("convolution", "rows", "split"),
    [
        ({"kernel_size": (3, 1), "padding": (2, 0), "dilation": (2, 1)}, 26, True),
        ({"kernel_size": (3, 1), "padding": (3, 0), "dilation": (2, 1)}, 28, True),
        ({"kernel_size": (3, 1), "padding": (2, 0), "padding_mode": "reflect"}, 28, False),
        ({"kernel_size": (3, 1), "padding": (1, 0), "padding_mode": "circular"}, 26, False),
        ({"kernel_size": (3, 1), "padding": (2, 0), "padding_mode": "replicate"}, 28, False),
    ],
)
def test_dilated_and_otherwise_padded_convolutions(convolution: dict, rows: int, split: bool):
    """A dilated field is seen whole; padding that copies pixels is left to direct calls."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 2, **convolution), nn.Tanh(), nn.Flatten(), nn.Linear(2 * rows * 2, 3)
        )
    made = problem(net, blocks(1, 26, 2, 2), 3)
    assert (find_split(made.model.module, made.partition) is not None) == split
    np.testing.assert_allclose(made.table(), tabulate(made.value, made.p), rtol=1e-5, atol=1e-5)


def test_counted_calls_leave_the_shortcut():
    """The engine counts calls by a hook while it times a method: the shortcut stays."""
    partition = Partition(torch.arange(13), tuple(str(i) for i in range(13)))
    net = initial(MLP((8,)), torch.Size([13]), 3, rng=np.random.default_rng(1))
    made = problem(net, partition, 3)
    with counted(made.model.module, made.model.calls):
        check(made)

"""Tables by local answers and two small tables, against direct calls."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench.clock import counted
from bench.models.network import CNN, MLP, Network, initial
from bench.setfunction.local_table import colouring
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.split_table import find_split
from bench.setfunction.table import spot_check, tabulate
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
    """The shortcut is taken, and equals direct calls up to float32's rounding.

    Probabilities near 1 keep the digits of 1 - F, too.
    """
    assert find_split(made.model.module, made.partition) is not None
    found, wanted = made.table(), tabulate(made.direct, made.p)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * scale)
    if made.g == "probability":
        np.testing.assert_allclose(1 - found, 1 - wanted, rtol=2e-5, atol=1e-12)


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
    """The receptive field decides which blocks the two tables know, and how many colours."""
    net = initial(CNN((4, 5), 6), torch.Size([2, 8, 8]), 3, rng=np.random.default_rng(0))
    partition = blocks(2, 8, 8, 2)
    split = find_split(net, partition)
    assert split is not None
    assert (split.lower, split.upper) == (4, 12)
    assert sorted(split.colours.tolist()) == sorted(
        [0, 1, 2, 0, 3, 4, 5, 3, 6, 7, 8, 6, 0, 1, 2, 0]
    )
    check(problem(net, partition, 3))


def test_large_blocks_need_few_forwards():
    """4 x 4 blocks of 7 x 7 pixels: no position sees more than 2 x 2, so 4 colours do."""
    net = initial(CNN((2, 3), 5), torch.Size([1, 28, 28]), 3, rng=np.random.default_rng(0))
    made = problem(net, blocks(1, 28, 28, 7), 3)
    split = find_split(net, made.partition)
    assert split is not None
    assert int(split.colours.max()) + 1 == 4
    numbers, wanted = spot_check(made.direct, 16)
    np.testing.assert_allclose(made.table()[:, numbers], wanted, rtol=1e-6)


def test_no_position_sees_two_features_of_one_colour():
    """A colouring's promise, on random fields."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sees = torch.from_numpy(rng.random((40, 12)) < 0.2)
        colours = colouring(sees)
        for position in sees:
            seen = colours[position].tolist()
            assert len(seen) == len(set(seen))


def random_network(rng: np.random.Generator) -> tuple[nn.Module, Partition, int]:
    """A chain with anything in it that the shortcut takes."""

    def pick(*choices: int) -> int:
        return int(rng.choice(choices))

    def pair(*choices: int) -> tuple[int, int]:
        return pick(*choices), pick(*choices)

    channels, classes = pick(1, 2), pick(2, 3, 5)
    side, across, down = pick(2, 3), 3, 4
    height, width = side * down - pick(0, 1), side * across - pick(0, 1)
    layers: list[nn.Module] = []
    depth, shape = channels, torch.Size([channels, height, width])
    for _ in range(pick(1, 2)):
        out = 2 * depth
        dilation = pick(1, 1, 2)
        layers += [
            nn.Conv2d(
                depth,
                out,
                pair(1, 2, 3),
                stride=pair(1, 1, 2),
                padding=pair(0, 1, 2),
                dilation=dilation,
                groups=pick(1, depth),
                bias=bool(pick(0, 1)),
            ),
            nn.BatchNorm2d(out) if pick(0, 1) else nn.Identity(),
            [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.LeakyReLU()][pick(0, 1, 2, 3)],
            nn.Dropout2d(0.5),
        ]
        depth = out
    layers += [
        [
            nn.MaxPool2d(2, padding=1),
            nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
            nn.AvgPool2d(2, padding=1, ceil_mode=True),
            nn.Identity(),
        ][pick(0, 1, 2, 3)]
    ]
    pool = bool(pick(0, 1))
    layers = [nn.Sequential(*layers), *([nn.AdaptiveAvgPool2d(1)] if pool else []), nn.Flatten()]
    with torch.no_grad():
        flat = nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).shape[1]
    hidden = pick(3, 8, 100)
    layers += [nn.Linear(flat, hidden, bias=bool(pick(0, 1)))]
    if pick(0, 1):
        layers += [nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes)]
    elif pick(0, 1):
        layers += [nn.Tanh(), nn.Linear(hidden, 7), nn.ReLU(), nn.Linear(7, classes), nn.Tanh()]
    else:
        layers += [nn.ReLU(), nn.Linear(hidden, 1 if classes == 2 else classes, bias=False)]
    for layer in nn.Sequential(*layers).modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return nn.Sequential(*layers), blocks(channels, height, width, side), classes


def test_random_networks():
    """Any chain, any padding, stride, dilation and pooling, any g: the tables of direct calls.

    In float64, where rounding hides nothing, and in float32 up to its rounding.
    """
    taken = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net, partition, classes = random_network(rng)
        net.eval()
        if find_split(net, partition) is None:
            continue
        taken += 1
        g = ("probability", "logit", "margin")[seed % 3]
        made = problem(net, partition, classes, g, draws=1 + seed % 2)
        double = replace(
            made,
            model=Network(copy.deepcopy(net).double(), classes),
            inputs=made.inputs.double(),
            reference=Reference(made.reference.draws.double()),
        )
        for one, tolerance in ((made, 1e-5), (double, 1e-12)):
            numbers, wanted = spot_check(one.direct, partition.p)
            np.testing.assert_allclose(
                one.table()[:, numbers],
                wanted,
                rtol=0,
                atol=tolerance * np.abs(wanted).max(),
                err_msg=f"{seed} {net}",
            )
    assert taken > 20


def test_scattered_features():
    """Features of pixels anywhere, here and there of one channel alone, and in any order."""
    net = initial(CNN((3,), 6), torch.Size([2, 8, 8]), 3, rng=np.random.default_rng(0))
    grid = blocks(1, 8, 8, 2).membership[0]
    rng = np.random.default_rng(1)
    renumbered = torch.from_numpy(rng.permutation(16))[grid]
    columns = blocks(1, 8, 8, 4).membership[0] // 2
    for membership in (renumbered.expand(2, -1, -1), torch.stack([renumbered, columns])):
        names = tuple(str(i) for i in range(16))
        made = problem(net, Partition(membership.contiguous(), names), 3)
        if find_split(net, made.partition) is not None:
            numbers, wanted = spot_check(made.direct, 16)
            np.testing.assert_allclose(made.table()[:, numbers], wanted, rtol=1e-6)


def test_labels_and_wide_layers():
    """The label of each set, ties included; layers too wide for many rows at once."""
    partition = Partition(torch.arange(12), tuple(str(i) for i in range(12)))
    net = initial(MLP((700,)), torch.Size([12]), 3, rng=np.random.default_rng(0))
    check(problem(net, partition, 3))
    check(problem(net, partition, 3, "label"))
    with torch.no_grad():
        net[-1].weight.zero_()
        net[-1].bias.zero_()
    check(problem(net, partition, 3, "label"))


def test_saturated_probabilities_keep_their_order():
    """Near 1, where float32 answers 1 to many sets, the table tells them apart."""
    partition = Partition(torch.arange(12), tuple(str(i) for i in range(12)))
    net = initial(MLP((6,)), torch.Size([12]), 4, rng=np.random.default_rng(0))
    with torch.no_grad():
        net[-1].weight.mul_(8)
        net[-1].bias[1] = 20
    made = problem(net, partition, 4)
    check(made)
    table = made.table()[0]
    assert len(np.unique(table.astype(np.float32))) < len(np.unique(table)) / 4


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


def test_layers_in_place_and_used_twice():
    """The model's weights stay as they are, and a layer that comes twice is counted twice."""
    relu = nn.ReLU(inplace=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            relu,
            nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.LeakyReLU(0.1, inplace=True)),
            nn.Linear(5, 6),
            relu,
            nn.Linear(6, 3),
        )
    before = copy.deepcopy(net.state_dict())
    made = problem(net, blocks(1, 8, 8, 2), 3)
    inputs = made.inputs.clone()
    numbers, wanted = spot_check(made.direct, 16)
    np.testing.assert_allclose(made.table()[:, numbers], wanted, rtol=1e-6)
    assert torch.equal(made.inputs, inputs)
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())


def test_partitions_of_each_instance():
    """Each image's own features: each has its own two tables."""
    net = initial(CNN((3,), 6), torch.Size([1, 8, 8]), 3, rng=np.random.default_rng(0))
    grid = blocks(1, 8, 8, 2)
    membership = torch.stack([grid.membership, grid.membership.roll(1, dims=2)])
    own = Partition(membership, grid.names, own=True)
    assert find_split(net, own) is None
    for row in range(2):
        made = problem(net, own.only(row), 3)
        numbers, wanted = spot_check(made.direct, 16)
        np.testing.assert_allclose(made.table()[:, numbers], wanted, rtol=1e-6)


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
    assert find_split(nn.Sequential(nn.Linear(p, 2)), columns) is not None
    training = nn.Sequential(nn.Dropout(), nn.Linear(p, 2))
    assert find_split(training, columns) is None
    assert find_split(training.eval(), columns) is not None
    behind = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Dropout(), nn.Linear(p, 2)).eval()
    assert find_split(behind, columns) is not None
    unaveraged = nn.BatchNorm1d(p, track_running_stats=False).eval()
    assert find_split(nn.Sequential(unaveraged, nn.Linear(p, 2)), columns) is None
    assert find_split(nn.Sequential(nn.Flatten(0), nn.Linear(p, 2)), columns) is None
    images = blocks(1, 8, 8, 2)
    assert find_split(nn.Sequential(nn.Linear(8, 2)), images) is None
    assert find_split(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), images) is None
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

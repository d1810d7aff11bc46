"""Local layers: what each position behind them answers to every set of features that it sees.

A position behind convolutions and pooling sees the few features in its receptive field. The
features are coloured so that no position sees two of one colour; then a colour is deleted or kept
as a whole, and 2^colours inputs hold each position's answer to every set that it can tell apart:
512 instead of 65,536 for a 3x3 window over 4x4 blocks, 2 for a network that begins with a linear
layer.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from bench.setfunction.layers import flattens, layers_of
from bench.setfunction.memory_format import channels_last
from bench.setfunction.partition import Partition

ACTIVATIONS = 2**18
"""Numbers that a layer puts out at once: a megabyte, which stays in the cache."""

LARGEST = 2**26
"""Numbers kept of the local layers' answers to one input: 256 MiB."""

_POINTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Sigmoid,
    nn.Tanh,
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class LocalNetwork:
    """A network as local layers, a linear layer that sums over their positions, and the rest.

    Attributes
    ----------
    local : the layers before the positions are summed.
    weight, bias : of the sum; a global average pool is part of the weight.
    tail : the layers behind it.
    sees : which features each flat position sees.
    widest : the most numbers that a local layer puts out for one input.
    """

    local: nn.Sequential
    weight: Float[Tensor, "hidden d"]
    bias: Float[Tensor, " hidden"]
    tail: tuple[nn.Module, ...]
    sees: Bool[Tensor, "d p"]
    widest: int


@dataclass(frozen=True)
class Window:
    """Positions that see the same features.

    Attributes
    ----------
    features : what they see, ascending.
    positions : which they are.
    inputs : the numbers of the coloured inputs that show all sets of `features`.
    weight : of the linear layer at these positions.
    """

    features: tuple[int, ...]
    positions: Int[Tensor, " w"]
    inputs: Int[Tensor, " patterns"]
    weight: Float[Tensor, "w hidden"]

    @property
    def highest(self) -> int:
        """The highest feature, -1 without any."""
        return self.features[-1] if self.features else -1

    def summed(self, answers: Float[Tensor, "colourings d"]) -> Float[Tensor, "patterns hidden"]:
        """What the positions add to the linear layer, for all sets of `features`."""
        return answers.index_select(0, self.inputs).index_select(1, self.positions) @ self.weight


def read_local(module: nn.Module | None, partition: Partition) -> LocalNetwork | None:
    """The module as such a network, or None where it isn't one."""
    layers = layers_of(module) if module is not None else []
    at = next((i for i, layer in enumerate(layers) if not _is_local(layer)), len(layers))
    local, rest = layers[:at], layers[at:]
    pooled = bool(rest) and type(rest[0]) is nn.AdaptiveAvgPool2d
    if pooled:
        if rest[0].output_size not in (1, (1, 1)):
            return None
        rest = rest[1:]
    if rest and flattens(rest[0]):
        rest = rest[1:]
    elif partition.membership.ndim > 1:
        return None
    if not rest or type(rest[0]) is not nn.Linear:
        return None
    sees, shape, widest = _receptive(local, partition)
    weight = rest[0].weight.detach()
    if pooled:
        area = shape[1:].numel()
        weight = (weight / area).repeat_interleave(area, dim=1)
    if weight.shape[1] != len(sees):
        return None
    bias = weight.new_zeros(len(weight)) if rest[0].bias is None else rest[0].bias.detach()
    return LocalNetwork(nn.Sequential(*local), weight, bias, tuple(rest[1:]), sees, widest)


def colouring(sees: Bool[Tensor, "d p"]) -> Int[Tensor, " p"]:
    """A colour for each feature, no two of one colour seen together; the first that is free."""
    seen = sees.unique(dim=0).float()
    together = (seen.t() @ seen > 0).tolist()
    colours: list[int] = []
    for feature, others in enumerate(together):
        taken = {colour for colour, other in zip(colours, others[:feature], strict=True) if other}
        colours.append(min(set(range(len(taken) + 1)) - taken))
    return torch.tensor(colours)


def windows(network: LocalNetwork, colours: Int[Tensor, " p"]) -> tuple[Window, ...]:
    """The positions by what they see, in the order of the highest feature."""
    patterns, of_position = network.sees.unique(dim=0, return_inverse=True)
    found = []
    for number, pattern in enumerate(patterns):
        features = pattern.nonzero().flatten()
        positions = (of_position == number).nonzero().flatten()
        inputs = subsets(len(features)).long() @ (1 << colours[features])
        weight = network.weight[:, positions].t().contiguous()
        found.append(Window(tuple(features.tolist()), positions, inputs, weight))
    return tuple(sorted(found, key=lambda window: window.features[::-1]))


def answers(
    network: LocalNetwork,
    partition: Partition,
    colours: Int[Tensor, " p"],
    x: Float[Tensor, "*features"],
    r: Float[Tensor, "*features"],
) -> Float[Tensor, "colourings d"]:
    """The local layers' answers to x with every set of colours replaced by r."""
    deleted = partition.positions(subsets(int(colours.max()) + 1)[:, colours])
    rows = max(1, ACTIVATIONS // network.widest)
    points = [torch.where(some, r, x) for some in deleted.split(rows)]
    if x.ndim == 3:
        points = [channels_last(some) for some in points]
    return torch.cat([network.local(some).flatten(1) for some in points])


def subsets(p: int) -> Bool[Tensor, "sets p"]:
    """All 2^p sets in numeric order."""
    return (torch.arange(2**p)[:, None] >> torch.arange(p)) & 1 == 1


def _is_local(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros"
    if type(layer) is nn.MaxPool2d:
        return not layer.return_indices
    if type(layer) in _NORMS:
        return not layer.training and layer.running_mean is not None
    return type(layer) in (nn.AvgPool2d, *_POINTWISE)


def _receptive(
    local: list[nn.Module], partition: Partition
) -> tuple[Bool[Tensor, "d p"], torch.Size, int]:
    """Which features each position behind the local layers sees, their shape, and the widest."""
    masks = partition.positions(torch.eye(partition.p, dtype=torch.bool)).float()
    widest = masks[0].numel()
    for layer in local:
        if isinstance(layer, nn.Conv2d):
            masks = functional.conv2d(
                masks,
                torch.ones_like(layer.weight, dtype=torch.float32),
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
            ).sign()
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            masks = layer(masks).sign()
        widest = max(widest, masks[0].numel())
    return masks.flatten(1).t() > 0, masks.shape[1:], widest

"""Tables of networks by two small ones: before the first linear layer, positions see few features.

That layer sums over positions, so what comes out of it is a sum of one part that no feature from
`upper` on changes and one that no feature below `lower` changes: 2^upper + 2^(p - lower) inputs
are sent through the layers before it instead of 2^p. For plain linear layers a position sees one
feature; for convolutions and pooling its receptive field.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from bench.setfunction.partition import Partition

SMALLEST_UPPER = 11
"""So that 2,048 rows at least are added and sent on at once, and stay in the cache."""

ROWS = 256
"""Inputs sent through convolutions at once."""

_POINTWISE = (nn.ReLU, nn.GELU, nn.Softplus, nn.Tanh, nn.Identity)


@dataclass(frozen=True)
class Split:
    """A network in three parts, and which positions each of the two tables sums over.

    Attributes
    ----------
    local : the layers up to the flattening. linear : the layer that sums. tail : the rest.
    first : the flat positions before `linear` that belong to the first table.
    lower, upper : the second table knows the features from `lower` on, the first those below
        `upper`.
    """

    local: nn.Sequential
    linear: nn.Linear
    tail: nn.Sequential
    first: Bool[Tensor, " d"]
    lower: int
    upper: int


def find_split(module: nn.Module | None, partition: Partition) -> Split | None:
    """The split that sends fewest inputs through the local layers, or None.

    There is none where the module isn't a chain of local layers, a flattening, a linear layer
    and others, or where it would save less than half.
    """
    parts = _parts(module)
    if parts is None:
        return None
    local, linear, tail = parts
    sees, p = _receptive(local, partition), partition.p
    lowest, highest = sees.int().argmax(1), p - sees.flip(1).int().argmax(1)
    seeing = sees.any(1)
    splits = []
    for upper in range(min(SMALLEST_UPPER, p), p):
        first = ~seeing | (highest <= upper)
        lower = int(lowest[~first].min()) if not first.all() else upper
        splits.append(Split(local, linear, tail, first, min(lower, upper), upper))
    if not splits:
        return None
    best = min(splits, key=lambda split: _inputs(split, p))
    return best if _inputs(best, p) <= 2 ** (p - 1) else None


def preactivations(
    split: Split, partition: Partition, x: Float[Tensor, "*features"], r: Float[Tensor, "*features"]
) -> Iterator[Float[Tensor, "m hidden"]]:
    """What comes out of the linear layer for all 2^p sets of x's features replaced by r's.

    In numeric order, 2^upper sets at a time; the rows are written over by the next ones.
    """
    lower, upper, p = split.lower, split.upper, partition.p
    low = _half(split, partition, x, r, range(upper), split.first) + split.linear.bias
    high = _half(split, partition, x, r, range(lower, p), ~split.first)
    low = low.view(2 ** (upper - lower), 2**lower, -1)
    buffer = torch.empty_like(low)
    for part in high.view(2 ** (p - upper), 2 ** (upper - lower), 1, -1):
        yield torch.add(low, part, out=buffer).flatten(0, 1)


def _half(
    split: Split,
    partition: Partition,
    x: Float[Tensor, "*features"],
    r: Float[Tensor, "*features"],
    features: range,
    positions: Bool[Tensor, " d"],
) -> Float[Tensor, "m hidden"]:
    """The sum over `positions` for all sets of `features`, the others kept."""
    masks = torch.zeros(2 ** len(features), partition.p, dtype=torch.bool)
    numbers = torch.arange(len(masks))
    for bit, feature in enumerate(features):
        masks[:, feature] = (numbers >> bit) & 1 == 1
    weight = split.linear.weight[:, positions].t()
    rows = ROWS if x.ndim == 3 else len(masks)
    return torch.cat(
        [
            split.local(torch.where(partition.positions(some), r, x)).flatten(1)[:, positions]
            @ weight
            for some in masks.split(rows)
        ]
    )


def _parts(module: nn.Module | None) -> tuple[nn.Sequential, nn.Linear, nn.Sequential] | None:
    # Exact types: a subclass may do more than its base says. Hooks are left out, by which calls
    # are counted; one that changes the answer shows when the table is checked.
    layers = list(module) if type(module) is nn.Sequential else []
    at = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Flatten)), len(layers))
    local, rest = layers[:at], layers[at + 1 :]
    if not rest or type(rest[0]) is not nn.Linear or rest[0].bias is None:
        return None
    if layers[at].start_dim != 1 or layers[at].end_dim != -1 or not all(map(_is_local, local)):
        return None
    return nn.Sequential(*local), rest[0], nn.Sequential(*rest[1:])


def _is_local(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros"
    return type(layer) in (nn.MaxPool2d, *_POINTWISE)


def _receptive(local: nn.Sequential, partition: Partition) -> Bool[Tensor, "d p"]:
    """Which features each flat position behind the local layers sees."""
    masks = partition.positions(torch.eye(partition.p, dtype=torch.bool)).float()
    for layer in local:
        if isinstance(layer, nn.Conv2d):
            ones = torch.ones_like(layer.weight, dtype=torch.float32)
            masks = functional.conv2d(
                masks,
                ones,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
            ).sign()
        elif isinstance(layer, nn.MaxPool2d):
            masks = layer(masks)
    return masks.flatten(1).t() > 0


def _inputs(split: Split, p: int) -> int:
    """How many inputs go through the local layers."""
    return (1 << split.upper) + (1 << (p - split.lower))

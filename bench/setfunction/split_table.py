"""Tables of networks by two small ones: what a linear layer sums over sees few features.

What comes out of the layer is a sum of one part that no feature from `upper` on changes and one
that no feature below `lower` changes. Both are tabulated from the local layers' answers, see
`bench.setfunction.local_table`; all 2^p sums are then a broadcast addition, and only the layers
behind it run on 2^p rows, a cacheful at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.setfunction.local_table import (
    LARGEST,
    LocalNetwork,
    Window,
    answers,
    colouring,
    read_local,
    windows,
)
from bench.setfunction.outcome import G
from bench.setfunction.partition import Partition
from bench.setfunction.read_out import read_out

FEWEST = 11
"""Features from which a shortcut pays: 2^11 sets are eight times those that check it."""

CACHE = 2**17
"""Numbers in one layer's rows at once: half a megabyte, so that they stay in the cache."""

PANEL = 2**15
"""Rows whose outcome is computed at once."""


@dataclass(frozen=True)
class Split:
    """A network as two tables and the layers behind them.

    Attributes
    ----------
    network : its layers.
    partition : the features, as one instance has them.
    colours : of the features, for the local layers.
    first, second : the windows whose positions each table sums over.
    lower, upper : the second table knows the features from `lower` on, the first those below
        `upper`.
    rows : how many go through the layers behind at once.
    """

    network: LocalNetwork
    partition: Partition
    colours: Int[Tensor, " p"]
    first: tuple[Window, ...]
    second: tuple[Window, ...]
    lower: int
    upper: int
    rows: int


def find_split(module: nn.Module | None, partition: Partition) -> Split | None:
    """The split into the smallest two tables, or None.

    There is none where there are few features or each instance has its own, where the module
    isn't a row of local layers, a flattening or global average pool, a linear layer and
    others, or where its positions see too much.
    """
    p = partition.p
    network = read_local(module, partition) if p >= FEWEST and not partition.own else None
    if network is None:
        return None
    colours = colouring(network.sees)
    colourings = 2 ** (int(colours.max()) + 1)
    if colourings > 2 ** (p - 1) or colourings * len(network.sees) > LARGEST:
        return None
    found = windows(network, colours)
    uppers = {max(FEWEST, window.highest + 1) for window in found}
    splits = [_at(network, partition, colours, found, upper) for upper in sorted(uppers)]
    best = min(splits, key=lambda split: _size(split, p))
    return best if _size(best, p) <= LARGEST else None


def split_table(
    split: Split,
    x: Float[Tensor, "*features"],
    draws: Float[Tensor, "k *features"],
    target: int,
    n_classes: int,
    g: G,
) -> Float[Tensor, " sets"]:
    """F of all 2^p sets of x's features replaced by draws, as the mean of their outcomes.

    Parameters
    ----------
    target, n_classes, g : see `bench.setfunction.read_out.read_out`.
    """
    read = read_out(split.network.tail, split.network.bias[None].clone(), target, n_classes, g)
    table = torch.zeros(2**split.partition.p, dtype=torch.float64)
    panels = table.split(max(PANEL, split.rows))
    with torch.no_grad():
        for r in draws:
            sums = _sums(split, x, r)
            for panel in panels:
                parts = [read.differences(next(sums)) for _ in range(len(panel) // split.rows)]
                panel += read.outcome(torch.cat(parts, dim=1))
    return table.div_(len(draws))


def _at(
    network: LocalNetwork,
    partition: Partition,
    colours: Int[Tensor, " p"],
    found: tuple[Window, ...],
    upper: int,
) -> Split:
    first = tuple(window for window in found if window.highest < upper)
    second = found[len(first) :]
    lower = min([upper, *(window.features[0] for window in second)])
    widths = [layer.out_features for layer in network.tail if isinstance(layer, nn.Linear)]
    rows = max(1, CACHE // max(len(network.bias), *widths, 1))
    rows = 1 << min(upper, rows.bit_length() - 1)
    return Split(network, partition, colours, first, second, lower, upper, rows)


def _size(split: Split, p: int) -> int:
    """How many numbers the two tables hold."""
    return ((1 << split.upper) + (1 << p - split.lower)) * len(split.network.bias)


def _sums(
    split: Split, x: Float[Tensor, "*features"], r: Float[Tensor, "*features"]
) -> Iterator[Float[Tensor, "m hidden"]]:
    """What comes out of the linear layer for all 2^p sets of x's features replaced by r's.

    In numeric order, `split.rows` sets at a time; the rows are written over by the next ones.
    """
    lower, upper, p = split.lower, split.upper, split.partition.p
    seen = answers(split.network, split.partition, split.colours, x, r)
    hidden = len(split.network.bias)
    low = _summed(split.first, seen, range(upper), hidden) + split.network.bias
    high = _summed(split.second, seen, range(lower, p), hidden)
    # A part is some of the first table's rows: whole runs of those that one of the second's rows
    # goes with, or a piece of one run.
    run = 2**lower
    low = low.view(-1, max(1, split.rows // run), min(split.rows, run), hidden)
    buffer = torch.empty_like(low[0])
    for rest in high.view(2 ** (p - upper), -1, low.shape[1], 1, hidden):
        for number, part in enumerate(low):
            own = rest[number * low.shape[2] // run]
            yield torch.add(part, own, out=buffer).flatten(0, 1)


def _summed(
    found: tuple[Window, ...], seen: Float[Tensor, "colourings d"], features: range, hidden: int
) -> Float[Tensor, "sets hidden"]:
    """The sum over the windows' positions for all sets of `features`."""
    total = seen.new_zeros(1, hidden)
    known = 0
    for window in found:  # ascending in the highest feature: the table only grows
        bits = window.highest + 1 - features.start
        if bits > known:
            total, known = total.repeat(2 ** (bits - known), 1), bits
        seeing = [features.start + bit in window.features for bit in reversed(range(known))]
        part = window.summed(seen).view(*(1 + sees for sees in seeing), hidden)
        total.view(*[2] * known, hidden).add_(part)
    return total.repeat(2 ** (len(features) - known), 1)

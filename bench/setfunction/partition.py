"""Partitions of a model's input into the p features that an explanation speaks of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.data import Data, Encoding, Images, Table

_KINDS = re.compile(r"natural|columns|pixels|blocks (?P<side>[1-9]\d*)")
NATURAL_SIDE = 2
"""Blocks of 2x2 pixels are the natural features of an image."""


@dataclass(frozen=True)
class Partition:
    """Which feature each input position belongs to.

    Attributes
    ----------
    membership : the feature of each position, 0 to p - 1, in the shape of one input.
    names : one a feature.
    """

    membership: Int[Tensor, "*features"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not torch.equal(self.membership.unique(), torch.arange(self.p)):
            raise ValueError(f"each of {self.p} features wants at least one input position")

    @property
    def p(self) -> int:
        """How many features there are."""
        return len(self.names)

    def positions(self, masks: Bool[Tensor, "m p"]) -> Bool[Tensor, "m *features"]:
        """Masks over features as masks over input positions."""
        return masks[:, self.membership.flatten()].view(-1, *self.membership.shape)

    def pooled(self, values: Float[Tensor, "n *features"]) -> Float[np.ndarray, "n p"]:
        """The sum of `values` over the positions of each feature, in float64."""
        sums = torch.zeros(len(values), self.p, dtype=torch.float64)
        flat = values.detach().double().flatten(1)
        return sums.index_add(1, self.membership.flatten(), flat).numpy()


def partition(kind: str, data: Data, encoding: Encoding) -> Partition:
    """The partition of that kind.

    Parameters
    ----------
    kind : `natural` (a table's own groups of columns, each column alone where it has none; an
        image's blocks of 2x2 pixels), `columns` (of a table: one-hot columns of a column
        together), `pixels`, or `blocks 4` (squares of 4x4 pixels, smaller at the far edges).
        The channels of a pixel are one feature.

    Raises
    ------
    ValueError
        where there is no such kind, or not on such data: see `unfit`.
    """
    reason = unfit(kind, data)
    if reason:
        raise ValueError(reason)
    if isinstance(data, Images):
        return _blocks(data.pixels.shape[1:], _side(kind))
    groups = data.groups if kind == "natural" else {}
    return _columns(data, groups, encoding.column_of)


def check_kind(kind: str) -> None:
    """Raise `ValueError` where there is no such kind of partition."""
    if not _KINDS.fullmatch(kind):
        raise ValueError(f"partition {kind!r}: wanted 'natural', 'columns', 'pixels' or 'blocks 2'")


def unfit(kind: str, data: Data) -> str | None:
    """Why data cannot be parted in this way, or None."""
    check_kind(kind)
    of_tables = isinstance(data, Table)
    if kind == "columns" and not of_tables:
        return f"{data.name} holds images: its partition is 'natural', 'pixels' or 'blocks 2'"
    if kind not in ("natural", "columns") and of_tables:
        return f"{data.name} is a table: its partition is 'natural' or 'columns'"
    return None


def _side(kind: str) -> int:
    found = _KINDS.fullmatch(kind)
    if kind == "pixels":
        return 1
    return int(found["side"]) if found and found["side"] else NATURAL_SIDE


def _blocks(shape: tuple[int, ...], side: int) -> Partition:
    channels, height, width = shape
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    across = int(columns[-1]) + 1
    membership = (rows[:, None] * across + columns).expand(channels, -1, -1).contiguous()
    names = [f"{row},{column}" for row in range(int(rows[-1]) + 1) for column in range(across)]
    return Partition(membership, tuple(names))


def _columns(
    data: Table, groups: Mapping[str, tuple[str, ...]], column_of: tuple[int, ...]
) -> Partition:
    group_of = {column: name for name, members in groups.items() for column in members}
    named = [group_of.get(column.name, column.name) for column in data.columns]
    names = tuple(dict.fromkeys(named))
    return Partition(torch.tensor([names.index(named[c]) for c in column_of]), names)

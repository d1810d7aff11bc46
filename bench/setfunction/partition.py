"""Partitions of a model's input into the p features that an explanation speaks of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from bench.data import Data, Encoding, Images, Table
from bench.setfunction.groups import groups_from_file, groups_from_text, membership_from
from bench.setfunction.superpixels import check_superpixels, superpixels

_KINDS = re.compile(
    r"natural|columns|pixels|blocks (?P<side>[1-9]\d*)|superpixels (?P<count>[1-9]\d*)"
    r"|groups .+|file .+"
)
_WANTED = (
    "wanted 'natural', 'columns', 'pixels', 'blocks 2', 'superpixels 16', 'groups a, b | c', "
    "'file groups.json' or 'file map.npy'"
)
NATURAL_SIDE = 2
"""Blocks of 2x2 pixels are the natural features of an image."""


@dataclass(frozen=True)
class Partition:
    """Which feature each input position belongs to.

    Attributes
    ----------
    membership : the feature of each position, 0 to p - 1, in the shape of one input; with a
        first axis over the instances where each has its `own`.
    names : one a feature.
    own : whether each instance is parted in its own way, into p features all the same.
    """

    membership: Int[Tensor, "*features"]
    names: tuple[str, ...]
    own: bool = False

    def __post_init__(self) -> None:
        flat = self._rows
        least, most = int(flat.min()), int(flat.max())
        if least < 0 or most >= self.p or not bool(self.sizes.all()):
            raise ValueError(f"each of {self.p} features wants at least one input position")

    @property
    def p(self) -> int:
        """How many features there are."""
        return len(self.names)

    @property
    def shape(self) -> torch.Size:
        """The shape of one input."""
        return self.membership.shape[1:] if self.own else self.membership.shape

    @property
    def sizes(self) -> Float[np.ndarray, "m p"]:
        """How many positions each feature has; one row for all instances, or each its own."""
        members = self._rows.cpu()
        sums = torch.zeros(len(members), self.p, dtype=torch.float64)
        return sums.scatter_add_(1, members, torch.ones_like(members).double()).numpy()

    @property
    def _rows(self) -> Int[Tensor, "m d"]:
        return self.membership.flatten(1) if self.own else self.membership.flatten()[None]

    def of(self, rows: Int[Tensor, " b"]) -> Int[Tensor, "b *features"]:
        """The membership in each of the instances `rows`."""
        return self.membership[rows] if self.own else self.membership.expand(len(rows), *self.shape)

    def at(self, rows: Int[Tensor, " b"]) -> "Partition":
        """The partition of these instances alone."""
        return Partition(self.membership[rows], self.names, True) if self.own else self

    def only(self, row: int) -> "Partition":
        """The partition of one instance, as one shared by all."""
        return Partition(self.membership[row], self.names) if self.own else self

    def positions(
        self, masks: Shaped[Tensor, "m p"], rows: Int[Tensor, " m"] | None = None
    ) -> Shaped[Tensor, "m *features"]:
        """Masks, or weights, of features as those of input positions.

        Parameters
        ----------
        rows : the instance that each mask is for; not needed where all are parted alike.
        """
        if not self.own:
            return masks[:, self.membership.flatten()].view(-1, *self.shape)
        if rows is None:
            raise ValueError("each instance has its own partition: which one is each mask for?")
        return masks.gather(1, self._rows[rows]).view(-1, *self.shape)

    def pooled(
        self, values: Float[Tensor, "n *features"], rows: Int[Tensor, " n"] | None = None
    ) -> Float[np.ndarray, "n p"]:
        """The sum of `values` over the positions of each feature, in float64.

        Parameters
        ----------
        rows : the instance that each row of `values` is of; all in order unless given.
        """
        if self.own and rows is None and len(values) != len(self.membership):
            raise ValueError(
                f"each of {len(self.membership)} instances has its own partition: which ones are "
                f"these {len(values)} rows of?"
            )
        members = self._rows[rows] if self.own and rows is not None else self._rows
        sums = torch.zeros(len(values), self.p, dtype=torch.float64)
        flat = values.detach().double().flatten(1)
        return sums.scatter_add_(1, members.expand(len(flat), -1).cpu(), flat.cpu()).numpy()


def partition(
    kind: str, data: Data, encoding: Encoding, rows: Int[np.ndarray, " n"] | None = None
) -> Partition:
    """The partition of that kind.

    Parameters
    ----------
    kind : `natural` (a table's own groups of columns, each column alone where it has none; an
        image's blocks of 2x2 pixels), `columns` (of a table: one-hot columns of a column
        together), `pixels`, `blocks 4` (squares of 4x4 pixels, smaller at the far edges) or
        `superpixels 16` (each image's own 16 segments, see
        `bench.setfunction.superpixels`). The channels of a pixel are one feature. The user's
        own: `groups a, b | c` (columns of a table), `file groups.json` or `file map.npy`, see
        `bench.setfunction.groups`.
    rows : the instances that are explained; superpixels want to know them.

    Raises
    ------
    ValueError
        where there is no such kind, or not on such data: see `unfit`.
    """
    reason = unfit(kind, data)
    if reason:
        raise ValueError(reason)
    if kind.startswith("file ") and _file(kind).suffix == ".npy":
        membership = membership_from(_file(kind), _shape(data))
        return Partition(membership, tuple(str(i) for i in range(int(membership.max()) + 1)))
    if isinstance(data, Images):
        return _of_images(kind, data, rows)
    return _columns(data, _groups(kind, data), encoding.column_of)


def check_kind(kind: str) -> None:
    """Raise `ValueError` where there is no such kind of partition."""
    if not _KINDS.fullmatch(kind):
        raise ValueError(f"partition {kind!r}: {_WANTED}")


def unfit(kind: str, data: Data) -> str | None:
    """Why data cannot be parted in this way, or None."""
    check_kind(kind)
    word = kind.split()[0]
    try:
        if word == "file" and _file(kind).suffix == ".npy":
            membership_from(_file(kind), _shape(data))
        elif isinstance(data, Table) and word in ("groups", "file"):
            _groups(kind, data)
        elif isinstance(data, Images) and word == "superpixels":
            check_superpixels(_number(kind, "count"), data.pixels.shape[2:])
        elif isinstance(data, Table) and word not in ("natural", "columns"):
            return (
                f"{data.name} is a table: its partition is 'natural', 'columns' or groups of them"
            )
        elif isinstance(data, Images) and word == "file":
            return (
                f"{data.name} holds images: {kind!r} is for tables; a 'file map.npy' holds the "
                "feature of each pixel"
            )
        elif isinstance(data, Images) and word in ("columns", "groups"):
            return f"{data.name} holds images: {kind!r} is for tables, 'blocks 2' would do"
    except ValueError as error:
        return f"partition {kind!r} of {data.name}: {error}"
    return None


def _number(kind: str, name: str) -> int:
    found = _KINDS.fullmatch(kind)
    assert found is not None
    return int(found[name])


def _file(kind: str) -> Path:
    return Path(kind.removeprefix("file ").strip()).expanduser()


def _shape(data: Data) -> tuple[int, ...]:
    """The shape of one encoded input."""
    if isinstance(data, Images):
        return data.pixels.shape[1:]
    return (sum(max(1, len(column.levels)) for column in data.columns),)


def _groups(kind: str, data: Table) -> Mapping[str, tuple[str, ...]]:
    if kind == "natural":
        return data.groups
    if kind == "columns":
        return {}
    names = [column.name for column in data.columns]
    if kind.startswith("groups "):
        return groups_from_text(kind.removeprefix("groups "), names)
    return groups_from_file(_file(kind), names)


def _of_images(kind: str, data: Images, rows: Int[np.ndarray, " n"] | None) -> Partition:
    if kind.startswith("superpixels"):
        if rows is None:
            raise ValueError("superpixels are of single images: say which rows are explained")
        count = _number(kind, "count")
        found = np.stack([superpixels(data.pixels[row], count) for row in rows])
        each = torch.from_numpy(found)[:, None].expand(-1, data.pixels.shape[1], -1, -1)
        return Partition(each.contiguous(), tuple(str(i) for i in range(count)), own=True)
    side = {"pixels": 1, "natural": NATURAL_SIDE}.get(kind) or _number(kind, "side")
    return _blocks(data.pixels.shape[1:], side)


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

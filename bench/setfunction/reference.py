"""References: what a deleted feature is replaced by."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.setfunction.partition import Partition

_KINDS = re.compile(r"zero|mean|instances|constant (?P<value>-?\d+(\.\d+)?)")


@dataclass(frozen=True)
class Reference:
    """Draws r ~ p(r), made once and shared by all instances, sets and methods.

    Attributes
    ----------
    draws : what takes the place of deleted positions, each draw with equal weight.
    """

    draws: Float[Tensor, "k *features"]

    @property
    def mean(self) -> Float[Tensor, "*features"]:
        """The declared mean b: of the very draws that F averages over."""
        return self.draws.double().mean(0).to(self.draws.dtype)

    def null(
        self, inputs: Float[Tensor, "n *features"], partition: Partition
    ) -> Bool[np.ndarray, "n p"]:
        """The features of each input that every draw leaves as they are."""
        changed = torch.stack([(row != self.draws).any(0) for row in inputs])
        null: np.ndarray = partition.pooled(changed.float()) == 0
        return null


def reference(
    kind: str, train: Float[Tensor, "n *features"], draws: int, *, rng: np.random.Generator
) -> Reference:
    """The reference of that kind.

    Parameters
    ----------
    kind : `zero`, `constant 0.5`, `mean` (of the training rows), all of a single draw; or
        `instances`: other real inputs, drawn from the training rows without replacement.
    train : the training rows, encoded.
    draws : how many instances (all where there are fewer).

    Raises
    ------
    ValueError
        where there is no such kind.
    """
    check_kind(kind)
    if kind == "instances":
        return Reference(train[torch.from_numpy(rng.permutation(len(train))[:draws])])
    if kind == "mean":
        return Reference(train.double().mean(0, keepdim=True).to(train.dtype))
    found = _KINDS.fullmatch(kind)
    value = float(found["value"]) if found and found["value"] else 0.0
    return Reference(torch.full_like(train[:1], value))


def check_kind(kind: str) -> None:
    """Raise `ValueError` where there is no such kind of reference."""
    if not _KINDS.fullmatch(kind):
        raise ValueError(
            f"reference {kind!r}: wanted 'zero', 'mean', 'constant 0.5' or 'instances'"
        )

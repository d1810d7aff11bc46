"""KNN-Shapley: each row's exact Shapley value in a nearest-neighbour classifier of the query."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence

from .features import Space, represented

CHUNK_NUMBERS = 2**24
"""Distances in memory at once."""


@dataclass(frozen=True)
class KNNShapley:
    """Mean over the query's rows of a training row's Shapley value for their right class.

    The value of a set of training rows is the share of its `neighbours` nearest to the query's
    row, of K in all, that have its class. Sorted by distance, nearest first, the values follow
    from the farthest on: s_n = [right_n] min(K, n) / (K n) and
    s_i = s_(i+1) + ([right_i] - [right_(i+1)]) min(K, i) / (K i). Negative = harmful. The trained
    network only lends its features, where they are asked for.

    Parameters
    ----------
    neighbours : K.
    space : where rows are near: `inputs`, or `features`, what the last linear layer gets.

    References
    ----------
    Jia, Dao, Wang, Hubis, Gurel, Li, Zhang, Spanos, Song, *Efficient Task-Specific Data Valuation
    for Nearest Neighbor Algorithms*, VLDB 2019, Theorem 1.
    """

    neighbours: int = 5
    space: Space = "inputs"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours={self.neighbours}: wanted at least 1")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        train, query = (
            represented(problem.model, samples.inputs, self.space).double()
            for samples in (problem.train, problem.validation)
        )
        total = train.new_zeros(len(train))
        rows = torch.arange(len(query), device=query.device)
        for some in rows.split(max(1, CHUNK_NUMBERS // len(train))):
            order = torch.cdist(query[some], train).argsort(dim=1, stable=True)
            right = problem.train.targets[order] == problem.validation.targets[some, None]
            values = torch.empty_like(right, dtype=torch.float64)
            total += values.scatter(1, order, sorted_values(right, self.neighbours)).sum(0)
        return Influence.of(total / len(query))


def sorted_values(right: Int[Tensor, "m n"] | Tensor, k: int) -> Float[Tensor, "m n"]:
    """Shapley values of rows sorted by distance; `right` says which have the query's class."""
    n = right.shape[1]
    place = torch.arange(1, n + 1, dtype=torch.float64, device=right.device)
    weight = place.clamp(max=k) / (k * place)
    hits = right.double()
    differences = (hits - torch.nn.functional.pad(hits[:, 1:], (0, 1))) * weight
    return differences.flip(1).cumsum(1).flip(1)

"""The nearest training rows, in the inputs or in what the network makes of them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.representation import penultimate
from bench.tasks.unified import DataRanking, Unified, UnifiedProblem


@dataclass(frozen=True)
class NearestNeighbours:
    """Training rows by Euclidean distance from the query point, whatever their labels.

    It says the most frequent label of the nearest ones, the first of equally frequent ones.

    Parameters
    ----------
    space : where rows are near: `inputs`, or `representation`, what the last linear layer gets.
    predicted_label_first : rows of the class predicted at the point come before all others.
    voters : the rows whose labels are counted.

    References
    ----------
    Cover, Hart, *Nearest Neighbor Pattern Classification*, IEEE Trans. Inf. Theory 13, 1967.
    Papernot, McDaniel, *Deep k-Nearest Neighbors*, 2018 (the representation as an explanation).
    """

    space: Literal["inputs", "representation"] = "inputs"
    predicted_label_first: bool = False
    voters: int = 5

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.voters < 1:
            raise ValueError(f"voters={self.voters}: wanted at least 1")

    def explain(self, problem: UnifiedProblem, *, rng: np.random.Generator) -> Unified:
        points, rows = (
            self._represented(problem, inputs).double()
            for inputs in (problem.features.inputs, problem.train.inputs)
        )
        distances = torch.cdist(points, rows).numpy()
        labels = problem.train.targets.numpy()
        voters = labels[np.argsort(distances, axis=1, kind="stable")[:, : self.voters]]
        votes = (voters[..., None] == np.arange(problem.train.n_classes)).sum(axis=1)
        other = labels != problem.features.targets.numpy()[:, None]
        order = np.lexsort((distances, other & self.predicted_label_first), axis=1)
        return Unified(data=DataRanking(order), says=votes.argmax(axis=1))

    def _represented(
        self, problem: UnifiedProblem, inputs: Float[Tensor, "n *features"]
    ) -> Float[Tensor, "n d"]:
        if self.space == "inputs":
            return inputs.flatten(1)
        return penultimate(problem.model.module, inputs)

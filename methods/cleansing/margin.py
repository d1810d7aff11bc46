"""Margin: how far a row's own label is ahead of the next best."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.base import Capability
from bench.models.network import as_margins
from bench.tasks.cleansing import CleansingProblem, Influence

from .trac_in import checkpoints


@dataclass(frozen=True)
class Margin:
    """The score of a row's label minus the largest other score, before the softmax.

    A row that the model would call something else lies below 0 and is called harmful. It knows
    nothing of the query.

    Parameters
    ----------
    moments : `end`, of the trained model; `epochs`, the mean over the end of each epoch (the
        area under the margin, AUM): a wrong label is learnt late.

    References
    ----------
    Pleiss, Zhang, Elenberg, Weinberger, *Identifying Mislabeled Data using the Area Under the
    Margin Ranking*, NeurIPS 2020, Eq. 1-2.
    """

    moments: Literal["end", "epochs"] = "end"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        inputs, targets = problem.train.inputs, problem.train.targets
        with torch.no_grad():
            if self.moments == "end":
                scores = problem.model.margins(inputs)
                return Influence.of(label_margins(scores, targets))
            objective = problem.trajectory.objective
            flats = torch.stack([flat for flat, _ in checkpoints(problem.trajectory)])
            each = [
                as_margins(objective.outputs(flat[None], inputs)[0], problem.train.n_classes)
                for flat in flats
            ]
            return Influence.of(label_margins(torch.stack(each).double(), targets).mean(0))


def label_margins(
    scores: Float[Tensor, "*m n classes"], targets: Int[Tensor, " n"]
) -> Float[Tensor, "*m n"]:
    """Each row's score of its target minus the largest of the others."""
    own = torch.nn.functional.one_hot(targets, scores.shape[-1]).bool()
    mine = scores.masked_fill(~own, -torch.inf).amax(-1)
    return mine - scores.masked_fill(own, -torch.inf).amax(-1)

"""SGD-influence: the training run walked back, each row's push on the query summed up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.models.influence import Hessian, query_gradient, sgd_influence
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class SGDInfluence:
    """Linear influence of each row through all steps of SGD in which it took part.

    Parameters
    ----------
    hessian : `exact` carries the query's gradient back through every step's curvature; `none`
        leaves it as it is at the end.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019,
    Algorithm 1.
    """

    hessian: Hessian = "exact"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        trajectory = problem.trajectory
        query = query_gradient(trajectory.objective, trajectory.final, problem.validation)
        return Influence(sgd_influence(trajectory, query, self.hessian).double().numpy())

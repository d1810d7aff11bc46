"""Self-influence: how much a row's own steps lowered its own loss."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence

from .row_gradients import all_gradients
from .trac_in import checkpoints


@dataclass(frozen=True)
class SelfInfluence:
    """- sum over epochs of rate |grad l_j|^2, at the end of each: most negative = harmful.

    TracIn with the row itself for a query: a row that only its own steps could teach is rare or
    wrong. It knows nothing of the query.

    References
    ----------
    Pruthi, Liu, Kale, Sundararajan, *Estimating Training Data Influence by Tracing Gradient
    Descent*, NeurIPS 2020, Sec. 4.1.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective = problem.trajectory.objective
        values = problem.trajectory.final.new_zeros(len(problem.train))
        for flat, rate in checkpoints(problem.trajectory):
            for rows, gradients in all_gradients(objective, flat):
                values[rows] -= rate * gradients.square().sum(1)
        return Influence.of(values)

"""Exact Shapley values from the table of all sets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.table import shapley_values
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class Shapley:
    """What a feature adds to F on average over all sets of others kept, by 2^p values.

    Parameters
    ----------
    exact_up_to : the largest number of features.

    References
    ----------
    Shapley, *A Value for n-Person Games*, 1953, eq. 12.
    """

    exact_up_to: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.p > self.exact_up_to:
            raise Unsupported(f"asks 2^p values: p = {problem.p} is above {self.exact_up_to}")
        return Attribution(shapley_values(problem.table()))

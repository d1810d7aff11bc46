"""Exact Banzhaf values from the table of all sets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.table import banzhaf_values
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class Banzhaf:
    """The mean of F over all sets that keep a feature, less that over all that delete it.

    Parameters
    ----------
    exact_up_to : the largest number of features; 2^p values are asked.

    References
    ----------
    Banzhaf, *Weighted Voting Doesn't Work*, Rutgers Law Review 1965.
    """

    exact_up_to: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.p > self.exact_up_to:
            raise Unsupported(f"asks 2^p values: p = {problem.p} is above {self.exact_up_to}")
        return Attribution(banzhaf_values(problem.table()))

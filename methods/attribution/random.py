"""Random values: the control that every method must beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Random:
    """A standard normal number a feature, whatever the problem.

    References
    ----------
    Earnest's control: its ideal influence is 0 on average.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        return Attribution(rng.standard_normal((problem.n, problem.p)))

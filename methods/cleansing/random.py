"""Random values: the control that every method must beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class Random:
    """A standard normal number a training row, whatever the problem."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        return Influence(rng.standard_normal(len(problem.train)))

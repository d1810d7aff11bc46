"""An honest sample: the control that hides nothing."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.sampling import Simple
from bench.tasks.fairwashing_problem import FairwashingProblem, Sampling


@dataclass(frozen=True)
class HonestSample:
    """Any people of the two groups, all with the same probability.

    References
    ----------
    Earnest's control: a detector may say no as often as its level, and not more.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Sampling:
        problem.check_global()
        return Sampling((Simple(len(problem.population), problem.audit_size),))

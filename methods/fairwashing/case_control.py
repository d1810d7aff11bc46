"""Samples with fair counts and nothing else: what stealth is compared with."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.sampling import PerBin
from bench.tasks.fairwashing_problem import FairwashingProblem, Sampling


@dataclass(frozen=True)
class CaseControl:
    """As many people of each group and decision as make the sample fair, any of them.

    Its rates are those of a stealthily biased sample; who decided upon whom shows more.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020, the
    case-control sampling of its experiments.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Sampling:
        problem.check_global()
        return Sampling((PerBin(problem.bins.of, problem.wanted),))

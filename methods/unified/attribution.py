"""An attribution method as a unified explanation: the feature side alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.attribution import Attribution as Answer
from bench.tasks.attribution import AttributionProblem
from bench.tasks.base import Method
from bench.tasks.unified import FeatureRanking, UnifiedProblem


@dataclass(frozen=True)
class Attribution:
    """The features as `method` ranks them; of training rows it says nothing.

    Parameters
    ----------
    method : any method of the task attribution.

    References
    ----------
    Those of the method; the comparison: earnest.
    """

    method: Method[AttributionProblem, Answer]

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: UnifiedProblem, *, rng: np.random.Generator) -> FeatureRanking:
        return FeatureRanking(self.method.explain(problem.features, rng=rng).values)

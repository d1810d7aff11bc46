"""Random orders and classes: the control that every method must beat on its side."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.unified import DataRanking, FeatureRanking, Unified, UnifiedProblem


@dataclass(frozen=True)
class Random:
    """Features and training rows in random order, and a random class, whatever the problem.

    References
    ----------
    Earnest's control: both of its sides are 0 on average.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: UnifiedProblem, *, rng: np.random.Generator) -> Unified:
        features_rng, data_rng, says_rng = rng.spawn(3)
        return Unified(
            FeatureRanking(features_rng.random((problem.n, problem.features.p))),
            DataRanking(data_rng.random((problem.n, len(problem.train))).argsort(axis=1)),
            says_rng.integers(problem.train.n_classes, size=problem.n),
        )

"""Banzhaf values by random sets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.sampling import mean_where, random_sets
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class BanzhafSampling:
    """The mean of F over random sets that keep a feature, less that over those that delete it.

    Each value of F serves all features. Sets hold each feature with probability 1/2 and come in
    pairs of complements; where all 2^p are no more than `samples`, the values are exact.

    Parameters
    ----------
    samples : sets.

    References
    ----------
    Wang, Jia, *Data Banzhaf*, AISTATS 2023, eq. 6 (maximum sample reuse).
    """

    samples: int = 500

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples={self.samples}: wanted at least 2, a pair of sets")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        deleted = random_sets(problem.p, self.samples, pairs=True, rng=rng)
        values = problem.value(deleted)
        kept, gone = mean_where(1.0 - deleted, values), mean_where(1.0 * deleted, values)
        return Attribution(kept - gone)

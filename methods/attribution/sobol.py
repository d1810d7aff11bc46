"""Sobol's total indices of the features."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.sampling import random_sets, total_effects
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Sobol:
    """The share of F's variance that a feature takes part in, under fair coins; no sign.

    Features are deleted by the reference or kept, where the paper blends them by masks in
    [0, 1]; sets are shared by all instances.

    Parameters
    ----------
    samples : values asked an instance, about: samples / (p + 1) sets and all their neighbours.

    References
    ----------
    Fel, Cadene, Chalvidal, Cord, Vigouroux, Serre, *Look at the Variance! Efficient Black-box
    Explanations with Sobol-based Sensitivity Analysis*, NeurIPS 2021.
    """

    samples: int = 500

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}: wanted at least 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        count = max(2, self.samples // (problem.p + 1))
        sets = random_sets(problem.p, count, pairs=True, rng=rng)
        return Attribution(total_effects(problem.value, sets))

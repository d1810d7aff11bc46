"""KernelSHAP: Shapley values by a weighted regression on masks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.regression import shapley_regression
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class KernelSHAP:
    """Regression coefficients of F under the Shapley kernel, summing to F(none) - F(all).

    Features that the reference leaves as they are get 0 and take no part: instances with equally
    many others, k, share masks of these. They come in pairs of complements, the outer sizes are
    enumerated where they fit. With 2^k - 2 samples or more the values are exact.

    Parameters
    ----------
    samples : masks; two more values are asked, nothing and everything deleted.

    References
    ----------
    Lundberg, Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017, Thm. 2.
    """

    samples: int = 500

    version: ClassVar[int] = 3
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples={self.samples}: wanted at least 2, a pair of masks")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        return Attribution(shapley_regression(problem.value, problem.null, self.samples, rng=rng))

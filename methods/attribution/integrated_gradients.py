"""Integrated gradients; expected gradients where the reference is random."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class IntegratedGradients:
    """mean over draws r of sum_i (x_i - r_i) times the mean of dg / dx_i from r to x.

    The mean along the straight line is Gauss-Legendre quadrature. The values of all features
    sum to g(x) minus the mean of g(r).

    Parameters
    ----------
    steps : points on the way from each draw.

    References
    ----------
    Sundararajan, Taly, Yan, *Axiomatic Attribution for Deep Networks*, ICML 2017, eq. 1.
    Erion et al., *Improving performance of deep learning models with axiomatic attribution
    priors and expected gradients*, Nature Machine Intelligence 2021 (many references).
    """

    steps: int = 50

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: wanted at least 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        draws, rows = problem.reference.draws, torch.arange(problem.n)
        total = torch.zeros(problem.inputs.shape, dtype=torch.float64)
        for draw in draws:
            difference = problem.inputs - draw
            for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
                point = draw + float(node) * difference
                total += float(weight) * difference * problem.gradient(point, rows)
        return Attribution(problem.partition.pooled(total / len(draws)))

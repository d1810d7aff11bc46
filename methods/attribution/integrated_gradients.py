"""Integrated gradients; expected gradients where the reference is random."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.chunks import row_blocks
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
        inputs, reference = problem.inputs, problem.reference
        nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(self.steps))
        on_the_way = ((nodes + 1) / 2).to(inputs).view(-1, *[1] * (inputs.ndim - 1))
        weights = (weights / 2).to(inputs.device)
        total = torch.zeros_like(inputs, dtype=torch.float64)
        for draw in range(reference.count):
            for rows in row_blocks(inputs, self.steps):
                start = reference.only(draw).of(rows)
                difference = inputs[rows, None] - start
                points = (start + on_the_way * difference).flatten(0, 1)
                gradient = problem.gradient(points, rows.repeat_interleave(self.steps))
                mean = weights @ gradient.view(len(rows), self.steps, -1)
                total[rows] += difference[:, 0] * mean.view_as(total[rows])
        return Attribution(problem.partition.pooled(total / reference.count))

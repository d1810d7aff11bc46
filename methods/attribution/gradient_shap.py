"""GradientSHAP: expected gradients, sampled."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.seeding import torch_generator
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class GradientSHAP:
    """mean over samples of sum_i (x_i - r_i) dg / dx_i at r + a (x - r).

    r is a random one of the reference's draws, a uniform in [0, 1], and both are the same for
    all instances. The expectation is what integrated gradients over all draws compute.

    Parameters
    ----------
    samples : points.
    noise : standard deviation of Gaussian noise added to the instance first.

    References
    ----------
    Erion et al., *Improving performance of deep learning models with axiomatic attribution
    priors and expected gradients*, Nature Machine Intelligence 2021, eq. 3. Lundberg, Lee,
    *A Unified Approach to Interpreting Model Predictions*, NIPS 2017 (the package's
    GradientExplainer, its noise).
    """

    samples: int = 200
    noise: float = 0.0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.samples < 1 or self.noise < 0:
            raise ValueError(
                f"samples={self.samples}, noise={self.noise}: wanted at least 1, and 0 or more"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        inputs, draws = problem.inputs, problem.reference
        chosen = torch.from_numpy(rng.integers(draws.count, size=self.samples))
        on_the_way = torch.from_numpy(rng.random(self.samples)).to(inputs)
        on_the_way = on_the_way.view(-1, *[1] * (inputs.ndim - 1))
        noise = torch.zeros((), dtype=inputs.dtype)
        if self.noise:
            shape = (self.samples, *inputs.shape[1:])
            noise = self.noise * torch.randn(
                shape, generator=torch_generator(rng), dtype=inputs.dtype
            )
        noise = noise.to(inputs.device)
        values = torch.zeros_like(inputs, dtype=torch.float64)
        for rows in row_blocks(inputs, self.samples):
            start = draws.of(rows)[:, chosen]
            difference = inputs[rows, None] + noise - start
            points = (start + on_the_way * difference).flatten(0, 1)
            gradient = problem.gradient(points, rows.repeat_interleave(self.samples))
            values[rows] = (difference * gradient.view(difference.shape)).mean(1)
        return Attribution(problem.partition.pooled(values))

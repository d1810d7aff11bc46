"""Gradients at noisy copies of the instance: their mean, mean square or variance."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.seeding import torch_generator
from bench.tasks.attribution import Attribution, AttributionProblem

Kind = Literal["mean", "absolute", "times_difference", "squared", "variance"]


@dataclass(frozen=True)
class SmoothGrad:
    """sum over a feature's positions of what dg / dx_i is on average near the instance.

    The same Gaussian noise is added to all instances, each scaled by the instance's own range.

    Parameters
    ----------
    kind : of the gradients at the noisy copies, `mean`; `absolute`, its absolute value;
        `times_difference`, their mean times x - b, b the reference's mean; `squared`, the mean
        of the squares; `variance`.
    samples : noisy copies.
    level : the noise's standard deviation as a share of the instance's range, max x - min x.

    References
    ----------
    Smilkov, Thorat, Kim, Viégas, Wattenberg, *SmoothGrad*, 2017, Sec. 3.1 (mean, absolute).
    Hooker, Erhan, Kindermans, Kim, *A Benchmark for Interpretability Methods in Deep Neural
    Networks*, NeurIPS 2019, Sec. 4.1 (squared). Adebayo et al., *Local Explanation Methods for
    Deep Neural Networks Lack Sensitivity to Parameter Values*, 2018 (VarGrad).
    """

    kind: Kind = "mean"
    samples: int = 50
    level: float = 0.15

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind={self.kind!r}: wanted one of {', '.join(get_args(Kind))}")
        if self.samples < 1 or self.level < 0:
            raise ValueError(
                f"samples={self.samples}, level={self.level}: wanted at least 1, and 0 or more"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        inputs = problem.inputs
        shape = (self.samples, *inputs.shape[1:])
        noise = torch.randn(shape, generator=torch_generator(rng), dtype=inputs.dtype)
        noise = noise.to(inputs.device)
        values = torch.zeros_like(inputs, dtype=torch.float64)
        for rows in row_blocks(inputs, self.samples):
            some = inputs[rows]
            flat = some.flatten(1)
            scale = self.level * (flat.amax(1) - flat.amin(1))
            points = some[:, None] + scale.view(-1, *[1] * (noise.ndim)) * noise
            repeated = rows.repeat_interleave(self.samples)
            gradients = problem.gradient(points.flatten(0, 1), repeated)
            values[rows] = self._of(gradients.view(points.shape))
        if self.kind == "times_difference":
            values *= inputs - problem.baseline
        return Attribution(problem.partition.pooled(values))

    def _of(self, gradients: Float[Tensor, "b samples *features"]) -> Float[Tensor, "b *features"]:
        if self.kind == "squared":
            return gradients.square().mean(1)
        if self.kind == "variance":
            return gradients.var(1, correction=0)
        mean = gradients.mean(1)
        return mean.abs() if self.kind == "absolute" else mean

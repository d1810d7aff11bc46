"""Integrated gradients from a blurred image to the sharp one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported

REACH = 4.0
"""Standard deviations at which the Gaussian is cut off, as in a reference that blurs."""


@dataclass(frozen=True)
class BlurIntegratedGradients:
    """The integral of dg / dz_i dz_i along z(s), the image under a Gaussian of width s.

    s falls evenly from the widest to 0. A step counts the change of the image times the gradient
    half-way between its ends, so the values of all features sum to g(x) - g(z(widest)) where
    steps are many. The image is blurred as a reference that blurs: edge pixels are repeated
    outwards. The widest blur is a baseline of its own, whatever the problem's reference is.

    Parameters
    ----------
    widest : standard deviation of the widest blur, as a share of the image's shorter side.
    steps : gradients on the way.

    References
    ----------
    Xu, Venugopalan, Sundararajan, *Attribution in Scale and Space*, CVPR 2020, Sec. 3 (Blur
    Integrated Gradients).
    """

    widest: float = 0.25
    steps: int = 50

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if not self.widest > 0 or self.steps < 1:
            raise ValueError(
                f"widest={self.widest}, steps={self.steps}: wanted more than 0, and at least 1"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        inputs = problem.inputs
        if inputs.ndim != 4:
            raise Unsupported("blurs images: a table has no neighbours")
        height, width = inputs.shape[2:]
        widths = np.linspace(self.widest * min(height, width), 0, self.steps + 1)
        down, across = (
            torch.stack([blur(side, s) for s in widths.tolist()]).to(inputs.device)
            for side in (height, width)
        )
        values = torch.zeros_like(inputs, dtype=torch.float64)
        baseline = torch.empty_like(inputs)
        for rows in row_blocks(inputs, self.steps + 1):
            images = inputs[rows].double()[:, None]
            path = down[:, None] @ images @ across[:, None].mT
            half_way = ((path[:, 1:] + path[:, :-1]) / 2).to(inputs.dtype).flatten(0, 1)
            gradient = problem.gradient(half_way, rows.repeat_interleave(self.steps))
            change = path.diff(dim=1)
            values[rows] = (change * gradient.view(change.shape)).sum(1)
            baseline[rows] = path[:, 0].to(inputs.dtype)
        return Attribution(problem.partition.pooled(values), baseline)


def blur(side: int, width: float) -> Float[Tensor, "side side"]:
    """What a Gaussian of this standard deviation makes of a line of pixels, as a matrix."""
    radius = int(REACH * width + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(offsets.double() ** 2) / (2 * max(width, 1e-9) ** 2))
    rows = torch.arange(side)[:, None]
    matrix = torch.zeros(side, side, dtype=torch.float64)
    matrix.index_put_(
        (rows.expand(-1, len(offsets)), (rows + offsets).clamp(0, side - 1)),
        (weights / weights.sum()).expand(side, -1),
        accumulate=True,
    )
    return matrix

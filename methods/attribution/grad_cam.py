"""Class activation maps weighted by gradients: Grad-CAM, HiResCAM, LayerCAM, Grad-CAM++."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported

Weights = Literal["mean", "elementwise", "positive", "plus_plus"]
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class GradCAM:
    """sum over a feature's pixels of max(0, sum_k w_k A_k), drawn as large as the input.

    A_k are the channels of the last map as large as the last convolution's: behind its batch
    norm, ReLU and residual sum, before the pooling. G_k is the gradient of g at A_k.

    Parameters
    ----------
    weights : w_k; `mean` of G_k over the map (Grad-CAM), `elementwise` G_k (HiResCAM),
        `positive` max(0, G_k) (LayerCAM), or `plus_plus`, the mean of a max(0, G_k) with
        a = G_k^2 / (2 G_k^2 + G_k^3 sum A_k) (Grad-CAM++).

    References
    ----------
    Selvaraju et al., *Grad-CAM*, ICCV 2017, eqs. 1, 2. Draelos, Carin, *Use HiResCAM instead of
    Grad-CAM*, 2020, eq. 4. Jiang et al., *LayerCAM*, IEEE TIP 2021, eqs. 6-8. Chattopadhay et
    al., *Grad-CAM++*, WACV 2018, eqs. 5, 19.
    """

    weights: Weights = "mean"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.weights not in get_args(Weights):
            wanted = ", ".join(get_args(Weights))
            raise ValueError(f"weights={self.weights!r}: wanted one of {wanted}")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        module, inputs = problem.model.module, problem.inputs
        if module is None:
            raise Unsupported("needs a differentiable model")
        if problem.g == "label":
            raise Unsupported("the label has no gradient: g=probability, logit and margin have")
        if inputs.ndim != 4 or not any(isinstance(m, CONVOLUTIONS) for m in module.modules()):
            raise Unsupported("needs images and a network with convolutions")
        values = torch.zeros_like(inputs, dtype=torch.float64)
        for rows in row_blocks(inputs):
            points = inputs[rows].detach().clone().requires_grad_()
            with torch.enable_grad(), _last_map(module) as found:
                total = problem.output(points, rows).sum()
            if not found:
                raise Unsupported("needs a convolution whose map is larger than 1x1")
            gradient = torch.autograd.grad(total, found[0])[0]
            maps = self._map(found[0].detach().double(), gradient.double())
            drawn = functional.interpolate(maps, inputs.shape[2:], mode="bilinear")
            values[rows] = drawn.expand_as(points) / points.shape[1]
        return Attribution(problem.partition.pooled(values))

    def _map(
        self,
        activation: Float[Tensor, "b channels height width"],
        gradient: Float[Tensor, "b channels height width"],
    ) -> Float[Tensor, "b 1 height width"]:
        weights = gradient
        if self.weights == "mean":
            weights = gradient.mean((2, 3), keepdim=True)
        elif self.weights == "positive":
            weights = gradient.clamp(min=0)
        elif self.weights == "plus_plus":
            # G^2 cancelled; where the denominator is 0 so is the weight.
            below = 2 + gradient * activation.sum((2, 3), keepdim=True)
            share = torch.where((gradient != 0) & (below != 0), 1 / below, 0.0)
            weights = (share * gradient.clamp(min=0)).mean((2, 3), keepdim=True)
        return (weights * activation).sum(1, keepdim=True).clamp(min=0)


@contextlib.contextmanager
def _last_map(module: nn.Module) -> Iterator[list[Tensor]]:
    """Gathers the last map, of the size of the last convolution's, made in this block."""
    found: list[Tensor] = []

    def keep(part: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[2:].numel() == 1:
            return
        same_size = bool(found) and output.shape[2:] == found[0].shape[2:]
        if isinstance(part, CONVOLUTIONS) or same_size:
            found[:] = [output]

    handles = [part.register_forward_hook(keep) for part in module.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()

"""ReLU with the curvature of a softplus: what a Hessian should see at the kink.

Autograd's second derivative of ReLU is 0 everywhere, though its slope jumps from 0 to 1. Over a
small random shift of its input the mean slope rises smoothly, and the second derivative of
softplus(beta z) / beta, beta s (1 - s) with s = sigmoid(beta z), stands for that rise.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class _Step(torch.autograd.Function):
    """1 above 0, else 0; its derivative is that of sigmoid(beta z)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.beta = beta
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (z,), beta = ctx.saved_tensors, ctx.beta
        share = torch.sigmoid(beta * z)
        return gradients[0] * beta * share * (1 - share), None


class _ReLU(torch.autograd.Function):
    """ReLU; its derivative is a `_Step`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.beta = beta
        return z.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradients[0] * _Step.apply(z, ctx.beta), None


class SmoothedReLU(nn.Module):
    """ReLU and its slope as they are, the second derivative of softplus(beta z) / beta."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = _ReLU.apply(z, self.beta)
        return found


def with_smoothed_kinks(module: nn.Module, beta: float) -> nn.Module:
    """A copy of `module` with each ReLU smoothed; max pooling keeps its kinks."""
    if isinstance(module, nn.ReLU):
        return SmoothedReLU(beta)
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, SmoothedReLU(beta))
    return copied

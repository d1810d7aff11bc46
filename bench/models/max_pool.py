"""2x2 max pooling with the bits of torch's own at a fifth of its time on a CPU.

Torch's loop over images whose rows lie one after the other branches at each number; where the
channels come last it compares many at once. Maxima and their places are the same, ties included.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from bench.models.backward_rules import Call, Replaced

_WINDOWS = [2, 2], [2, 2], [0, 0], [1, 1], False
"""Sides, strides, margin, dilation and ceil mode of 2x2 windows that don't overlap."""


def pooled(
    x: Float[Tensor, "b c h w"],
) -> tuple[Float[Tensor, "b c h2 w2"], Int[Tensor, "b c h2 w2"]]:
    """Maxima of 2x2 windows and their places in `h w`, in the layout of `x`."""
    if not _slow(x):
        found: tuple[Tensor, Tensor] = functional.max_pool2d(x, 2, return_indices=True)
        return found
    last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    maxima, places = functional.max_pool2d(last, 2, return_indices=True)
    return maxima.contiguous(), places.contiguous()


def spread(
    delta: Float[Tensor, "b c h2 w2"], x: Float[Tensor, "b c h w"], places: Int[Tensor, "b c h2 w2"]
) -> Float[Tensor, "b c h w"]:
    """`delta` at the places of the maxima of `x`, 0 elsewhere."""
    found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(delta, x, *_WINDOWS, places)
    return found


def quick_pooling() -> Replaced:
    """A block in which torch's max pooling is this, wherever a network calls it."""
    return Replaced(frozenset({"max_pool2d"}), _rule)


class _Pooled(torch.autograd.Function):
    """`pooled`, differentiable as often as one likes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        maxima, places = pooled(x)
        ctx.save_for_backward(x, places)
        return maxima

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return spread(gradient, *ctx.saved_tensors)


def transformed() -> bool:
    """Whether torch.func or forward-mode autograd is at work: they want rules of their own for a
    function with a backward pass of its own."""
    active: bool = torch._C._are_functorch_transforms_active()
    return active or forward_ad._current_level >= 0


def _rule(pool: Call, *args: Any, **options: Any) -> Tensor:
    """What `pool` returns of these arguments."""
    known = bool(args) and _side_by_side(*args[1:], **options)
    if not known or transformed() or not _slow(args[0]):
        return pool(*args, **options)
    found: Tensor = _Pooled.apply(args[0])
    return found


def _side_by_side(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> bool:
    """Whether these are 2x2 windows that don't overlap, their maxima alone wanted."""
    sides = kernel_size, kernel_size if stride is None else stride
    usual = all(side in (2, (2, 2), [2, 2]) for side in sides) and padding in (0, (0, 0))
    return usual and dilation in (1, (1, 1)) and not ceil_mode and not return_indices


def _slow(x: Tensor) -> bool:
    """Whether torch's own loop over `x` is the slow one."""
    return x.device.type == "cpu" and x.ndim == 4 and x.shape[1] > 1 and x.is_contiguous()

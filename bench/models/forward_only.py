"""A network for when no gradient is wanted: the same numbers with fewer passes over memory."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Forward = Callable[[Float[Tensor, "n *features"]], Float[Tensor, "n outputs"]]

_IN_BLOCKS = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Layers that take images in oneDNN's own layout of memory."""

_MAKE_NEW = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d)
"""Layers whose output is a new tensor that nobody else holds."""


def forward_only(module: nn.Module) -> Forward:
    """The network's outputs, up to rounding, not differentiable.

    In a plain sequence of torch's layers a ReLU works in place and goes behind the max pooling
    that follows it, where a quarter of the numbers is left: the two commute. On a CPU images stay
    in oneDNN's layout from the first convolution to the last layer that takes it: half the time
    of torch's own order. Other networks, and those with hooks on their layers, are returned as
    they are; hooks on the whole are not called.
    """
    # Exact types: a subclass may do more than its base says.
    layers = list(module) if type(module) is nn.Sequential else []
    if not layers or any(hooked(layer) for each in layers for layer in each.modules()):
        return module
    for at, (first, second) in enumerate(zip(layers[:-1], layers[1:], strict=True)):
        if type(first) is nn.ReLU and type(second) is nn.MaxPool2d and not second.return_indices:
            layers[at : at + 2] = [second, first]

    def outputs(inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
        passed = inputs.to_mkldnn() if _takes_blocks(layers[0], inputs) else inputs
        for at, layer in enumerate(layers):
            if passed.is_mkldnn and type(layer) not in _IN_BLOCKS:
                passed = passed.to_dense()
            if type(layer) is nn.ReLU and at > 0 and type(layers[at - 1]) in _MAKE_NEW:
                passed = torch.relu_(passed)
            else:
                passed = layer(passed)
        return passed.to_dense() if passed.is_mkldnn else passed

    return outputs


def _takes_blocks(first: nn.Module, inputs: Float[Tensor, "n *features"]) -> bool:
    """Whether the convolution can take these images in oneDNN's layout."""
    return (
        type(first) is nn.Conv2d
        and first.padding_mode == "zeros"
        and inputs.ndim == 4
        and len(inputs) > 0
        and inputs.device.type == "cpu"
        and inputs.dtype == first.weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )


def hooked(layer: nn.Module) -> bool:
    """Whether anything looks at what goes into the layer or comes out."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks)

"""What a network makes of its inputs before its last layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.isolation import Unsupported

CHUNK_ROWS = 2**12
"""Rows that go through the network at once."""


def penultimate(
    module: nn.Module | None, inputs: Float[Tensor, "n *features"]
) -> Float[Tensor, "n d"]:
    """The inputs of the network's last linear layer, which must be its last module.

    Raises
    ------
    Unsupported
        where there is no network, or it ends otherwise.
    """
    layer = last_layer(module)
    assert module is not None
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, given, _output: kept.append(given[0]))
    try:
        with torch.no_grad():
            for some in inputs.split(CHUNK_ROWS):
                module(some)
    finally:
        handle.remove()
    return torch.cat(kept)


def last_layer(module: nn.Module | None) -> nn.Linear:
    """The network's last linear layer; raises `Unsupported` as `penultimate` does."""
    if module is None:
        raise Unsupported("needs a network: its last linear layer's inputs are the features")
    leaves = [part for part in module.modules() if not list(part.children())]
    if not leaves or not isinstance(leaves[-1], nn.Linear):
        raise Unsupported("needs a network that ends in a linear layer")
    return leaves[-1]

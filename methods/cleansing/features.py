"""What a row looks like to methods that compare rows: its inputs, or the last layer's inputs."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.models.base import Model
from bench.tasks.base import Unsupported

Space = Literal["inputs", "features"]

CHUNK_ROWS = 2**12
"""Rows that go through the network at once."""


def represented(
    model: Model, inputs: Float[Tensor, "n *features"], space: Space
) -> Float[Tensor, "n d"]:
    """`inputs` flat, or what the network hands to its last linear layer."""
    if space == "inputs":
        return inputs.flatten(1)
    return penultimate(model, inputs)


def penultimate(model: Model, inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n d"]:
    """The inputs of the network's last linear layer, which must be its last module."""
    layer = last_layer(model)
    assert model.module is not None
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, given, _output: kept.append(given[0]))
    try:
        with torch.no_grad():
            for some in inputs.split(CHUNK_ROWS):
                model.module(some)
    finally:
        handle.remove()
    return torch.cat(kept)


def last_layer(model: Model) -> nn.Linear:
    """The network's last linear layer."""
    if model.module is None:
        raise Unsupported("needs a network: its last linear layer's inputs are the features")
    leaves = [part for part in model.module.modules() if not list(part.children())]
    if not leaves or not isinstance(leaves[-1], nn.Linear):
        raise Unsupported("needs a network that ends in a linear layer")
    return leaves[-1]

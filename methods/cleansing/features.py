"""What a row looks like to methods that compare rows: its inputs, or the last layer's inputs."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from bench.models.base import Model
from bench.models.representation import penultimate

Space = Literal["inputs", "features"]


def represented(
    model: Model, inputs: Float[Tensor, "n *features"], space: Space
) -> Float[Tensor, "n d"]:
    """`inputs` flat, or what the network hands to its last linear layer."""
    if space == "inputs":
        return inputs.flatten(1)
    return penultimate(model.module, inputs)

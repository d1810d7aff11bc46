"""How images lie in memory: with a pixel's channels next to each other convolutions are faster."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def channels_last(
    images: Float[Tensor, "n channels height width"],
) -> Float[Tensor, "n channels height width"]:
    """The same images, the channels of a pixel next to each other."""
    _, channels, height, width = images.shape
    if channels > 1 or not images.is_contiguous():
        return images.contiguous(memory_format=torch.channels_last)
    # Both ways of a single channel are equal in memory; what the strides say decides.
    return images.as_strided(images.shape, (height * width, 1, width, 1))


def takes_channels_last(module: nn.Module | None) -> bool:
    """Whether the module is made of torch's own layers: others might call `view`, which fails."""
    return module is not None and all(
        type(layer).__module__.startswith(("torch.nn.", "torchvision.models."))
        for layer in module.modules()
    )

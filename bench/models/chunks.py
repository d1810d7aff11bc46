"""How many inputs go through a model at once, so that memory doesn't grow with their number."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

IMAGE_ROWS, FEWEST_IMAGES = 256, 16
"""Most and fewest images at once."""

PIXELS = 2**15
"""Pixels of images at once: two to four megabytes a layer of 16 to 32 channels, which stay in the
cache."""

NUMBERS = 2**20
"""Numbers at once where the inputs are no images, or large ones."""


def rows_at_once(inputs: Float[Tensor, "n *features"]) -> int:
    """How many rows like these go through a model at once."""
    if inputs.ndim == 4:
        return min(IMAGE_ROWS, max(FEWEST_IMAGES, PIXELS // inputs[0, 0].numel()))
    return max(1, NUMBERS // max(1, inputs[0].numel()))


def row_blocks(
    inputs: Float[Tensor, "n *features"], copies: int = 1
) -> tuple[Int[Tensor, " b"], ...]:
    """The rows of `inputs` in blocks, each row `copies` times in use.

    Parameters
    ----------
    copies : how many points are made of each row; a block holds one row at least.
    """
    # Copies are split again where they go through the model.
    together = NUMBERS // max(1, inputs[0].numel()) if copies > 1 else rows_at_once(inputs)
    rows = torch.arange(len(inputs), device=inputs.device)
    blocks: tuple[Tensor, ...] = rows.split(max(1, together // copies))
    return blocks

"""Random crops and flips that are a pure function of seed, epoch and row.

Any step of a run thus sees the same pictures whenever it is replayed or retrained.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counters: Int[np.ndarray, "4 n"], key: tuple[int, int]) -> Int[np.ndarray, "4 n"]:
    """Philox4x32-10: four random 32-bit numbers for each counter of four, all at once.

    References
    ----------
    Salmon, Moraes, Dror, Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011, Sec. 3.3.
    """
    a, b, c, d = counters.astype(np.uint64)
    keys = np.array(key, dtype=np.uint64)
    for _ in range(10):
        one, two = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (two >> _32) ^ b ^ keys[0], two & _LOW, (one >> _32) ^ d ^ keys[1], one & _LOW
        keys = (keys + np.array(_STEPS)) & _LOW
    return np.stack([a, b, c, d]).astype(np.int64)


@runtime_checkable
class Augmentation(Protocol):
    """A frozen dataclass that changes the inputs of training."""

    def __call__(
        self,
        inputs: Float[Tensor, "b *features"],
        rows: Int[Tensor, " b"],
        epoch: int,
        seed: int,
    ) -> Float[Tensor, "b *features"]:
        """`inputs`, those of `rows`, as they are seen in `epoch`.

        What happens to a row depends on `seed`, `epoch` and the row alone.
        """
        ...


@dataclass(frozen=True)
class CropFlip:
    """A window of the picture's size from the picture with a margin, mirrored half of the time.

    Parameters
    ----------
    padding : width of the margin.
    flip : whether to mirror left and right.
    fill : the margin's value.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.2:
    padding 2 on MNIST; padding 4 and flips on CIFAR-10.
    """

    padding: int = 4
    flip: bool = True
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}: wanted at least 0")

    def __call__(
        self,
        inputs: Float[Tensor, "b channels height width"],
        rows: Int[Tensor, " b"],
        epoch: int,
        seed: int,
    ) -> Float[Tensor, "b channels height width"]:
        height, width = inputs.shape[2:]
        counters = np.zeros((4, len(rows)), dtype=np.int64)
        counters[0], counters[1] = rows.cpu().numpy(), epoch
        drawn = torch.from_numpy(philox(counters, (seed & 0xFFFFFFFF, seed >> 32)))
        drawn = drawn.to(inputs.device)
        tops, lefts = drawn[:2] * (2 * self.padding + 1) >> 32
        across = torch.arange(width, device=inputs.device).expand(len(rows), -1)
        if self.flip:
            across = torch.where(drawn[2, :, None] < 2**31, across, width - 1 - across)
        down = tops[:, None] + torch.arange(height, device=inputs.device)
        across = lefts[:, None] + across
        padded = functional.pad(inputs, (self.padding,) * 4, value=self.fill)
        # The picture's axis first and the channels' last: what numpy's rule of indices gives.
        each = torch.arange(len(rows), device=inputs.device)[:, None, None]
        return padded.movedim(1, 3)[each, down[:, :, None], across[:, None, :]].movedim(3, 1)

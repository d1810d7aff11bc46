"""The convolutional networks of Hara, Nitanda, Maehara (NeurIPS 2019), Sec. 7.2.

ReLU comes after max pooling, where a quarter of the numbers is left: the two commute.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class FiveByFive:
    """5x5 convolutions without margin, each with ReLU and 2x2 max pooling, and a linear layer.

    With its defaults the paper's network for MNIST, 13,750 parameters.
    """

    channels: tuple[int, ...] = (20, 20)

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        depth, height, width = shape
        layers: list[nn.Module] = []
        for channels in self.channels:
            layers += [nn.Conv2d(depth, channels, 5), nn.MaxPool2d(2), nn.ReLU()]
            depth, height, width = channels, (height - 4) // 2, (width - 4) // 2
        if height < 1 or width < 1:
            raise ValueError(f"{len(self.channels)} convolutions leave nothing of {tuple(shape)}")
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(depth * height * width, n_outputs))


@dataclass(frozen=True)
class Pairs:
    """Pairs of 3x3 convolutions, the first of each normed, 2x2 max pooling, and a linear layer.

    With its defaults the paper's network for CIFAR-10; there batch norm was in train mode, here
    `bench.models.sgd.SGD` fixes its statistics.

    Parameters
    ----------
    channels : of both convolutions of each pair.
    norm : batch norm after the first, third, ... convolution, or none.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    norm: Literal["batch", "none"] = "batch"

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        depth, height, width = shape
        layers: list[nn.Module] = []
        for channels in self.channels:
            layers.append(nn.Conv2d(depth, channels, 3, padding=1))
            if self.norm == "batch":
                layers.append(nn.BatchNorm2d(channels))
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
            layers += [nn.MaxPool2d(2), nn.ReLU()]
            depth, height, width = channels, height // 2, width // 2
        if height < 1 or width < 1:
            raise ValueError(f"{len(self.channels)} poolings leave nothing of {tuple(shape)}")
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(depth * height * width, n_outputs))

"""Convolutional architectures for small pictures: VGG-like chains and residual networks."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group", "none"]
"""What follows a convolution: batch norm (its averages are learned in training only), group norm
in groups of up to 8 channels, or nothing."""


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(max(1, channels // 8) if channels % 8 == 0 else 1, channels)
    return nn.Identity()


@dataclass(frozen=True)
class VGG:
    """Stages of 3x3 convolutions, each stage ended by a 2x2 max pooling, and one hidden layer.

    Parameters
    ----------
    stages : channels of the convolutions, a tuple a stage.
    hidden : width of the linear layer before the last.
    norm : what follows each convolution.

    References
    ----------
    Simonyan, Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*,
    ICLR 2015, Sec. 2, with fewer and narrower layers.
    """

    stages: tuple[tuple[int, ...], ...] = ((32, 32), (64, 64), (128, 128))
    hidden: int = 128
    norm: Norm = "none"

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        depth, height, width = shape
        layers: list[nn.Module] = []
        for stage in self.stages:
            for channels in stage:
                layers.append(nn.Conv2d(depth, channels, 3, padding=1))
                if self.norm != "none":
                    layers.append(_norm(self.norm, channels))
                layers.append(nn.ReLU())
                depth = channels
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        if not height * width:
            raise ValueError(f"{len(self.stages)} poolings leave nothing of {tuple(shape)}")
        layers += [nn.Flatten(), nn.Linear(depth * height * width, self.hidden), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(self.hidden, n_outputs))


class Residual(nn.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))); a 1x1 convolution where shapes change."""

    def __init__(self, inner: int, outer: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, padding=1, bias=norm == "none"),
            _norm(norm, outer),
            nn.ReLU(),
            nn.Conv2d(outer, outer, 3, padding=1, bias=norm == "none"),
            _norm(norm, outer),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inner != outer:
            across = nn.Conv2d(inner, outer, 1, stride, bias=norm == "none")
            self.shortcut = nn.Sequential(across, _norm(norm, outer))
        # Each use of an activation is a module of its own, as attributions by hooks want it.
        self.relu = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "n inner h w"]) -> Float[Tensor, "n outer h2 w2"]:
        summed: Tensor = self.relu(self.shortcut(inputs) + self.body(inputs))
        return summed


@dataclass(frozen=True)
class ResNet:
    """A residual network for 32x32 images: 6 blocks + 2 layers, so 8, 14, 20, ... for 1, 2, 3.

    Parameters
    ----------
    blocks : residual blocks a stage.
    widths : channels of each stage; all but the first halve the sides.
    norm : what follows each convolution. Batch norm wants `bench.models.trained.Trained`; with
        the others `bench.models.sgd.SGD`, which records its run, trains it as well.

    References
    ----------
    He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016, Sec. 4.2
    (option B).
    """

    blocks: int = 1
    widths: tuple[int, ...] = (16, 32, 64)
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        if self.blocks < 1 or not self.widths:
            raise ValueError(f"blocks={self.blocks}, widths={self.widths}: wanted one at least")

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        first = self.widths[0]
        layers = [
            nn.Conv2d(shape[0], first, 3, padding=1, bias=self.norm == "none"),
            _norm(self.norm, first),
            nn.ReLU(),
        ]
        inner = first
        for stage, outer in enumerate(self.widths):
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                layers.append(Residual(inner, outer, stride, self.norm))
                inner = outer
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, n_outputs)]
        return nn.Sequential(*layers)

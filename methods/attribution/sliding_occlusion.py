"""Occlusion by a window that slides over an image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.setfunction.sampling import at_positions, mean_where, window_positions
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class SlidingOcclusion:
    """F(nothing) - F(window), the mean over the windows that hold a position.

    A feature's value is the mean over its positions. A table has no neighbours: there each
    feature is a window of its own, which is plain occlusion.

    Parameters
    ----------
    patch : pixels along a side of the window.
    stride : pixels from one window to the next; the last ones end at the edge.

    References
    ----------
    Zeiler, Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, Sec. 4.2.
    """

    patch: int = 3
    stride: int = 1

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.patch:
            raise ValueError(
                f"stride={self.stride}, patch={self.patch}: wanted 1 <= stride <= patch, so that "
                "windows cover the image"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        inputs = problem.inputs
        if inputs.ndim == 4:
            squares = window_positions((inputs.shape[2], inputs.shape[3]), self.patch, self.stride)
            windows = squares[:, None].expand(-1, *inputs.shape[1:])
        else:
            each = torch.eye(problem.p, dtype=torch.bool, device=inputs.device)
            windows = problem.partition.positions(each)
        kept = torch.cat([torch.ones_like(inputs[:1]), (~windows).to(inputs)])
        values = at_positions(problem.output, inputs, problem.reference, kept)
        drops = mean_where(windows.flatten(1).double().cpu().numpy(), values[:, :1] - values[:, 1:])
        of_position = torch.from_numpy(drops).view(inputs.shape)
        sizes = problem.partition.sizes
        return Attribution(problem.partition.pooled(of_position) / sizes)

"""The gradient at the instance, or its absolute value."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Gradient:
    """sum over a feature's positions i of dg / dx_i, or of |dg / dx_i|.

    Parameters
    ----------
    absolute : take absolute values, as saliency maps do.

    References
    ----------
    Simonyan, Vedaldi, Zisserman, *Deep Inside Convolutional Networks*, ICLR workshop 2014,
    Sec. 3 (the absolute one).
    """

    absolute: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        gradient = problem.gradient(problem.inputs, torch.arange(problem.n))
        return Attribution(problem.partition.pooled(gradient.abs() if self.absolute else gradient))

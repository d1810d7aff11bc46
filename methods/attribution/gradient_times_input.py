"""The gradient times the input."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class GradientTimesInput:
    """sum over a feature's positions i of x_i dg / dx_i, whatever the reference is.

    References
    ----------
    Shrikumar, Greenside, Shcherbina, Kundaje, *Not Just a Black Box*, 2016, Sec. 3.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        gradient = problem.gradient(problem.inputs, torch.arange(problem.n))
        zero = torch.zeros_like(problem.inputs)
        return Attribution(problem.partition.pooled(problem.inputs * gradient), zero)

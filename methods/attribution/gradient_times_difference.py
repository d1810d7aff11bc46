"""The gradient times what deleting changes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class GradientTimesDifference:
    """sum over a feature's positions i of (x_i - b_i) dg / dx_i, b the reference's mean.

    It is the first-order Taylor term of what deleting the feature takes from g, and the first
    gradient step of both continuous relaxations of feature selection.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018 (the gradients
    of C-EFS and C-IFS at the instance).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        gradient = problem.gradient(problem.inputs, torch.arange(problem.n))
        return Attribution(problem.partition.pooled((problem.inputs - problem.baseline) * gradient))

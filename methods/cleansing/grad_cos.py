"""Grad-Cos: the angle between a row's gradient and the query's, at the end."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.influence import query_gradient
from bench.tasks.cleansing import CleansingProblem, Influence

from .row_gradients import all_gradients


@dataclass(frozen=True)
class GradCos:
    """<q, g_j> / (|q| |g_j|), q and g_j the gradients of the query's and the row's loss at the
    final parameters: negative = harmful.

    Unlike Grad-Dot a row of large loss has no louder voice. A row without gradient has 0.

    References
    ----------
    Charpiat, Girard, Felardos, Tarabalka, *Input Similarity from the Neural Network Perspective*,
    NeurIPS 2019, Sec. 2 (and Grad-Cos in Hanawa et al., ICLR 2021).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective, final = problem.trajectory.objective, problem.trajectory.final
        query = query_gradient(objective, final, problem.validation)
        direction = torch.nn.functional.normalize(query, dim=0)
        cosines = [
            torch.nn.functional.normalize(gradients, dim=1) @ direction
            for _, gradients in all_gradients(objective, final)
        ]
        return Influence.of(torch.cat(cosines))

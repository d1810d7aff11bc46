"""Grad-Dot: how far a row's gradient points the way that the query's does, at the end."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.models.influence import query_gradient
from bench.tasks.cleansing import CleansingProblem, Influence

from .row_gradients import all_products


@dataclass(frozen=True)
class GradDot:
    """<grad of the query's loss, grad l_j> at the final parameters: negative = harmful.

    It is Koh-Liang with the identity in place of the inverse Hessian, and TracIn with the end of
    the training for its only moment, both up to a factor.

    References
    ----------
    Charpiat, Girard, Felardos, Tarabalka, *Input Similarity from the Neural Network Perspective*,
    NeurIPS 2019, Sec. 2 (and Grad-Dot in Hanawa et al., ICLR 2021).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective, final = problem.trajectory.objective, problem.trajectory.final
        query = query_gradient(objective, final, problem.validation)
        return Influence.of(all_products(objective, final, query))

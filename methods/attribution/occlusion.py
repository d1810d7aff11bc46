"""Occlusion: what deleting one feature takes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Occlusion:
    """F(nothing) - F({i}), by p + 1 values of the set function.

    References
    ----------
    Zeiler, Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, Sec. 4.2.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        nothing = np.zeros((1, problem.p), dtype=bool)
        values = problem.value(np.concatenate([nothing, np.eye(problem.p, dtype=bool)]))
        return Attribution(values[:, :1] - values[:, 1:])

"""Beam search over orders of deletion."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.beam import beam
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Beam:
    """p - rank in the order of the largest J that a beam search over sets finds.

    The `width` best sets of each size are kept, each with the best order that leads to it; at
    most width p (p + 1) values an instance.

    Parameters
    ----------
    width : sets kept of each size; 1 is the joint greedy order, 2^p the exact optimum.
    least_first : grow the set of the least influential features, not of the most.

    References
    ----------
    Lowerre, *The HARPY Speech Recognition System*, 1976 (beam search). The objective: earnest.
    Zhou, Shah, *The Solvability of Interpretability Evaluation Metrics*, findings of
    EACL 2023 (beam search on sufficiency and comprehensiveness).
    """

    width: int = 8
    least_first: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width={self.width}: wanted at least 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        found = beam(problem.value, problem.n, problem.p, self.width, least_first=self.least_first)
        return Attribution(found.values)

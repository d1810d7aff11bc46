"""The honest rule list: as faithful and short as can be, however unfair it looks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.exact import Limits
from bench.rules.rationalize import rationalize
from bench.tasks.fairwashing_problem import FairwashingProblem, Rationalization

from .regions import answered, candidate


@dataclass(frozen=True)
class HonestList:
    """The list of least misclassification + price rules: the control that washes nothing.

    Parameters
    ----------
    price : lambda, of each rule.
    seconds : CPU seconds for a list, after which an answer hangs on the machine.
    compiled : by numba, None: where it is installed.

    References
    ----------
    Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of rationalization*, ICML
    2019, with beta 0: the objective of Angelino, Larus-Stone, Alabi, Seltzer, Rudin,
    *Learning Certifiably Optimal Rule Lists for Categorical Data*, JMLR 18(234), 2018.
    """

    price: float = 0.005
    seconds: float = 30.0
    compiled: bool | None = None

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        goal, limits = problem.goal(0.0, self.price), Limits(self.seconds)
        return answered(
            problem,
            lambda suing: [
                candidate(rationalize(suing, goal, limits=limits, compiled=self.compiled))
            ],
        )

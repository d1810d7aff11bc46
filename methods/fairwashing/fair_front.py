"""The front of fidelity and unfairness: the truest rule list that is as fair as wanted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.exact import Limits
from bench.rules.fair_search import Goal
from bench.rules.rationalize import FairList, Suing, front, rationalize
from bench.scores.disparity import disparity
from bench.tasks.fairwashing_problem import FairwashingProblem, Rationalization

from .regions import answered, least_first


@dataclass(frozen=True)
class FairFront:
    """For each tau the list of least misclassification + price rules with unfairness <= tau.

    Taus are equal steps up to the unfairness of the black box itself, so that half of it is one
    of them where `points` is even; where that is 0, up to the unfairness of the most faithful
    list.

    A front has points that no weight of unfairness leads to; and where unfairness is weighed
    enough to matter, constants often win.

    Parameters
    ----------
    points : how many taus.
    price : lambda, of each rule.
    seconds : CPU seconds for each tau, after which an answer hangs on the machine.
    compiled : by numba, None: where it is installed.

    References
    ----------
    Aivodji, Arai, Gambs, Hara, *Characterizing the risk of fairwashing*, NeurIPS 2021: the
    constraint form. Here each point is proved, see `bench.rules.rationalize.front`.
    """

    points: int = 20
    price: float = 0.005
    seconds: float = 30.0
    compiled: bool | None = None

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        goal = problem.goal(0.0, self.price)
        return answered(problem, lambda suing: least_first(self._front(suing, goal)))

    def _front(self, suing: Suing, goal: Goal) -> list[FairList]:
        limits, compiled = Limits(self.seconds), self.compiled
        given = suing.black_box, suing.groups, suing.right
        largest = float(disparity(goal.measure, *given).absolute)
        if not largest > 0:
            largest = rationalize(suing, goal, limits=limits, compiled=compiled).unfairness
        taus = largest * np.arange(1, self.points + 1) / self.points
        found = front(suing, goal, taus.tolist(), limits=limits, compiled=compiled)
        return [one for one in found if one is not None]

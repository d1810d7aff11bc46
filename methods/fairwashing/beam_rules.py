"""Fair rule lists by a beam alone: what a search without a proof finds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.fair_search import Space
from bench.rules.fairness import check_groups
from bench.rules.rationalize import FairList, Suing, fair_list
from bench.tasks.fairwashing_problem import Candidate, FairwashingProblem, Rationalization

from .regions import answered, least_first


@dataclass(frozen=True)
class BeamRules:
    """Keep so many prefixes of each length, those that may lead to the least objective.

    The best list met for each beta, by (1 - beta) misclassification + beta unfairness + price
    rules; the one of least objective first. Nothing is proved of it.

    Parameters
    ----------
    width : prefixes kept of each length.
    betas : weights of unfairness, each in [0, 1].
    price : lambda, of each rule.
    compiled : by numba, None: where it is installed.

    References
    ----------
    The objective: Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of
    rationalization*, ICML 2019. Beam search for rule lists: Clark, Niblett, *The CN2
    Induction Algorithm*, Machine Learning 3, 1989; here over whole prefixes.
    """

    width: int = 100
    betas: tuple[float, ...] = (0.1, 0.2, 0.5)
    price: float = 0.005
    compiled: bool | None = None

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width={self.width}: wanted 1 prefix or more")

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        def found(suing: Suing) -> list[Candidate]:
            lists = least_first(self._list(problem, suing, beta) for beta in self.betas)
            return [Candidate(one.model, one.size, one.objective) for one in lists]

        return answered(problem, found)

    def _list(self, problem: FairwashingProblem, suing: Suing, beta: float) -> FairList:
        goal = problem.goal(beta, self.price)
        check_groups(goal.measure, suing.patterns.totals)
        space = Space.of(suing.patterns, goal, compiled=self.compiled)
        outcome = space.search(beam=self.width, proof=False)
        return fair_list(outcome, suing, goal, 0.0)

"""LaundryML: the k best rule lists by a weighted sum of infidelity, unfairness and length."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.exact import Limits
from bench.rules.lawler import Distinct, best_lists
from bench.rules.rationalize import FairList, Suing
from bench.tasks.fairwashing_problem import FairwashingProblem, Rationalization

from .regions import answered, least_first


@dataclass(frozen=True)
class LaundryML:
    """Enumerate rule lists by (1 - beta) misclassification + beta unfairness + price rules.

    All lists of all betas are candidates, the one of least objective first. An objective of one
    beta says little beside that of another: the attacker looks at fidelity and unfairness.

    Where the reference's search stops at a number of nodes, this one ends with a proof of each
    list, or says in `bound` what is left open.

    Parameters
    ----------
    betas : weights of unfairness, each in [0, 1].
    price : the paper's lambda, of each rule.
    k : lists of each beta.
    distinct : whether lists count once a set of `columns`, or once what they predict.
    seconds : CPU seconds for the k lists of a beta, after which an answer hangs on the machine.
    compiled : by numba, None: where it is installed.

    References
    ----------
    Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of rationalization*, ICML
    2019, Algorithm 1.
    """

    betas: tuple[float, ...] = (0.1, 0.2, 0.5)
    price: float = 0.005
    k: int = 10
    distinct: Distinct = "columns"
    seconds: float = 30.0
    compiled: bool | None = None

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        def found(suing: Suing) -> list[FairList]:
            return [one for beta in self.betas for one in self._lists(problem, suing, beta)]

        return answered(problem, lambda suing: least_first(found(suing)))

    def _lists(
        self, problem: FairwashingProblem, suing: Suing, beta: float
    ) -> tuple[FairList, ...]:
        return best_lists(
            suing,
            problem.goal(beta, self.price),
            self.k,
            distinct=self.distinct,
            limits=Limits(self.seconds),
            compiled=self.compiled,
        ).lists

"""A rule list made greedily: append what raises the objective most."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules import RuleList
from bench.rules.local_search import Neighbours
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class GreedyList:
    """Append the rule with the largest objective of the longer list, until none raises it.

    Parameters
    ----------
    longest : rules in the list at most.

    References
    ----------
    Rivest, *Learning Decision Lists*, Machine Learning 2, 1987: one rule after the other, from
    the rows that are left. The objective: Pan, Wang, Hara, *Interpretable Companions for
    Black-Box Models*, AISTATS 2020, Sec. 4.
    """

    longest: int = 20

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        neighbours, chosen = Neighbours(problem.ground), list[int]()
        value = problem.ground.value(chosen)
        while len(chosen) < self.longest:
            values = neighbours.inserted(chosen, len(chosen))
            best = int(values.argmax())
            if values[best] <= value:
                break
            value = float(values[best])
            chosen.append(best)
        return problem.listed(chosen)

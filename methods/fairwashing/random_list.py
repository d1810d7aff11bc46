"""A random rule list: the control that every rationalizer must beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.fair_search import Outcome
from bench.rules.rationalize import Suing, fair_list
from bench.tasks.fairwashing_problem import Candidate, FairwashingProblem, Rationalization

from .regions import answered


@dataclass(frozen=True)
class RandomList:
    """Random columns and labels, drawn without a look at people or decisions.

    Parameters
    ----------
    length : rules in the list; as many as there are columns where those are fewer.
    """

    length: int = 4

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        def found(suing: Suing) -> list[Candidate]:
            columns = rng.permutation(suing.values.shape[1])[: self.length].tolist()
            *labels, default = rng.integers(2, size=len(columns) + 1).tolist()
            rules = tuple(zip(columns, labels, strict=True))
            drawn = Outcome(rules, default, np.inf, -np.inf, False, 0, np.inf)
            model = fair_list(drawn, suing, problem.goal(0.0, 0.0), 0.0)
            return [Candidate(model, len(rules))]

        return answered(problem, found)

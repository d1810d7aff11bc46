"""Random rules: the control that every companion must beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules import Rule, RuleList
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class RandomRules:
    """Conjunctions of random literals, drawn without a look at labels or the black box.

    Parameters
    ----------
    length, conditions : rules in the list, literals in a rule.
    """

    length: int = 8
    conditions: int = 2

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        n_literals = len(problem.train.literals.names)
        drawn = [rng.permutation(n_literals)[: self.conditions] for _ in range(self.length)]
        return problem.labelled([Rule(tuple(sorted(literals.tolist()))) for literals in drawn])

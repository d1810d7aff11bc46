"""The best companion rule list, proved as far as time allows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules import RuleList
from bench.rules.exact import Limits, certify
from bench.rules.local_search import locally_best
from bench.tasks.base import Method
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class ExactList:
    """Lists of at most 1, 2, ... rules proved optimal, or the start where it is better.

    Parameters
    ----------
    start : the method that finds a first list, by which more can be cut off.
    longest : rules in a list at most.
    seconds : CPU seconds for the proof, after which the best list so far is the answer.
    compiled : by numba, None: where it is installed. Without it fewer rules are proved.

    References
    ----------
    The objective: Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS
    2020, Sec. 4. The search: `bench.rules.exact`.
    """

    start: Method[CompanionProblem, RuleList]
    longest: int = 20
    seconds: float = 10.0
    compiled: bool | None = None

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        ground, first = problem.ground, self.start.explain(problem, rng=rng)
        place = {rule: at for at, rule in enumerate(problem.pool.rules)}
        known = [place[rule] for rule in first.rules if rule in place]
        certificate = certify(
            ground, known, longest=self.longest, limits=Limits(self.seconds), compiled=self.compiled
        )
        _, proved = locally_best(ground, certificate.lists[-1], longest=self.longest)
        return max((first, problem.listed(proved)), key=problem.value)

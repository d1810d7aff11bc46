"""Greedy orders of deletion or insertion."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.orders import Direction, greedy
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Greedy:
    """p - rank in an order that grows by the feature that is best at each step.

    It takes p (p + 1) / 2 - 1 values an instance, twice as many in the joint directions. It is
    no safe optimum: for arbitrary set functions it can end far from the best order.

    Parameters
    ----------
    direction : `delete_min`, `delete_max` (from nothing deleted), `insert_max`, `insert_min`
        (from everything deleted): what is done, and whether F is then to be least or largest.
        `joint` and `backward` look at F of the set and of its complement at once; they begin
        with the most and with the least influential feature.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018, its EFS
    (`delete_min`, `insert_min`) and IFS (`delete_max`, `insert_max`) problems.
    """

    direction: Direction = "delete_min"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        return Attribution(greedy(problem.value, problem.null, self.direction).values)

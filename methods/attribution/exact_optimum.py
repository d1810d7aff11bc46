"""The best of all orders, by dynamic programming over all sets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.lattice import least_area
from bench.setfunction.orders import NOISE, Ranking
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class ExactOptimum:
    """p - rank in an order of the largest J(pi) = A(reverse of pi) - A(pi), by 2^p values.

    Parameters
    ----------
    exact_up_to : the largest number of features.

    References
    ----------
    Earnest's criterion itself: its ideal influence is 1. Held, Karp, *A Dynamic Programming
    Approach to Sequencing Problems*, 1962 (the programme).
    """

    exact_up_to: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.p > self.exact_up_to:
            raise Unsupported(f"asks 2^p values: p = {problem.p} is above {self.exact_up_to}")
        table = problem.table()
        _, orders = least_area(table, "joint")
        return Attribution(Ranking(orders, np.ptp(table, axis=1) > NOISE).values)

"""Any method, its order improved by swaps of neighbours."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.orders import polish
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Method


@dataclass(frozen=True)
class Polish:
    """p - rank in the order of `start` after swaps of neighbours that raise J.

    Odd places are swapped at once, then even ones; a sweep takes 2 (p - 1) values an instance
    and never lowers J(pi) = A(reverse of pi) - A(pi). Ties of `start` go to the lower feature.

    Parameters
    ----------
    start : the method whose order is improved.
    sweeps : at most this many, p for 0.

    References
    ----------
    Habermann, *Parallel Neighbor-Sort*, 1972 (odd-even transposition); the use here: earnest.
    """

    start: Method[AttributionProblem, Attribution]
    sweeps: int = 0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        values = self.start.explain(problem, rng=rng).values
        orders = np.argsort(-values, axis=1, kind="stable")
        found = polish(problem.value, orders, self.sweeps or problem.p, null=problem.null)
        return Attribution(found.values)

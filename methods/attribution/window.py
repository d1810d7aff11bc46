"""Any method, its order made exact inside windows of neighbours."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.window import window
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Method


@dataclass(frozen=True)
class Window:
    """p - rank in the order of `start` after each run of `width` neighbours is at its best.

    The exact programme runs over all subsets of a run, what comes before it and behind it fixed;
    runs overlap by half. J(pi) = A(reverse of pi) - A(pi) never falls. A sweep takes at most
    2^(width + 1) values at each of about 2 p / width places. Ties of `start` go to the lower
    feature.

    Parameters
    ----------
    start : the method whose order is improved.
    width : neighbours put in order at once; 2 swaps, p is the exact optimum.
    sweeps : at most this many; fewer where one changes nothing.

    References
    ----------
    Held, Karp, *A Dynamic Programming Approach to Sequencing Problems*, 1962 (the programme);
    the use here: earnest.
    """

    start: Method[AttributionProblem, Attribution]
    width: int = 8
    sweeps: int = 4

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        for name, least in (("width", 2), ("sweeps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        values = self.start.explain(problem, rng=rng).values
        if problem.p < 2:
            return Attribution(np.zeros_like(values))
        orders = np.argsort(-values, axis=1, kind="stable")
        found = window(problem.value, orders, self.width, sweeps=self.sweeps)
        return Attribution(found.values)

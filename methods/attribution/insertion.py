"""Single insertion: what keeping one feature alone gives."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class Insertion:
    """F(all but i) - F(everything), by p + 1 values of the set function.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018: the first
    greedy step of inclusive selection from everything deleted. Occlusion is exclusion's.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        everything = np.ones((1, problem.p), dtype=bool)
        values = problem.value(np.concatenate([everything, ~np.eye(problem.p, dtype=bool)]))
        return Attribution(values[:, 1:] - values[:, :1])

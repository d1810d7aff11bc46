"""How far F depends on a feature's being kept, by the Hilbert-Schmidt independence criterion."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.sampling import dependences, random_sets
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class HSIC:
    """HSIC of F and the coin by which a feature is kept, over random sets; no sign.

    The kernel on coins is 1 where they agree, that on F a Gaussian as wide as the root mean
    square of differences. Sets are shared by all instances.

    Parameters
    ----------
    samples : sets, in pairs of complements.

    References
    ----------
    Novello, Fel, Vigouroux, *Making Sense of Dependence: Efficient Black-box Explanations Using
    Dependence Measure*, NeurIPS 2022.
    """

    samples: int = 500

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples={self.samples}: wanted at least 2, a pair of sets")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        deleted = random_sets(problem.p, self.samples, pairs=True, rng=rng)
        return Attribution(dependences(~deleted, problem.value(deleted)))

"""Shapley values by random orders."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.sampling import mean_contributions, random_orders
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class ShapleySampling:
    """What deleting a feature takes from F at its place in an order, the mean over orders.

    Orders are shared by all instances and come in pairs, one read backwards. The values sum to
    F(nothing) - F(everything).

    Parameters
    ----------
    samples : values asked an instance, about: samples / (p - 1) orders, at least two.

    References
    ----------
    Castro, Gomez, Tejada, *Polynomial calculation of the Shapley value based on sampling*,
    Computers & Operations Research 2009.
    Mitchell, Cooper, Frank, Holmes, *Sampling Permutations for Shapley Value Estimation*, JMLR
    2022 (pairs).
    """

    samples: int = 500

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}: wanted at least 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        count = max(2, self.samples // max(1, problem.p - 1))
        orders = random_orders(problem.p, count, rng=rng)
        return Attribution(mean_contributions(problem.value, orders))

"""Feature selection with weights between 0 and 1: C-EFS and C-IFS, at all prices or at one."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.models.base import Capability
from bench.setfunction.continuous import Blend, selection, selection_path
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class ContinuousSelection:
    """C-EFS, min_w sum w + lambda f(w), and C-IFS, max_w sum w + lambda f(w), w in [0, 1]^p.

    f(w) is the mean of g((1 - w) x + w r). One lambda parts the features in two, which is no
    ranking; so the price 1 / lambda of a deleted feature rises from -`dearest` over 0 to
    `dearest` while Adam follows with projected steps, and a feature's value is the part of the
    way on which it is deleted (C-EFS: s = w) or kept (C-IFS: s = 1 - w). Prices are even on a
    logarithmic scale and counted in units of the instance's mean |df / dw|.

    Parameters
    ----------
    side : `exclusion` (C-EFS) or `inclusion` (C-IFS).
    steps : of Adam; half of them at prices below 0.
    rate : of Adam.
    cheapest, dearest : the least and the largest size of the price. Where they are equal the
        second half is the paper's problem, and the value is the weight at its end.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018, C-EFS and
    C-IFS (Grad-EFS and Grad-IFS in its table). The path over lambda: earnest.
    """

    side: Literal["exclusion", "inclusion"] = "inclusion"
    steps: int = 300
    rate: float = 0.05
    cheapest: float = 0.1
    dearest: float = 10.0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        for name, least in (("steps", 2), ("rate", 1e-12), ("cheapest", 1e-12)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least:g}")
        if not self.dearest >= self.cheapest:
            raise ValueError(f"dearest={self.dearest}: wanted at least cheapest={self.cheapest}")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        blend = Blend(problem.inputs, problem.partition, problem.reference, problem.gradient)
        sizes = np.geomspace(self.cheapest, self.dearest, self.steps // 2)
        prices = np.concatenate([-sizes[::-1], sizes])
        total = last = np.zeros((problem.n, problem.p))
        for last in selection_path(blend, self.side, prices, self.rate, rng=rng):
            total = total + last
        deleted = last if self.cheapest == self.dearest else total / len(prices)
        return Attribution(deleted if self.side == "exclusion" else 1 - deleted)


@dataclass(frozen=True)
class SelectionAtOnePrice:
    """C-EFS and C-IFS in the paper's own form, at one lambda in the raw unit of f.

    C-EFS: min_w sum w + lambda E_r g((1 - w) x + w r), s = w. C-IFS: max_w of the same, s = 1 - w.
    w in [0, 1]^p is found by projected steps, and w is what the last step leaves.
    A single lambda parts the features in two, deleted and kept: most weights end at 0 or 1, and
    the record's `tie_mass` says how many are equal. `ContinuousSelection` follows all lambdas.

    Parameters
    ----------
    side : `exclusion` (C-EFS) or `inclusion` (C-IFS).
    lambda_ : lambda, features a unit of g: deleting a feature counts 1, g counts lambda. Where g
        is a probability and lambda <= 1 no single change of g is worth a feature.
    optimiser : `adam` or `sgd`.
    start : every weight before the first step. One step of `sgd` from 0 orders as the gradient
        times x - E r does; but a sure probability is flat there, and exclusion stays where it is.
    steps, rate : of the optimiser.
    draws : of the reference a step, with replacement.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018, C-EFS and
    C-IFS (Grad-EFS and Grad-IFS in its table).
    """

    side: Literal["exclusion", "inclusion"] = "inclusion"
    lambda_: float = 30.0
    optimiser: Literal["adam", "sgd"] = "adam"
    start: float = 0.0
    steps: int = 300
    rate: float = 0.05
    draws: int = 1

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        for name in ("lambda_", "steps", "rate", "draws"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")
        if not 0 <= self.start <= 1:
            raise ValueError(f"start={self.start}: wanted 0 to 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        deleted = selection(
            Blend(problem.inputs, problem.partition, problem.reference, problem.gradient),
            self.side,
            self.lambda_,
            optimiser=self.optimiser,
            start=self.start,
            steps=self.steps,
            rate=self.rate,
            draws=self.draws,
            rng=rng,
        )
        return Attribution(deleted if self.side == "exclusion" else 1 - deleted)

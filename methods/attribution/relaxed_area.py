"""The area under the deletion curve made differentiable, and descended."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.continuous import Adam, Blend, Side, area_slope
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class RelaxedArea:
    """Scores s that descend the area under f along soft sets sigmoid((s - t) / temperature).

    Thresholds t are set so that random shares of the features, the same for all instances, are
    deleted; the temperature falls geometrically, Adam's rate linearly to 0. With `both` sides it
    is -J(pi) that is relaxed, with one of them the area that EX or IN looks at.

    Parameters
    ----------
    side : `exclusion` (the most influential deleted first), `inclusion` (kept longest) or `both`.
    steps : of Adam.
    budgets : shares of deleted features a step, one in each of that many equal strata.
    rate : of Adam at first.
    hot, cold : the temperature at first and at last.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018 (the areas AUEC
    and AOIC; the continuous relaxation of a set). Their union in one objective: earnest.
    """

    side: Side = "both"
    steps: int = 100
    budgets: int = 4
    rate: float = 0.2
    hot: float = 1.0
    cold: float = 0.1

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        for name in ("steps", "budgets", "rate", "cold"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")
        if not self.hot >= self.cold:
            raise ValueError(f"hot={self.hot}: wanted at least cold={self.cold}")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        blend = Blend(problem.inputs, problem.partition, problem.reference, problem.gradient)
        adam = Adam(np.zeros((problem.n, problem.p)))
        temperatures = np.geomspace(self.hot, self.cold, self.steps)
        rates = np.linspace(self.rate, 0.0, self.steps, endpoint=False)
        for temperature, rate in zip(temperatures, rates, strict=True):
            shares = (np.arange(self.budgets) + rng.random(self.budgets)) / self.budgets
            draw = rng.integers(problem.reference.count, size=1)
            slope = area_slope(blend, adam.at, shares, float(temperature), self.side, draw)
            adam.descend(slope, float(rate))
        return Attribution(adam.at)

"""Influence functions at the trained network: one system with its Hessian solved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.influence import query_gradient
from bench.tasks.cleansing import CleansingProblem, Influence

from .inverse_hessian import (
    ConjugateGradients,
    Curvature,
    Solver,
    Systems,
    conjugate_gradients,
    hessian_product,
)
from .row_gradients import all_products

__all__ = ["KohLiang", "conjugate_gradients", "hessian_product"]


@dataclass(frozen=True)
class KohLiang:
    """(1 / n) <v, grad l_j> with (H + damping I) v = u, all at the final parameters.

    H is the Hessian of the mean training loss (penalty included), u the gradient of the query's
    loss. Leaving a row out of a strictly convex problem solved to the end changes the query's
    loss by this much, to first order: negative = harmful.

    Parameters
    ----------
    damping : added to the Hessian's diagonal; the answer depends on it.
    solver : how the system is solved, see `inverse_hessian`; so does the answer on this, where
        it stops early.
    sign : `removal`, as above; `upweighting`, minus that, the change when the row counts more
        (`I_up,loss` of the paper). The code of the NeurIPS 2019 paper has `removal` in its Sec.
        7.1 and `upweighting` in its Sec. 7.2, where the smallest values are removed all the same.

    References
    ----------
    Koh, Liang, *Understanding Black-box Predictions via Influence Functions*, ICML 2017,
    Sec. 2-3. Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019.
    """

    damping: float = 1.0
    solver: Solver = ConjugateGradients()
    sign: Literal["removal", "upweighting"] = "removal"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def __post_init__(self) -> None:
        if self.damping < 0:
            raise ValueError(f"damping={self.damping}: wanted 0 or more")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        (answer,) = self.explain_each(problem, (self.damping,), rng=rng)
        if isinstance(answer, FloatingPointError):
            raise answer
        return answer

    def explain_each(
        self, problem: CleansingProblem, dampings: Sequence[float], *, rng: np.random.Generator
    ) -> list[Influence | FloatingPointError]:
        """What `explain` returns or raises with each damping, the systems solved together."""
        for damping in dampings:
            replace(self, damping=damping)  # which checks it
        objective, final = problem.trajectory.objective, problem.trajectory.final
        query = query_gradient(objective, final, problem.validation)
        systems = Systems(Curvature(objective, final), query, dampings)
        solved = self.solver.solve(systems, rng=rng)
        return [
            self._answer(problem, v) if bool(v.isfinite().all()) else self._diverged(damping)
            for v, damping in zip(solved, dampings, strict=True)
        ]

    def _answer(self, problem: CleansingProblem, solved: Float[Tensor, " p"]) -> Influence:
        objective, final = problem.trajectory.objective, problem.trajectory.final
        values = all_products(objective, final, solved) / len(problem.train)
        return Influence.of(values if self.sign == "removal" else -values)

    def _diverged(self, damping: float) -> FloatingPointError:
        name, remedy = type(self.solver).__name__, self.solver.remedy
        return FloatingPointError(f"{name} diverges with damping {damping:g}: {remedy}")

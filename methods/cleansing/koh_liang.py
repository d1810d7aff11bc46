"""Influence functions at the trained network, the inverse Hessian by conjugate gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.influence import query_gradient, row_products
from bench.models.trajectory import Objective
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class KohLiang:
    """(1 / n) <v, grad l_j> with (H + damping I) v = u, all at the final parameters.

    H is the Hessian of the mean training loss, u the gradient of the query's loss. A network's
    H may be indefinite: the conjugate gradients stop at the first direction along which
    H + damping I isn't positive and keep the v reached (Steihaug's rule; if it is the first
    direction, v = u / damping).

    Parameters
    ----------
    damping : added to the Hessian's diagonal; the answer depends on it.
    iterations : at most this many Hessian products.
    tolerance : stop where |(H + damping I) v - u| falls to this share of |u|.

    References
    ----------
    Koh, Liang, *Understanding Black-box Predictions via Influence Functions*, ICML 2017,
    Sec. 2-3. Steihaug, *The Conjugate Gradient Method and Trust Regions in Large Scale
    Optimization*, SIAM J. Numer. Anal. 20, 1983.
    """

    damping: float = 1.0
    iterations: int = 100
    tolerance: float = 1e-5

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def __post_init__(self) -> None:
        if self.damping <= 0:
            raise ValueError(f"damping={self.damping}: wanted more than 0")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective, final = problem.trajectory.objective, problem.trajectory.final
        query = query_gradient(objective, final, problem.validation)
        product = hessian_product(objective, final)
        solved = conjugate_gradients(
            lambda v: product(v) + self.damping * v,
            query,
            first=1 / self.damping,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        rows = torch.arange(len(problem.train))
        values = row_products(objective, final, rows, solved) / len(rows)
        return Influence(values.double().numpy())


def hessian_product(
    objective: Objective, flat: Float[Tensor, " p"]
) -> Callable[[Float[Tensor, " p"]], Float[Tensor, " p"]]:
    """v -> H v, with H the Hessian of the mean training loss (penalty included) at `flat`."""
    flats = flat.detach()[None].requires_grad_()
    mean = objective.losses(flats, torch.arange(len(objective.samples))).mean()
    (gradients,) = torch.autograd.grad(mean, flats, create_graph=True)
    return lambda v: torch.autograd.grad(gradients[0] @ v, flats, retain_graph=True)[0][0]


def conjugate_gradients(
    product: Callable[[Float[Tensor, " p"]], Float[Tensor, " p"]],
    target: Float[Tensor, " p"],
    *,
    first: float,
    iterations: int,
    tolerance: float,
) -> Float[Tensor, " p"]:
    """v with product(v) = target, stopped where the curvature isn't positive.

    `first` times `target` is the answer where that happens along the first direction.
    """
    solved, residual = torch.zeros_like(target), target
    direction, norm = residual, residual @ residual
    goal = tolerance**2 * norm
    for i in range(iterations):
        if norm <= goal:
            break
        curved = product(direction)
        curvature = direction @ curved
        if curvature <= 0:
            return solved if i else first * target
        solved = solved + norm / curvature * direction
        residual = residual - norm / curvature * curved
        norm, before = residual @ residual, norm
        direction = residual + norm / before * direction
    return solved

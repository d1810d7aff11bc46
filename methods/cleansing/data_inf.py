"""DataInf: the inverse of a mean of matrices taken for the mean of their inverses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.influence import query_gradient
from bench.models.trajectory import Objective
from bench.tasks.cleansing import CleansingProblem, Influence

from .row_gradients import all_gradients, all_products


@dataclass(frozen=True)
class DataInf:
    """(1 / n) <v, g_j> with v = (1 / n) sum_i (g_i g_i' + lambda I)^-1 u in each layer.

    g_i are the rows' gradients at the final parameters, u the query's. The Hessian is taken for
    the mean of g_i g_i', one block a layer, and the inverse of that mean for the mean of the
    inverses, each of which is (I - g_i g_i' / (lambda + |g_i|^2)) / lambda: no matrix is formed.
    Negative = harmful.

    Parameters
    ----------
    damping : lambda of a layer is this share of the mean square of its gradients' entries.

    References
    ----------
    Kwon, Wu, Wu, Zou, *DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and
    Diffusion Models*, ICLR 2024, Eq. 5; the share: its Sec. 3.
    """

    damping: float = 0.1

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def __post_init__(self) -> None:
        if self.damping <= 0:
            raise ValueError(f"damping={self.damping}: wanted more than 0")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective, final = problem.trajectory.objective, problem.trajectory.final
        query = query_gradient(objective, final, problem.validation)
        solved = self._solved(objective, final, query)
        values = all_products(objective, final, solved) / len(problem.train)
        return Influence.of(values)

    def _solved(
        self, objective: Objective, final: Float[Tensor, " p"], query: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """v: two passes over the rows, one for each layer's lambda, one for the sum."""
        sizes, n = layer_sizes(objective.module), len(objective.samples)
        squares = torch.zeros_like(query)
        for _, gradients in all_gradients(objective, final):
            squares += gradients.square().sum(0) / n
        # A layer that no row's gradient reaches has no say, whatever its lambda.
        lambdas = [self.damping * part.mean().clamp(min=1e-12) for part in squares.split(sizes)]
        removed = torch.zeros_like(query)
        for _, gradients in all_gradients(objective, final):
            removed += torch.cat(
                [
                    ((g @ u) / (damping + g.square().sum(1))) @ g / n
                    for g, u, damping in zip(
                        gradients.split(sizes, dim=1), query.split(sizes), lambdas, strict=True
                    )
                ]
            )
        parts = zip(query.split(sizes), removed.split(sizes), lambdas, strict=True)
        return torch.cat([(u - less) / damping for u, less, damping in parts])


def layer_sizes(module: torch.nn.Module) -> list[int]:
    """How many parameters each layer has, a layer being a module with parameters of its own."""
    own = [list(part.parameters(recurse=False)) for part in module.modules()]
    return [sum(p.numel() for p in parameters) for parameters in own if parameters]

"""How an explainer of shap is found by its name, and which instances it is given together."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from bench.tasks.attribution import AttributionProblem
from bench.tasks.foreign import package


def explainer_class(name: str) -> Any:
    """The class of shap with this name.

    Raises
    ------
    ValueError
        where there is none.
    Unsupported
        where shap isn't installed.
    """
    kind = getattr(package("shap"), name, None)
    if kind is None:
        raise ValueError(f"explainer={name!r}: wanted a class of shap")
    return kind


def together(problem: AttributionProblem) -> list[Int[Tensor, " b"]]:
    """Instances that share target and draws."""
    if not problem.reference.shared:
        return list(torch.arange(problem.n, device=problem.inputs.device).split(1))
    return [torch.nonzero(problem.targets == c)[:, 0] for c in problem.targets.unique()]

"""Any explainer of shap that needs the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import Output, differentiable, seeded

from .shap_call import explainer_class, together


@dataclass(frozen=True)
class ShapGradient:
    """The sum over a feature's positions of what a gradient-based explainer of shap gives.

    It explains g, with the draws of the reference for shap's background.

    Parameters
    ----------
    explainer : `GradientExplainer` or `DeepExplainer`.
    options : keyword arguments of its `shap_values`.

    References
    ----------
    Lundberg, Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017,
    Sec. 4.2 (deep). Erion et al., *Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients*, Nature Machine Intelligence 2021 (gradient).
    """

    explainer: str
    options: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})
    imports: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        if self.explainer not in ("GradientExplainer", "DeepExplainer"):
            raise ValueError(
                f"explainer={self.explainer!r}: wanted 'GradientExplainer' or 'DeepExplainer'"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.explainer)
        differentiable(problem)
        found = torch.zeros_like(problem.inputs, dtype=torch.float64)
        with seeded(rng):
            for rows in together(problem):
                target, draws = int(problem.targets[rows[0]]), problem.reference.of(rows[:1])[0]
                explainer = kind(Output(problem, target), draws.clone())
                values = explainer.shap_values(problem.inputs[rows].clone(), **self.options)
                found[rows] = torch.as_tensor(values).to(found).reshape(found[rows].shape)
        return Attribution(problem.partition.pooled(found))

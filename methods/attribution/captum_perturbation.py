"""Any explainer of captum that only asks the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.base import Capability
from bench.models.chunks import row_blocks, rows_at_once
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import Output, alone, package, seeded

from .captum_call import explainer_class, own_baseline, taken

WINDOW = 3
"""Side of the square that Occlusion slides over an image where the options name none."""


@dataclass(frozen=True)
class CaptumPerturbation:
    """A feature's value by an explainer of captum that replaces it by the reference's mean.

    It explains g, and perturbs the problem's features together; Occlusion, which knows no
    features, slides over positions, and a feature's are summed.

    Parameters
    ----------
    attribution : a perturbation among the classes of `captum.attr`.
    options : keyword arguments of its `attribute`; they go before what the problem gives.
        `baselines` among them is a number, and reported as the baseline.
    construct : keyword arguments of the class itself.

    References
    ----------
    Kokhlikyan et al., *Captum: A unified and generic model interpretability library for
    PyTorch*, 2020.
    """

    attribution: str
    options: Mapping[str, Any] = field(default_factory=dict)
    construct: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})
    imports: ClassVar[tuple[str, ...]] = ("captum.attr",)

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.attribution, perturbation=True)
        # One mask for all that captum is given: instances with features of their own go alone.
        own = problem.partition.own
        each = [alone(problem, row) for row in range(problem.n)] if own else [problem]
        with seeded(rng), torch.no_grad():
            parts = [
                self._explained(kind, some, rows)
                for some in each
                for rows in row_blocks(some.inputs)
            ]
        return Attribution(np.concatenate(parts), own_baseline(problem, self.options))

    def _explained(
        self, kind: Any, problem: AttributionProblem, rows: Int[Tensor, " b"]
    ) -> Float[np.ndarray, "b p"]:
        explainer = kind(Output(problem), **self.construct)
        features, shape = problem.partition.only(0), problem.inputs.shape[1:]
        # Lime, and KernelShap with it, takes one instance after the other.
        singly = issubclass(kind, package("captum.attr").Lime)
        known = {
            "baselines": problem.baseline[rows],
            "feature_mask": features.membership[None],
            "additional_forward_args": (rows,),
            "sliding_window_shapes": (shape[0], WINDOW, WINDOW) if len(shape) == 3 else (1,),
            "perturbations_per_eval": max(
                1, rows_at_once(problem.inputs) // (1 if singly else len(rows))
            ),
        }
        given = taken(explainer, known)
        inputs = problem.inputs[rows].clone()
        found: Tensor = explainer.attribute(inputs, **{**given, **self.options})
        # Each position of a feature has got the feature's value.
        times = features.sizes if "feature_mask" in given else 1.0
        return features.pooled(found) / times

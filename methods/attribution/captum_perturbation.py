"""Any explainer of captum that only asks the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import Output, alone, seeded

from .captum_call import explainer_class, taken

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
    construct : keyword arguments of the class itself.

    References
    ----------
    Kokhlikyan et al., *Captum: A unified and generic model interpretability library for
    PyTorch*, 2020.
    """

    attribution: str
    options: Mapping[str, Any] = field(default_factory=dict)
    construct: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.attribution, perturbation=True)
        # One mask for all that captum is given: instances with features of their own go alone.
        own = problem.partition.own
        each = [alone(problem, row) for row in range(problem.n)] if own else [problem]
        with seeded(rng), torch.no_grad():
            return Attribution(np.concatenate([self._explained(kind, some) for some in each]))

    def _explained(self, kind: Any, problem: AttributionProblem) -> Float[np.ndarray, "n p"]:
        explainer = kind(Output(problem), **self.construct)
        features, shape = problem.partition.only(0), problem.inputs.shape[1:]
        known = {
            "baselines": problem.baseline,
            "feature_mask": features.membership[None],
            "additional_forward_args": (torch.arange(problem.n, device=problem.inputs.device),),
            "sliding_window_shapes": (shape[0], WINDOW, WINDOW) if len(shape) == 3 else (1,),
        }
        given = taken(explainer, known)
        found: Tensor = explainer.attribute(problem.inputs.clone(), **{**given, **self.options})
        # Each position of a feature has got the feature's value.
        times = features.sizes if "feature_mask" in given else 1.0
        return features.pooled(found) / times

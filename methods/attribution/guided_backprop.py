"""Guided backpropagation and the deconvolutional network: ReLUs that pass positive gradients."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch

from bench.models.backward_rules import RECTIFIERS, Replaced, deconvolved, guided
from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported

Rule = Literal["guided", "deconvolution"]
RULES = {"guided": guided, "deconvolution": deconvolved}


@dataclass(frozen=True)
class GuidedBackprop:
    """sum over a feature's positions of dg / dx_i, where ReLUs let positive gradients back only.

    It knows ReLU, ReLU6 and softplus (a smooth ReLU), as modules or as functions.

    Parameters
    ----------
    rule : of a ReLU; `guided`: a gradient goes back where it is positive and the unit was
        active; `deconvolution`: where it is positive.
    absolute : take absolute values.

    References
    ----------
    Springenberg, Dosovitskiy, Brox, Riedmiller, *Striving for Simplicity*, ICLR workshop 2015,
    Sec. 3.4 (guided). Zeiler, Fergus, *Visualizing and Understanding Convolutional Networks*,
    ECCV 2014, Sec. 2.1 (deconvolution).
    """

    rule: Rule = "guided"
    absolute: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise ValueError(f"rule={self.rule!r}: wanted one of {', '.join(get_args(Rule))}")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        rows = torch.arange(problem.n, device=problem.inputs.device)
        with Replaced(RECTIFIERS, RULES[self.rule]) as replaced:
            gradient = problem.gradient(problem.inputs, rows)
        if not replaced.met:
            raise Unsupported("needs a network with ReLU, ReLU6 or softplus")
        return Attribution(problem.partition.pooled(gradient.abs() if self.absolute else gradient))

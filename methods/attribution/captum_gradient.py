"""Any explainer of captum that needs the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import Output, package, seeded

from .captum_call import explainer_class, taken


@dataclass(frozen=True)
class CaptumGradient:
    """The sum over a feature's positions of what a gradient-based explainer of captum gives.

    It explains g. Where the explainer takes `baselines` they are the mean of the reference, its
    draws for GradientShap and DeepLiftShap; where it takes a `layer` it is the last convolution,
    and a map of that layer is stretched over the image.

    Parameters
    ----------
    attribution : a class of `captum.attr` that is no perturbation.
    options : keyword arguments of its `attribute`; they go before what the problem gives.
    construct : keyword arguments of the class itself.
    tunnel : keyword arguments of `NoiseTunnel.attribute` (`nt_type`, `nt_samples`, `stdevs`);
        none: no noise.

    References
    ----------
    Kokhlikyan et al., *Captum: A unified and generic model interpretability library for
    PyTorch*, 2020.
    """

    attribution: str
    options: Mapping[str, Any] = field(default_factory=dict)
    construct: Mapping[str, Any] = field(default_factory=dict)
    tunnel: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.attribution, perturbation=False)
        if problem.model.module is None:
            raise Unsupported("needs a differentiable model")
        made = dict(self.construct)
        if "layer" in signature(kind).parameters and "layer" not in made:
            made["layer"] = _last_convolution(problem.model.module)
        explainer = kind(Output(problem), **made)
        # Draws of its own for each instance: captum takes one set of them for all it is given.
        each = self._takes_draws and not problem.reference.shared
        rows = torch.arange(problem.n, device=problem.inputs.device)
        with seeded(rng):
            parts = [
                self._explained(explainer, problem, some)
                for some in rows.split(1 if each else problem.n)
            ]
        return Attribution(problem.partition.pooled(torch.cat(parts)))

    @property
    def _takes_draws(self) -> bool:
        return self.attribution in ("GradientShap", "DeepLiftShap")

    def _explained(
        self, explainer: Any, problem: AttributionProblem, rows: Int[Tensor, " b"]
    ) -> Float[Tensor, "b *features"]:
        inputs = problem.inputs[rows].clone()
        draws = problem.reference.of(rows[:1])[0]
        if len(draws) == 1:
            draws = draws.expand(2, *draws.shape[1:])  # DeepLiftShap refuses a single one
        known = {
            "baselines": draws if self._takes_draws else problem.baseline[rows],
            "additional_forward_args": (rows,),
        }
        given = {**taken(explainer, known), **self.options, **self.tunnel}
        captum = package("captum.attr")
        if self.tunnel:
            explainer = captum.NoiseTunnel(explainer)
        found: Tensor = explainer.attribute(inputs, **given)
        if found.shape != inputs.shape:
            stretched = captum.LayerAttribution.interpolate(found.mean(1, True), inputs.shape[2:])
            found = stretched.expand_as(inputs) / inputs.shape[1]
        return found.detach()


def _last_convolution(module: nn.Module) -> nn.Module:
    found = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    if not found:
        raise Unsupported("needs a network with convolutions")
    return found[-1]

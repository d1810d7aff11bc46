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
from bench.models.chunks import rows_at_once
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import Output, differentiable, package, seeded

from .captum_call import explainer_class, own_baseline, taken


@dataclass(frozen=True)
class CaptumGradient:
    """The sum over a feature's positions of what a gradient-based explainer of captum gives.

    It explains g. Where the explainer takes `baselines` they are the mean of the reference, its
    draws for GradientShap and DeepLiftShap; where it takes a `layer` it is the last convolution,
    and a map of that layer is stretched over the image. Its rule for a softmax subtracts a mean
    over all rows that it is given, so DeepLift explains a probability one instance after the
    other.

    Parameters
    ----------
    attribution : a class of `captum.attr` that is no perturbation.
    options : keyword arguments of its `attribute`; they go before what the problem gives.
        `baselines` among them is a number, and reported as the baseline.
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

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})
    imports: ClassVar[tuple[str, ...]] = ("captum.attr",)

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.attribution, perturbation=False)
        module = differentiable(problem)
        made = dict(self.construct)
        if "layer" in signature(kind).parameters and "layer" not in made:
            made["layer"] = _last_convolution(module)
        explainer = kind(Output(problem), **made)
        rows = torch.arange(problem.n, device=problem.inputs.device)
        with seeded(rng):
            parts = [
                self._explained(explainer, problem, some)
                for some in rows.split(self._together(problem))
            ]
        values = problem.partition.pooled(torch.cat(parts))
        if self.attribution == "InputXGradient":
            return Attribution(values, torch.zeros_like(problem.inputs))
        return Attribution(values, own_baseline(problem, self.options))

    @property
    def _takes_draws(self) -> bool:
        return self.attribution in ("GradientShap", "DeepLiftShap")

    @property
    def _rescales(self) -> bool:
        return self.attribution in ("DeepLift", "DeepLiftShap")

    def _together(self, problem: AttributionProblem) -> int:
        """How many instances captum is given at once: all of their points go through at once."""
        # Captum takes one set of draws for all it is given.
        if self._takes_draws and not problem.reference.shared:
            return 1
        if self._rescales and problem.g == "probability":
            return 1
        points: int = self.tunnel.get("nt_samples", 1)
        if self.attribution == "GradientShap":
            points *= self.options.get("n_samples", 1)
        if self._rescales:
            points *= 2 * (problem.reference.count if self._takes_draws else 1)
        return max(1, rows_at_once(problem.inputs) // points)

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
            "internal_batch_size": rows_at_once(inputs),
        }
        given = {**taken(explainer, known), **self.options}
        captum = package("captum.attr")
        if self.tunnel:
            explainer = captum.NoiseTunnel(explainer)
            copies = max(1, rows_at_once(inputs) // len(rows))
            given |= {"nt_samples_batch_size": copies, **self.tunnel}
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

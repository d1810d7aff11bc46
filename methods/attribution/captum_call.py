"""How an explainer of captum is found by its name, and given the arguments that it takes."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bench.tasks.attribution import AttributionProblem
from bench.tasks.foreign import package


def explainer_class(name: str, *, perturbation: bool) -> Any:
    """The class of `captum.attr` with this name.

    Raises
    ------
    ValueError
        where there is none, or it is no perturbation where one is wanted, or the reverse.
    Unsupported
        where captum isn't installed.
    """
    captum = package("captum.attr")
    kind = getattr(captum, name, None)
    if kind is not None and issubclass(kind, captum.PerturbationAttribution) == perturbation:
        return kind
    wanted = (
        "a perturbation of captum.attr (CaptumGradient has the other classes)"
        if perturbation
        else "a class of captum.attr that is no perturbation (CaptumPerturbation has those)"
    )
    raise ValueError(f"attribution={name!r}: wanted {wanted}")


def taken(explainer: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the explainer's `attribute` takes."""
    names = signature(explainer.attribute).parameters
    return {name: value for name, value in known.items() if name in names}


def own_baseline(
    problem: AttributionProblem, options: Mapping[str, Any]
) -> Float[Tensor, "n *features"] | None:
    """What the options compare the inputs with in place of the reference's mean, if anything.

    Captum takes 0 where it is told None.
    """
    if "baselines" not in options:
        return None
    return torch.full_like(problem.inputs, float(options["baselines"] or 0.0))

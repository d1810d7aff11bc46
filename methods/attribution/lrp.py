"""Layer-wise relevance propagation, through zennit."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.models.backward_rules import (
    PRODUCTS,
    SUMS,
    Call,
    Replaced,
    shared_out,
    shared_out_mean,
)
from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported

Pairs = list[tuple[list[str], str]]
"""Names of linear layers, and that of the batch norm behind them."""

Composite = Literal["epsilon_plus", "epsilon_alpha2_beta1", "epsilon_gamma_box"]


@dataclass(frozen=True)
class LRP:
    """The relevance z_c of the target's own output, shared out to the inputs layer by layer.

    Linear layers follow the epsilon rule, which in a ReLU network without convolutions is the
    gradient times the input. A batch norm is merged into the linear layer before it and passes
    relevance on where there is none; sums and means share it out by their terms. It explains z_c
    whatever g is, and compares with an input of zeros. Activations have to be modules whose
    outputs go on, as zennit hooks them.

    Parameters
    ----------
    composite : the rule of convolutions; `epsilon_plus`: the z+ rule; `epsilon_alpha2_beta1`:
        twice the positive minus once the negative contributions; `epsilon_gamma_box`: the gamma
        rule, and in the first convolution the box rule between the least and the largest number
        of the instance and its reference.
    epsilon : keeps denominators from 0.

    References
    ----------
    Bach et al., *On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise
    Relevance Propagation*, PLoS ONE 2015, eqs. 56, 58, 60. Montavon et al., *Layer-Wise
    Relevance Propagation: An Overview*, 2019, Sec. 10.2 (which rule where). Anders et al.,
    *Software for Dataset-wide XAI*, 2021 (zennit).
    """

    composite: Composite = "epsilon_plus"
    epsilon: float = 1e-6

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})
    imports: ClassVar[tuple[str, ...]] = ("zennit",)

    def __post_init__(self) -> None:
        if self.composite not in get_args(Composite):
            wanted = ", ".join(get_args(Composite))
            raise ValueError(f"composite={self.composite!r}: wanted one of {wanted}")
        if not self.epsilon > 0:
            raise ValueError(f"epsilon={self.epsilon}: wanted more than 0")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        module, inputs = problem.model.module, problem.inputs
        if module is None:
            raise Unsupported("needs a differentiable model")
        try:
            import zennit.types  # noqa: F401  (an extra)
        except ImportError as error:
            raise Unsupported("needs zennit: pip install 'earnest[lrp]'") from error
        _check_layers(module)
        merged = _batch_norms(module, inputs[:1])
        # Hooks and merged batch norms stay in the copy; its calls are counted as the original's.
        copied = copy.deepcopy(module)
        values = torch.zeros_like(inputs, dtype=torch.float64)
        for rows in row_blocks(inputs):
            points = inputs[rows].detach().clone().requires_grad_()
            with self._rules(problem, rows, merged).context(copied) as changed, torch.enable_grad():
                with Replaced(SUMS | PRODUCTS | {"mean"}, _joined):
                    output = changed(points)
                start = _start(output.detach(), problem.targets[rows], problem.model.n_classes)
                values[rows] = torch.autograd.grad(output, points, start)[0].double()
        return Attribution(problem.partition.pooled(values), torch.zeros_like(inputs))

    def _rules(self, problem: AttributionProblem, rows: Int[Tensor, " b"], merged: Pairs) -> Any:
        from zennit import canonizers, composites

        fields = {
            "epsilon": self.epsilon,
            "canonizers": [canonizers.NamedMergeBatchNorm(merged)],
        }
        if self.composite == "epsilon_plus":
            return composites.EpsilonPlus(**fields)
        if self.composite == "epsilon_alpha2_beta1":
            return composites.EpsilonAlpha2Beta1(**fields)
        draws = problem.reference.of(rows)
        seen = torch.cat([problem.inputs[rows, None], draws], 1).flatten(1)
        shape = (-1, *[1] * (problem.inputs.ndim - 1))
        low, high = seen.amin(1).view(shape), seen.amax(1).view(shape)
        return composites.EpsilonGammaBox(low=low, high=high, **fields)


def _start(
    output: Float[Tensor, "b outputs"], targets: Int[Tensor, " b"], n_classes: int
) -> Float[Tensor, "b outputs"]:
    """The target's own output as relevance; a single logit z is -z for class 0."""
    if output.shape[1] == 1:
        return output * (2 * targets[:, None] - 1) if n_classes == 2 else output
    return output * nn.functional.one_hot(targets, output.shape[1])


def _joined(func: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Sums and means share relevance out; a product of what depends on the input has no rule."""
    if func.__name__ in SUMS:
        return shared_out(func, x, *args, **kwargs)
    if func.__name__ == "mean":
        return shared_out_mean(func, x, *args, **kwargs)
    if all(isinstance(term, Tensor) and term.grad_fn is not None for term in (x, *args)):
        raise Unsupported("LRP has no rule for a product of two layers' outputs")
    return func(x, *args, **kwargs)


def _batch_norms(module: nn.Module, point: Float[Tensor, "1 *features"]) -> Pairs:
    """Which batch norms get the very output of a linear layer, seen at one point."""
    from zennit import types

    if not any(isinstance(part, types.BatchNorm) for part in module.modules()):
        return []
    made: dict[int, tuple[str, Tensor]] = {}
    pairs: Pairs = []

    def watch(name: str, part: nn.Module, given: Tensor, output: Tensor) -> None:
        if isinstance(part, (types.Linear, types.Convolution)):
            made[id(output)] = name, output  # the tensor, too: a freed one's id is given again
        elif isinstance(part, types.BatchNorm) and id(given) in made:
            pairs.append(([made[id(given)][0]], name))

    handles = [
        part.register_forward_hook(
            lambda part, given, output, name=name: watch(name, part, given[0], output)
        )
        for name, part in module.named_modules()
        if isinstance(part, (types.Linear, types.Convolution, types.BatchNorm))
    ]
    try:
        with torch.no_grad():
            module(point)
    finally:
        for handle in handles:
            handle.remove()
    return pairs


def _check_layers(module: nn.Module) -> None:
    """Raise `Unsupported` where a layer has no rule, as its relevance would be its gradient."""
    from zennit import types

    known = (
        *(types.Linear, types.Convolution, types.BatchNorm, types.Activation),
        *(types.AvgPool, types.MaxPool, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity),
    )
    for part in module.modules():
        if not any(part.children()) and not isinstance(part, known):
            raise Unsupported(f"LRP has no rule for {type(part).__name__}")

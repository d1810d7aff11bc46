"""DeepLIFT by the rescale rule, averaged over the reference's draws."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.backward_rules import multipliers
from bench.models.base import Capability
from bench.models.chunks import row_blocks
from bench.setfunction.outcome import outcome
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported

NODES, WEIGHTS = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(32))

MISSED = 1e-2
"""Largest part of the contributions' absolute sum by which they may miss the change of g: float32
stays far below, a nonlinear function without a rule does not."""


@dataclass(frozen=True)
class DeepLIFT:
    """mean over draws r of sum_i (x_i - r_i) m_i, m the multipliers from r to x.

    The rules are those of `bench.models.backward_rules.multipliers`. The last step, from
    margins to g, has the mean gradient of g between the two margins for multipliers (its least
    change that makes them exact), which for two classes is the rescale rule again. So the
    values sum to g(x) minus the mean of g(r) for a probability, too; where a network has
    nonlinear functions that no rule treats they would not, and the method says so.

    References
    ----------
    Shrikumar, Greenside, Kundaje, *Learning Important Features Through Propagating Activation
    Differences*, ICML 2017, Sec. 3.5.2 (rescale). Lundberg, Lee, *A Unified Approach to
    Interpreting Model Predictions*, NIPS 2017, Sec. 4.2 (DeepSHAP, many references).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.model.module is None:
            raise Unsupported("needs a differentiable model")
        if problem.g == "label":
            raise Unsupported("the label has no gradient: g=probability, logit and margin have")
        inputs, reference = problem.inputs, problem.reference
        total = torch.zeros_like(inputs, dtype=torch.float64)
        for draw in range(reference.count):
            one = reference.only(draw)
            for rows in row_blocks(inputs):
                # One start for all rows is sent through the model once.
                starts = one.draws[0] if one.shared else one.of(rows)[:, 0]
                total[rows] += _contributions(problem, rows, starts)
        return Attribution(problem.partition.pooled(total / reference.count))


def _contributions(
    problem: AttributionProblem, rows: Int[Tensor, " b"], starts: Float[Tensor, "#b *features"]
) -> Float[Tensor, "b *features"]:
    """(x - r) m; raises `Unsupported` where they don't sum to the change of g."""
    targets, points = problem.targets[rows], problem.inputs[rows]
    gaps: list[Tensor] = []

    def last(after: Tensor, before: Tensor) -> Tensor:
        before = before.expand_as(after)
        gaps.append(outcome(after, targets, problem.g) - outcome(before, targets, problem.g))
        return _slopes(problem, targets, after, before, gaps[0])

    found = (points - starts) * multipliers(problem.model.margins, points, starts, last)
    missed = (found.flatten(1).sum(1) - gaps[0]).abs()
    if (missed > MISSED * found.abs().flatten(1).sum(1) + 1e-9).any():
        raise Unsupported("the network has a nonlinear function that DeepLIFT has no rule for")
    return found


def _slopes(
    problem: AttributionProblem,
    targets: Int[Tensor, " b"],
    after: Float[Tensor, "b outputs"],
    before: Float[Tensor, "b outputs"],
    gap: Float[Tensor, " b"],
) -> Float[Tensor, "b outputs"]:
    """The mean gradient of g on the line between two margins, corrected to make `gap`."""
    change = after - before
    nodes = (NODES.to(after.device)[:, None, None] + 1) / 2
    path = (before + nodes * change).requires_grad_()
    with torch.enable_grad():
        total = outcome(path.flatten(0, 1), targets.repeat(len(nodes)), problem.g).sum()
    gradient = torch.autograd.grad(total, path)[0]
    mean = torch.einsum("m,mbk->bk", WEIGHTS.to(after.device) / 2, gradient)
    missing = gap - (mean * change).sum(1)
    size = change.square().sum(1).clamp(min=torch.finfo(torch.float64).tiny)
    return mean + (missing / size)[:, None] * change

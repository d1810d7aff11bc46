"""Integrated gradients along a path that moves what matters least first."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class GuidedIntegratedGradients:
    """mean over draws r of the integral of dg / dx_i dx_i along a guided path from r to x.

    A step brings the point nearer to its goal by an equal part of the L1 distance between r and
    x, and moves only the positions with the smallest |dg / dx_i|; where they all arrive before
    that, others go on. Anchors, evenly spread on the straight line, are goals on the way that
    every position reaches. A change counts the gradient at its start, so the values of all
    features sum to g(x) minus the mean of g(r) where steps are many.

    Parameters
    ----------
    steps : equal parts of the way, at least one from anchor to anchor.
    share : of all positions, how many move at once.
    anchors : points of the straight line that the path goes through, its ends aside.

    References
    ----------
    Kapishnikov, Venugopalan, Avci, Wedin, Terry, Bolukbasi, *Guided Integrated Gradients: An
    Adaptive Path Method for Removing Noise*, CVPR 2021, Sec. 4.
    """

    steps: int = 200
    share: float = 0.1
    anchors: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.steps < 1 or self.anchors < 0 or not 0 < self.share <= 1:
            raise ValueError(
                f"steps={self.steps}, anchors={self.anchors}, share={self.share}: wanted at "
                "least 1, at least 0, and more than 0 up to 1"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        inputs, reference = problem.inputs, problem.reference
        total = torch.zeros_like(inputs, dtype=torch.float64)
        for draw in range(reference.count):
            start = reference.draws[:, draw].expand_as(inputs)
            at = start
            for anchor in range(1, self.anchors + 2):
                goal = torch.lerp(start, inputs, anchor / (self.anchors + 1))
                total += self._between(problem, at, goal)
                at = goal
        return Attribution(problem.partition.pooled(total / reference.count))

    def _between(
        self,
        problem: AttributionProblem,
        start: Float[Tensor, "n *features"],
        goal: Float[Tensor, "n *features"],
    ) -> Float[Tensor, "n *features"]:
        """The integral from `start` to `goal`."""
        steps = max(1, self.steps // (self.anchors + 1))
        at, end = start.flatten(1).clone(), goal.flatten(1)
        found = torch.zeros_like(at, dtype=torch.float64)
        whole = (end - at).double().abs().sum(1)
        for step in range(1, steps + 1):
            wanted = whole * (1 - step / steps)
            rows = torch.arange(len(at), device=at.device)
            while len(rows):
                here, there = at[rows], end[rows]
                gradient = problem.gradient(here.unflatten(1, goal.shape[1:]), rows).flatten(1)
                left = (there - here).double()
                moving = self._least(gradient.abs(), left != 0)
                reach = (moving * left.abs()).sum(1)
                excess = left.abs().sum(1) - wanted[rows]
                part = (excess / reach.clamp(min=1e-300)).clamp(0, 1)[:, None]
                found[rows] += part * moving * left * gradient
                nearer = torch.where(part < 1, here + (part * left).to(here.dtype), there)
                at[rows] = torch.where(moving, nearer, here)
                rows = rows[reach < excess]
        return found.view_as(goal)

    def _least(
        self, slopes: Float[Tensor, "b d"], free: Bool[Tensor, "b d"]
    ) -> Bool[Tensor, "b d"]:
        """Which of the free positions have the least slopes; all where fewer are left."""
        slopes = slopes.masked_fill(~free, torch.inf)
        count = max(1, round(self.share * slopes.shape[1]))
        return free & (slopes <= slopes.kthvalue(count, dim=1, keepdim=True).values)

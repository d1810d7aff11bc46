"""Samples that look fair and, along every direction, as like their population as can be."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.sampling import Weighted, located
from bench.sampling.design import Rule
from bench.sampling.sliced import sliced_weights
from bench.tasks.fairwashing_problem import FairwashingProblem, Sampling


@dataclass(frozen=True)
class SlicedBiased:
    """Weights near to uniform ones in the sliced Wasserstein distance that make a sample fair.

    The distance, instead of Wasserstein's, and stochastic descent with steps of nearly linear
    time are FastSBS' [1]_. Only its abstract was at hand: step lengths, projection, averaging and
    the last bound are Earnest's (`bench.sampling.sliced`), and results may differ from its.

    The answer's cost is the mean squared distance along some random directions; its bound holds
    for the mean along the same, and is 0 where nothing is proved.

    Parameters
    ----------
    rule : how rows are drawn by the weights: `pivotal` or `systematic`, with the wanted counts
        every time, or `successive`.
    steps : of the descent.
    directions : of a step, at most as many as [x, s] has dimensions.

    References
    ----------
    .. [1] Yamamoto, Hara, *Fast Stealthily Biased Sampling Using Sliced Wasserstein Distance*,
       ACML 2024, PMLR 260.
    """

    rule: Rule = "pivotal"
    steps: int = 300
    directions: int = 8

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Sampling:
        problem.check_global()
        at = problem.population
        found = sliced_weights(
            located(problem.inputs[at], problem.groups[at]),
            problem.bins.of,
            problem.wanted,
            rng=rng,
            steps=self.steps,
            directions=self.directions,
        )
        # equal generators give equal answers: the clock's reading is the engine's business
        plan = replace(found.plan, seconds=float("nan"))
        return Sampling((Weighted(plan, self.rule),), found.distance, found.bound)

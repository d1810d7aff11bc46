"""Samples that look fair and as like their population as can be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from bench.models.base import Capability
from bench.sampling import Plan, Weighted, closest_weights, located
from bench.sampling.design import Rule
from bench.tasks.fairwashing_problem import FairwashingProblem, Sampling


@dataclass(frozen=True)
class StealthilyBiased:
    """Weights nearest to uniform ones, in Wasserstein's distance, that make a sample fair.

    Squared Euclid on [x, s]; the cost, and what it is at least, are in the answer.

    Parameters
    ----------
    rule : how rows are drawn by the weights: `pivotal` or `systematic`, with the wanted counts
        every time, or `successive`, as the paper's authors draw, with counts as they may come.
    gap : by what part the cost may exceed the proven bound.
    seconds : CPU seconds for each share, after which the solver begins no further pass; the gap
        that is left is told by the answer, which then hangs on the machine.
    shares : parts of the unfairness that are washed away, a design for each. One who knows the
        detector may wash less than all to stay unseen: at 0 the counts are honest, at 1 fair.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020. The
    shares are Earnest's own.
    """

    rule: Rule = "pivotal"
    gap: float = 1e-4
    seconds: float = 60.0
    shares: tuple[float, ...] = (1.0,)

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def __post_init__(self) -> None:
        if not self.shares or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError(f"shares={self.shares}: wanted one or more numbers in [0, 1]")

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Sampling:
        problem.check_global()
        plans = list(self._plans(problem))
        designs = tuple(Weighted(plan, self.rule) for plan in plans)
        return Sampling(designs, plans[0].cost, plans[0].bound)

    def _plans(self, problem: FairwashingProblem) -> Iterator[Plan]:
        """The fairest first."""
        at = problem.population
        points = located(problem.inputs[at], problem.groups[at])
        for share in sorted(self.shares, reverse=True):
            wanted = washed(share, problem.bins.sizes, problem.wanted)
            plan = closest_weights(
                points, problem.bins.of, wanted, gap=self.gap, seconds=self.seconds
            )
            # equal generators give equal answers: the clock's reading is the engine's business
            yield replace(plan, seconds=float("nan"))


def washed(
    share: float, sizes: Int[np.ndarray, " bins"], fair: Int[np.ndarray, " bins"]
) -> Int[np.ndarray, " bins"]:
    """Whole numbers nearest to a mixture of honest and fair counts, with the same sum.

    Parameters
    ----------
    share : of the fair counts in the mixture; the rest is in proportion to `sizes`.
    sizes : rows of each bin, of which no more can be wanted.
    fair : rows of each bin that make a sample fair.
    """
    total = int(fair.sum())
    target = (1 - share) * (total * sizes / sizes.sum()) + share * fair
    return _rounded(target, total)


def _rounded(target: Float[np.ndarray, " bins"], total: int) -> Int[np.ndarray, " bins"]:
    """Each number's floor, the largest remainders one more: none above its ceiling."""
    target = np.round(target, 9)  # a whole number stays what it is, whatever its sums were
    floors: np.ndarray = np.floor(target).astype(np.int64)
    floors[np.argsort(floors - target, kind="stable")[: total - floors.sum()]] += 1
    return floors

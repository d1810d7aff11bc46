"""RISE: the mean answer where a feature is kept."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.setfunction.sampling import at_positions, coarse_shares, mean_where, random_sets
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class RISE:
    """sum_j F_j kept_ji / sum_j kept_ji over random masks, shared by all instances.

    Each feature is kept with probability 1/2. With `cells`, an image is instead kept by soft
    masks, a grid of coins enlarged, and a feature's value is the mean over its positions; a
    table has no grid.

    Parameters
    ----------
    samples : masks.
    cells : cells along each side of the grid, 0 for one coin a feature.

    References
    ----------
    Petsiuk, Das, Saenko, *RISE: Randomized Input Sampling for Explanation of Black-box Models*,
    BMVC 2018, eq. 6 and Sec. 3.2.
    """

    samples: int = 500
    cells: int = 0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 1 or self.cells < 0:
            raise ValueError(
                f"samples={self.samples}, cells={self.cells}: wanted at least 1 and at least 0"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if not self.cells or problem.inputs.ndim != 4:
            deleted = random_sets(problem.p, self.samples, rng=rng)
            return Attribution(mean_where(1.0 - deleted, problem.value(deleted)))
        height, width = problem.inputs.shape[2:]
        shares = coarse_shares(self.samples, self.cells, (height, width), rng=rng)
        kept = shares[:, None].expand(-1, *problem.inputs.shape[1:]).to(problem.inputs.dtype)
        values = at_positions(problem.output, problem.inputs, problem.reference, kept)
        means = mean_where(kept.double().flatten(1).numpy(), values)
        of_position = torch.from_numpy(means).view(problem.inputs.shape)
        sizes = problem.partition.sizes
        return Attribution(problem.partition.pooled(of_position) / sizes)

"""Maximum mean discrepancy of a published sample from the auditor's own people."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, mmd_test
from bench.tasks.fairwashing_problem import Audit

from .audits import own_people, with_groups


@dataclass(frozen=True)
class Mmd:
    """Do means over sample and own people differ, of all smooth functions of [x, s] at once?

    By a Gaussian kernel; the p-value is of permutations, and exact at any size. Inputs are taken
    as they are scaled. A group may be missing; where all rows are the same nothing is seen:
    statistic 0, p-value 1.

    Parameters
    ----------
    permutations : against which the statistic is compared; the least p-value is 1 over one more.
    bandwidth : of the kernel, in the inputs' units; none: the median distance of two people.

    Raises
    ------
    ValueError
        where the sample or the auditor has fewer than two people, or inputs aren't finite.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf, Smola, *A Kernel Two-Sample Test*, JMLR 2012.
    """

    permutations: int = 199
    bandwidth: float | None = None

    name: ClassVar[str] = "mmd"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def __post_init__(self) -> None:
        if self.permutations < 1:
            raise ValueError(f"permutations={self.permutations}: wanted 1 or more, 19 for p = .05")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ValueError(f"bandwidth={self.bandwidth}: wanted a length above 0, or none")

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        known = own_people(own, self.name)
        return mmd_test(
            with_groups(published),
            with_groups(known),
            rng=rng,
            permutations=self.permutations,
            bandwidth=self.bandwidth,
        )

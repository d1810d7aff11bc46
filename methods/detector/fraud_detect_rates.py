"""FRAUD-Detect with rates given the decision: what the black box decides plays no part."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection
from bench.tasks.fairwashing_problem import Audit

from .audits import Direction, divergence_of_groups


@dataclass(frozen=True)
class FraudDetectRates:
    """As `FraudDetect`, of matrices each of whose rows, a decision of the black box, is made to
    sum to one half.

    0 where the model contradicts either decision as often in both groups: an honest model of an
    unfair black box may do so. The p-value is NaN: honest models tell what is large. Where one
    group is missing, nothing is seen: statistic 0.

    Parameters
    ----------
    direction : of which group's matrix from whose; the authors' code takes the first.
    pseudocount : people that are added to each cell of both matrices, so that a group without one
        of the decisions has rates too.

    References
    ----------
    Shamsabadi et al., *Washing The Unwashable: On The (Im)possibility of Fairwashing Detection*,
    NeurIPS 2022, Algorithm 1; the normalisation is in a docstring of the authors' code, which
    leaves it away.
    """

    direction: Direction = "others_from_protected"
    pseudocount: float = 0.5

    name: ClassVar[str] = "fraud_detect_rates"
    of: ClassVar[Literal["sample", "surrogate"]] = "surrogate"

    def __post_init__(self) -> None:
        if not 0 < self.pseudocount < float("inf"):
            raise ValueError(f"pseudocount={self.pseudocount}: wanted more than 0 people")

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        return divergence_of_groups(
            published, self.name, self.direction, self.pseudocount, given_decision=True
        )

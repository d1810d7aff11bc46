"""FRAUD-Detect: is a published model unfaithful in another way to each of the groups?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection
from bench.tasks.fairwashing_problem import Audit

from .audits import Direction, divergence_of_groups


@dataclass(frozen=True)
class FraudDetect:
    """KL divergence, in nats, between the groups' confusion matrices of black box and model.

    0 where both matrices, as shares of the group's people, are the same (but for the
    pseudocount, where groups differ in size). An honest model of an unfair black box has a
    divergence too, since rates of decisions are part of the matrix (see `FraudDetectRates`): the
    p-value is NaN, and honest models tell what is large. Where one group is missing, nothing is
    seen: statistic 0.

    Parameters
    ----------
    direction : of which group's matrix from whose; the authors' code takes the first.
    pseudocount : people that are added to each cell of both matrices: ours, not the paper's, so
        that an empty cell leaves the divergence finite; 0 is the paper's.

    References
    ----------
    Shamsabadi et al., *Washing The Unwashable: On The (Im)possibility of Fairwashing Detection*,
    NeurIPS 2022, Algorithm 1.
    """

    direction: Direction = "others_from_protected"
    pseudocount: float = 0.5

    name: ClassVar[str] = "fraud_detect"
    of: ClassVar[Literal["sample", "surrogate"]] = "surrogate"

    def __post_init__(self) -> None:
        if not 0 <= self.pseudocount < float("inf"):
            raise ValueError(f"pseudocount={self.pseudocount}: wanted 0 or more people")

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        return divergence_of_groups(
            published, self.name, self.direction, self.pseudocount, given_decision=False
        )

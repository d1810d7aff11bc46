"""Is a published model less faithful in one group than in the other?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection
from bench.tasks.fairwashing_problem import Audit

from .audits import between_groups, no_test, published_model


@dataclass(frozen=True)
class ErrorGap:
    """|P(c != b | s = 0) - P(c != b | s = 1)| of model c and black box b, in [0, 1].

    The p-value is NaN: honest models tell what is large. Where one group is missing, nothing is
    seen: statistic 0.

    References
    ----------
    Shamsabadi et al., *Washing The Unwashable: On The (Im)possibility of Fairwashing Detection*,
    NeurIPS 2022: the gap of fidelity between groups, without which unfairness can't be hidden.
    """

    name: ClassVar[str] = "error_gap"
    of: ClassVar[Literal["sample", "surrogate"]] = "surrogate"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        wrong = published_model(published, self.name) != published.decisions
        return no_test(abs(between_groups(wrong, published.groups)))

"""How much fairer a published model looks than the black box."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection
from bench.tasks.fairwashing_problem import Audit

from .audits import between_groups, no_test, published_model


@dataclass(frozen=True)
class VanishedUnfairness:
    """Demographic disparity of the black box less that of the model, in [-1, 1].

    |P(b=1 | s=0) - P(b=1 | s=1)| - |P(c=1 | s=0) - P(c=1 | s=1)| among the audited people; below
    0 where the model looks less fair. The p-value is NaN: honest models tell what is large. Where
    one group is missing, nothing is seen: statistic 0.

    References
    ----------
    Aivodji et al., *Fairwashing: the risk of rationalization*, ICML 2019: what the attack is for.
    """

    name: ClassVar[str] = "vanished_unfairness"
    of: ClassVar[Literal["sample", "surrogate"]] = "surrogate"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        said, groups = published_model(published, self.name), published.groups
        of_black_box = abs(between_groups(published.decisions, groups))
        return no_test(of_black_box - abs(between_groups(said, groups)))

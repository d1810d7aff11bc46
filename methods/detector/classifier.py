"""Can a classifier tell the published sample from the auditor's own people?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, held_out_classifier_test
from bench.tasks.fairwashing_problem import Audit

from .audits import own_people, with_groups


@dataclass(frozen=True)
class Classifier:
    """Logistic regression on [x, s], trained on half of the people of both sides.

    The statistic is the AUC among the other half, .5 where nothing is told, the p-value Mann and
    Whitney's. It sees shifts of means only. A group may be missing; inputs that are constant
    aren't used, and where all are, the p-value is 1.

    Raises
    ------
    ValueError
        where the sample or the auditor has fewer than two people, or inputs aren't finite.

    References
    ----------
    Lopez-Paz, Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017.
    """

    name: ClassVar[str] = "classifier"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        known = own_people(own, self.name)
        return held_out_classifier_test(with_groups(published), with_groups(known), rng=rng)

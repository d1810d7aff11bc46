"""How often a published model contradicts the black box."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection
from bench.tasks.fairwashing_problem import Audit

from .audits import no_test, published_model


@dataclass(frozen=True)
class Unfaithful:
    """1 - fidelity among the audited people, in [0, 1]: what any auditor checks first.

    The p-value is NaN: honest models tell what is large. Groups play no part: one may be missing.

    References
    ----------
    Aivodji et al., *Fairwashing: the risk of rationalization*, ICML 2019: fidelity.
    """

    name: ClassVar[str] = "unfaithful"
    of: ClassVar[Literal["sample", "surrogate"]] = "surrogate"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        said = published_model(published, self.name)
        return no_test(float((said != published.decisions).mean()))

"""How far a published sample is from the auditor's own people."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, transport_cost
from bench.tasks.fairwashing_problem import Audit

from .audits import no_test, own_people, with_groups


@dataclass(frozen=True)
class Wasserstein:
    """Least cost of moving the sample onto the auditor's own people: squared Euclid on [x, s].

    In the units in which stealthily biased sampling stays close, so inputs are taken as they are
    scaled. No test: hundreds of permutations would take a second; the p-value is NaN, and honest
    samples of the same size tell what is large. A group may be missing, inputs may be constant.

    Raises
    ------
    ValueError
        where the sample or the auditor has fewer than two people, or inputs aren't finite.
    Unsupported
        where POT isn't installed.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020.
    """

    name: ClassVar[str] = "wasserstein"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        known = own_people(own, self.name)
        return no_test(transport_cost(with_groups(published), with_groups(known)))

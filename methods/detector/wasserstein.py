"""How far a published sample is from the auditor's own people."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, wasserstein_test
from bench.tasks.fairwashing_problem import Audit

from .audits import Inputs, own_people, with_groups


@dataclass(frozen=True)
class Wasserstein:
    """Least cost of moving the sample onto the auditor's own people: squared Euclid on [x, s].

    In the units in which stealthily biased sampling stays close, so inputs are taken as they are
    scaled. Against permutations: a comparison with other honest samples would take a few people
    far out in one of the two populations for a wash. A group may be missing, inputs may be
    constant.

    Parameters
    ----------
    permutations : 19 are the fewest by which 5 % can be told; each solves such a problem. None
        is made after one that costs as much.
    most : people of each side at most, drawn at random.

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

    permutations: int = 19
    most: int = 200

    name: ClassVar[str] = "wasserstein"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        known = own_people(own, self.name)
        sides = [self._some(with_groups(side), rng) for side in (published, known)]
        return wasserstein_test(*sides, rng=rng, permutations=self.permutations, exceedances=1)

    def _some(self, people: Inputs, rng: np.random.Generator) -> Inputs:
        if len(people) <= self.most:
            return people
        return people[rng.choice(len(people), self.most, replace=False)]

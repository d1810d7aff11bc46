"""Kolmogorov and Smirnov's test of each input of a published sample, given the group."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, largest_ks
from bench.tasks.fairwashing_problem import Audit

from .audits import own_people

_FEWEST = 2
"""People of a group on both sides, for a comparison."""


@dataclass(frozen=True)
class KsWithinGroups:
    """Are the people of each group in the sample others than those whom the auditor knows: Pr[x|s]?

    As `KsByFeature`, in each group; one p-value, corrected for the number of inputs times groups.
    A group of which either side has fewer than two people is left out: how many of a group there
    are says nothing of x given s. Where no group is left, nothing is seen: statistic 0, p-value 1.

    Raises
    ------
    ValueError
        where inputs aren't finite.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020.
    """

    name: ClassVar[str] = "ks_within_groups"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        known = own_people(own, self.name)
        by_group = [
            (published.inputs[published.groups == s], known.inputs[known.groups == s])
            for s in (0, 1)
        ]
        enough = [pair for pair in by_group if min(map(len, pair)) >= _FEWEST]
        if not enough:
            return Detection(0.0, 1.0, (1.0,))
        return largest_ks([one for one, _ in enough], [other for _, other in enough])

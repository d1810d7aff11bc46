"""Kolmogorov and Smirnov's test of each input of a published sample."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.scores.detection import Detection, largest_ks
from bench.tasks.fairwashing_problem import Audit

from .audits import own_people


@dataclass(frozen=True)
class KsByFeature:
    """Are the people of the sample others than those whom the auditor knows: Pr[x]?

    The statistic is the largest difference of two empirical distribution functions, the p-value
    is corrected for the number of inputs. An input that is the same for all has statistic 0 and
    p-value 1; ties, as of categories, make the test conservative. Groups play no part: one may
    be missing.

    Raises
    ------
    ValueError
        where the sample or the auditor has fewer than two people, or inputs aren't finite.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020.
    """

    name: ClassVar[str] = "ks_by_feature"
    of: ClassVar[Literal["sample", "surrogate"]] = "sample"

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        return largest_ks([published.inputs], [own_people(own, self.name).inputs])

"""Fairwashing: what an attacker is given, and the explanation or sample that looks fair.

Aivodji et al., *Fairwashing: the risk of rationalization*, ICML 2019; Fukuchi, Hara, Maehara,
*Faking Fairness via Stealthily Biased Sampling*, AAAI 2020. The types that attacks, detectors
and scores agree on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Unfairness = Literal[
    "demographic_parity",
    "joint_demographic_parity",
    "predictive_parity",
    "predictive_equality",
    "equal_opportunity",
    "equalized_odds",
    "conditional_use_accuracy_equality",
]
"""Which gap between the groups is measured.

`demographic_parity` is the conditional difference |P(c=1 | majority) - P(c=1 | minority)|,
`joint_demographic_parity` is |P(c=1, majority) - P(c=1, minority)|: published figures mix them.
"""


@dataclass(frozen=True)
class FairwashingProblem:
    """What an attacker has: a black box's decisions about a suing group, and a budget.

    Attributes
    ----------
    features : binary features of the suing group. names : one a feature.
    decisions : the black box's. minority : who belongs to the protected group.
    unfairness : the measure that the auditor will look at.
    audit_size : how many rows the auditor sees, for attacks that publish a sample.
    """

    features: Bool[np.ndarray, "n d"]
    names: tuple[str, ...]
    decisions: Bool[np.ndarray, " n"]
    minority: Bool[np.ndarray, " n"]
    unfairness: Unfairness
    audit_size: int

    def __post_init__(self) -> None:
        if self.minority.all() or not self.minority.any():
            raise ValueError("the suing group holds one of the two groups only: no gap to wash")
        if not 0 < self.audit_size <= len(self.decisions):
            raise ValueError(f"audit_size={self.audit_size} of {len(self.decisions)} rows")


@dataclass(frozen=True)
class Rationalization:
    """A readable model that agrees with the black box and looks fairer.

    Attributes
    ----------
    decisions : the readable model's, on the suing group.
    text : the model as its reader sees it, one line a rule.
    objective : what was minimised, and `bound`, what is proved to be no larger.
    """

    decisions: Bool[np.ndarray, " n"]
    text: tuple[str, ...]
    objective: float
    bound: float


@dataclass(frozen=True)
class SamplingWeights:
    """A sample that looks fair: how likely each row is to be published.

    Attributes
    ----------
    values : inclusion probabilities, in [0, 1 / audit_size] each, adding to 1.
    counts : how many rows of each (group, decision) bin are published.
    """

    values: Float[np.ndarray, " n"]
    counts: Int[np.ndarray, " bins"]

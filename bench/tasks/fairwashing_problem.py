"""What an attacker who is to look fair is given, and what he answers with.

Aivodji et al., *Fairwashing: the risk of rationalization*, ICML 2019; Fukuchi, Hara, Maehara,
*Faking Fairness via Stealthily Biased Sampling*, AAAI 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.rules.fair_search import Goal
from bench.rules.fairness import NEITHER
from bench.rules.rationalize import Suing
from bench.sampling import Bins, Design
from bench.scores.detection import Detection
from bench.tasks.base import Unsupported

Scope = Literal["global", "local"]
"""Whether the decisions about a whole group are to look fair, or to each person who complains the
decisions about people like her."""

Unfairness = Literal[
    "demographic_parity",
    "joint_demographic_parity",
    "predictive_parity",
    "predictive_equality",
    "equal_opportunity",
    "equalized_odds",
    "conditional_use_accuracy_equality",
]
"""Which gap between the groups is measured, see `bench.rules.fairness.gaps`.

`demographic_parity` is the conditional difference |P(c=1 | majority) - P(c=1 | minority)|,
`joint_demographic_parity` is |P(c=1, majority) - P(c=1, minority)|: published figures mix them.
"""

BINS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Bins]] = {
    "demographic_parity": lambda groups, decisions, _labels: Bins.demographic_parity(
        groups, decisions
    ),
    "equal_opportunity": Bins.equal_opportunity,
    "equalized_odds": Bins.equalized_odds,
}
"""Measures that a sample can be made fair by."""


@dataclass(frozen=True)
class Region:
    """Rows before which one model has to look well.

    Attributes
    ----------
    rows : of the suing group.
    kept : a row among them whose decision the model must give, as its person knows it; none: it
        needn't give any.
    """

    rows: Int[np.ndarray, " m"]
    kept: int | None = None


@dataclass(frozen=True)
class FairwashingProblem:
    """Decisions about people of two groups, and what shall make them look fair.

    Attributes
    ----------
    scope : before whom it has to look fair.
    columns : what a readable model may say of the people, at most 62 columns without negations.
    names : of the columns. class_names : of the decisions 0 and 1; 1 is what people wish for.
    inputs : the same people as the black box sees them, without the column of the group.
    decisions : of the black box, or of the data. labels : what was right, by which measures judge
        that look at it.
    groups : 1, the protected group, 0, the other, or -1, neither.
    measure : of unfairness, by which an auditor judges.
    regions : where models have to look well.
    audit_size : rows of a published sample.
    rate : of positive decisions wanted in a sample, the same for both groups; none: as it is.
    """

    scope: Scope
    columns: Bool[np.ndarray, "n c"]
    names: tuple[str, ...]
    class_names: tuple[str, str]
    inputs: Float[np.ndarray, "n d"]
    decisions: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]
    measure: Unfairness
    regions: tuple[Region, ...]
    audit_size: int
    rate: float | None = None

    def __post_init__(self) -> None:
        if not (self.groups == 1).any() or not (self.groups == 0).any():
            raise ValueError("the suing group holds one of the two groups only: no gap to wash")
        if not 0 < self.audit_size <= len(self.population):
            raise ValueError(
                f"audit_size={self.audit_size}: wanted 1 to {len(self.population)}, the people of "
                "the two groups in the suing group"
            )

    def suing(self, region: Region) -> Suing:
        """The region's people as rule lists see them."""
        at = region.rows
        return Suing(self.columns[at], self.decisions[at], self.groups[at], self.labels[at])

    def goal(self, beta: float, price: float, tau: float = np.inf) -> Goal:
        """An objective by the problem's measure."""
        return Goal(self.measure, beta, price, tau)

    @cached_property
    def population(self) -> Int[np.ndarray, " m"]:
        """The people of the two groups: rows from which a sample is published."""
        return np.flatnonzero(self.groups != NEITHER)

    @cached_property
    def bins(self) -> Bins:
        """Of the population.

        Raises
        ------
        Unsupported
            where no sample can be made fair by the measure.
        """
        if self.measure not in BINS:
            raise Unsupported(
                f"no sample is made fair by {self.measure}: take one of {', '.join(BINS)}"
            )
        at = self.population
        return BINS[self.measure](self.groups[at], self.decisions[at], self.labels[at])

    @property
    def wanted(self) -> Int[np.ndarray, " bins"]:
        """Rows of each bin that make a sample of `audit_size` fair."""
        rates = None if self.rate is None else [self.rate] * len(self.bins.conditions)
        return self.bins.wanted(self.audit_size, rates)

    def check_global(self) -> None:
        """Raise `Unsupported` where it is single people who complain."""
        if self.scope == "local":
            raise Unsupported("a sample is published for all: scope=global asks for one")


@runtime_checkable
class Surrogate(Protocol):
    """A readable model that is published instead of the black box."""

    def predict(self, values: Bool[np.ndarray, "m c"]) -> Int[np.ndarray, " m"]:
        """0 or 1 for each person, by the problem's columns."""
        ...

    def text(self, names: Sequence[str], class_names: Sequence[str] = ...) -> str:
        """The model as its reader sees it, given the columns' names."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A model that might be published.

    Attributes
    ----------
    model : the readable model. size : of it, in rules, leaves or weights.
    objective : what was minimised; NaN where the method has no such number.
    bound : what is proved of it: no model of this kind has a smaller objective; NaN likewise.
    """

    model: Surrogate
    size: int
    objective: float = float("nan")
    bound: float = float("nan")

    @property
    def gap(self) -> float:
        """How much better a model there may be; NaN where nothing is proved."""
        return self.objective - self.bound


@dataclass(frozen=True)
class Rationalization:
    """Models that say much the same as the black box, and look fairer.

    Attributes
    ----------
    candidates : for each region, of which the attacker publishes the one he likes.
    """

    candidates: tuple[tuple[Candidate, ...], ...]


@dataclass(frozen=True)
class Sampling:
    """Samples of true decisions that look fair.

    Attributes
    ----------
    designs : over the problem's `population`, the fairest first; the attacker takes one of them.
    cost : of the first, in the measure that was minimised; NaN where there is no such number.
    bound : no design with the same counts costs less; NaN where none is proved.
    """

    designs: tuple[Design, ...]
    cost: float = float("nan")
    bound: float = float("nan")


Explanation = Rationalization | Sampling


@dataclass(frozen=True)
class Audit:
    """What an auditor has in hand.

    Attributes
    ----------
    inputs : of people, as the black box sees them, without their group.
    groups : 1 or 0. decisions : what the black box is said to have decided.
    surrogate : what the published model says; none where a sample was published.
    """

    inputs: Float[np.ndarray, "k d"]
    groups: Int[np.ndarray, " k"]
    decisions: Int[np.ndarray, " k"]
    surrogate: Int[np.ndarray, " k"] | None = None

    def __len__(self) -> int:
        return len(self.groups)

    def rows(self, index: np.ndarray) -> "Audit":
        """The people at `index`."""
        told = None if self.surrogate is None else self.surrogate[index]
        return Audit(self.inputs[index], self.groups[index], self.decisions[index], told)


@runtime_checkable
class Detector(Protocol):
    """Says how suspicious a published sample, or model, is.

    A frozen dataclass. `name` stands in tables; `of` says what it looks at. The p-value may be
    NaN: the task then compares the statistic with those of honest samples or models.
    """

    name: ClassVar[str]
    of: ClassVar[Literal["sample", "surrogate"]]

    def detect(self, published: Audit, own: Audit | None, *, rng: np.random.Generator) -> Detection:
        """The statistic is larger where it is more suspicious.

        Parameters
        ----------
        published : the sample; or people whom the auditor asks about, with what black box and
            published model say of them.
        own : the auditor's own people, beside a sample; none beside a model.
        """
        ...


def describe(problem: FairwashingProblem) -> dict[str, Any]:
    """What a reader wants to know of the problem."""
    return {
        "scope": problem.scope,
        "measure": problem.measure,
        "people": len(problem.groups),
        "protected": int((problem.groups == 1).sum()),
        "others": int((problem.groups == 0).sum()),
        "columns": len(problem.names),
    }


__all__ = [
    "Audit",
    "Candidate",
    "Detector",
    "Explanation",
    "FairwashingProblem",
    "Rationalization",
    "Region",
    "Scope",
    "Sampling",
    "Surrogate",
    "Unfairness",
    "describe",
]

"""Rationalization: rule lists that say what a black box says and look fairer than it is.

References
----------
Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of rationalization*, ICML 2019.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from bench.rules.exact import Limits
from bench.rules.fair_kernels import SLACK
from bench.rules.fair_search import Goal, Outcome, Rules, Space
from bench.rules.fairness import NEITHER, check_groups, counts, gaps
from bench.rules.patterns import Patterns, collapse


@dataclass(frozen=True)
class Suing:
    """The suing group: the rows on which the list has to look well.

    Attributes
    ----------
    values : binary columns; their negations are columns where they are wanted.
    black_box : its labels, 0 or 1.
    groups : 1 for the group that unfairness is told of, 0 for the other, -1 for neither.
    truth : 0 or 1, what measures take for right that look at it; none: the black box's labels, as
        in the ICML paper. By these a black box is fair but for demographic parity.

    Raises
    ------
    ValueError
        where labels or groups are others.
    """

    values: Bool[np.ndarray, "n columns"]
    black_box: Int[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        shapes = [len(part) for part in (self.values, self.black_box, self.groups, self.right)]
        if len(set(shapes)) > 1:
            raise ValueError("{} rows of values, {} labels, {} groups, {} truths".format(*shapes))
        for what, found, wanted in (
            ("labels", self.black_box, [0, 1]),
            ("groups", self.groups, [0, 1, NEITHER]),
            ("truths", self.right, [0, 1]),
        ):
            strange = np.setdiff1d(found, wanted)
            if len(strange):
                raise ValueError(f"{what} must be among {wanted}, and there is {strange[0]}")

    @property
    def right(self) -> Int[np.ndarray, " n"]:
        """What measures take for right."""
        return self.black_box if self.truth is None else self.truth

    @property
    def patterns(self) -> Patterns:
        """The rows, those that no column tells apart as one."""
        return collapse(self.values, self.black_box, self.groups, self.right)


@dataclass(frozen=True)
class Evaluation:
    """What a list is worth on rows.

    Attributes
    ----------
    objective : of the goal, whether or not unfairness is within tau.
    fidelity : share of rows where the list says what the black box says.
    gaps : signed, group 1 minus group 0; NaN where undefined.
    unfairness : the largest of their sizes; 1 where one is undefined.
    """

    objective: float
    fidelity: float
    gaps: tuple[float, ...]
    unfairness: float


@dataclass(frozen=True)
class FairList:
    """A rule list, and what is known of it.

    Attributes
    ----------
    rules : (column, label) in order: a row gets the label of the first column that holds.
    default : the label where none does.
    objective, fidelity, unfairness : on the suing group; see `Goal` and `Evaluation`.
    bound : no list has a smaller objective.
    proved : whether this is the best list: bound and objective agree.
    states : prefixes that the search has extended. seconds : CPU seconds that it took.
    """

    rules: Rules
    default: int
    objective: float
    fidelity: float
    unfairness: float
    bound: float
    proved: bool
    states: int
    seconds: float

    @property
    def gap(self) -> float:
        """How much smaller than this one's the best list's objective may be."""
        return self.objective - self.bound

    def predict(self, values: Bool[np.ndarray, "n columns"]) -> Int[np.ndarray, " n"]:
        """Each row's label."""
        return predict(self.rules, self.default, values)

    def text(self, names: Sequence[str], class_names: Sequence[str] = ("0", "1")) -> str:
        """`if ... then ...`, one rule a line."""
        lines = [f"if {names[column]} then {class_names[label]}" for column, label in self.rules]
        lines.append(f"else {class_names[self.default]}" if lines else class_names[self.default])
        return "\n".join(lines)


class Infeasible(ValueError):
    """No list is as fair as wanted."""


def predict(
    rules: Rules, default: int, values: Bool[np.ndarray, "n columns"]
) -> Int[np.ndarray, " n"]:
    """The label of the first rule whose column holds, else the default."""
    labels = np.full(len(values), default)
    for column, label in reversed(rules):
        labels[values[:, column]] = label
    return labels


def evaluate(rules: Rules, default: int, suing: Suing, goal: Goal) -> Evaluation:
    """A list's objective, row by row: independent of how lists are searched."""
    predicted = predict(rules, default, suing.values)
    wrong = float(np.mean(predicted != suing.black_box))
    everyone = np.ones(len(predicted), dtype=bool)
    totals = counts(everyone, suing.groups, suing.right)
    positive = counts(predicted == 1, suing.groups, suing.right)
    found = gaps(goal.measure, positive, totals, len(predicted))
    unfair = float(np.nan_to_num(np.abs(found), nan=1.0).max())
    objective = (1 - goal.beta) * wrong + goal.beta * unfair + goal.price * len(rules)
    return Evaluation(objective, 1 - wrong, tuple(found.tolist()), unfair)


def rationalize(
    suing: Suing,
    goal: Goal,
    *,
    limits: Limits | None = None,
    forbidden: Iterable[int] = (),
    compiled: bool | None = None,
) -> FairList:
    """The best rule list of single columns.

    Exact for every measure, beta and tau, unless a limit ends the search: then `bound` says how
    much better the best one may be. Fast for measures whose gap is a sum over rows; the search is
    slow for predictive_parity and conditional_use_accuracy_equality, whose denominators depend on
    the list: there only errors are bounded.

    Parameters
    ----------
    forbidden : columns that no rule has.
    compiled : by numba; where it is installed, unless said otherwise.

    Raises
    ------
    Infeasible
        where no list was met whose unfairness is at most tau; says how fair the fairest is.
    """
    check_groups(goal.measure, suing.patterns.totals)
    space = Space.of(suing.patterns, goal, compiled=compiled)
    return _best(suing, space, limits or Limits(), forbidden)


def _best(suing: Suing, space: Space, limits: Limits, forbidden: Iterable[int] = ()) -> FairList:
    began, goal = time.process_time(), space.goal
    outcome = space.search(forbidden=forbidden, deadline=began + limits.seconds, nodes=limits.nodes)
    if np.isinf(outcome.value):
        met = "there is" if outcome.proved else "was met before the limits ended the search"
        raise Infeasible(
            f"no list with {goal.measure} of at most {goal.tau:g} {met}: the least unfairness of "
            f"those looked at is {outcome.unfairness:g}; take a larger tau"
        )
    return fair_list(outcome, suing, goal, time.process_time() - began)


def fair_list(outcome: Outcome, suing: Suing, goal: Goal, seconds: float) -> FairList:
    """A search's outcome, evaluated anew row by row."""
    told = evaluate(outcome.rules, outcome.default, suing, goal)
    return FairList(
        outcome.rules,
        outcome.default,
        told.objective,
        told.fidelity,
        told.unfairness,
        min(outcome.bound, told.objective),
        outcome.proved,
        outcome.states,
        seconds,
    )


def front(
    suing: Suing,
    goal: Goal,
    taus: Sequence[float],
    *,
    limits: Limits | None = None,
    compiled: bool | None = None,
) -> list[FairList | None]:
    """For each tau the best list whose unfairness is at most that: fidelity against unfairness.

    From the largest tau on: a list is the best for smaller ones too, while it is fair enough.

    Parameters
    ----------
    goal : its own tau is not looked at; beta 0 for the truest list of each tau.
    limits : of each search.

    Returns
    -------
    One list a tau, in their order; none where no list is so fair, or none was met.
    """
    check_groups(goal.measure, suing.patterns.totals)
    space = Space.of(suing.patterns, goal, taus=taus, compiled=compiled)
    found: dict[float, FairList | None] = {}
    last: FairList | None = None
    for tau in sorted(set(taus), reverse=True):
        if last is None or not last.proved or last.unfairness > tau + SLACK:
            try:
                last = _best(suing, space.at(tau), limits or Limits())
            except Infeasible:
                last = None
        found[tau] = last
    return [found[tau] for tau in taus]

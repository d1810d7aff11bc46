"""A companion's rule list, read as features and as training rows up to a transparency."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.models.base import Capability
from bench.rules import RuleList
from bench.tasks.base import Method, Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.companion import CompanionProblem
from bench.tasks.unified import DataRanking, FeatureRanking, Unified, UnifiedProblem


@dataclass(frozen=True)
class Companion:
    """The rule of each query point is its conditions, and the training rows that it decides.

    The list ends with the rule at which it decides the wanted share of the training rows. What
    no rule of this prefix covers is left to the black box: of such a point the explanation says
    nothing, all its features tie and its rows come in random order.

    Features: those of the rule's conditions, then those of earlier rules that the point escaped,
    then the rest, each group tied. Training rows: those that the rule decides, then the rest;
    rows of the rule's label before others, and then the nearest to the mean of the rows that it
    decides, the most typical ones, first.

    Parameters
    ----------
    companion : finds the rule list.
    transparency : share of the training rows that the prefix decides at least, where the list
        decides so many; that of the problem unless given.
    within : orders the rows that a rule decides, the strongest supporters of the prediction at
        the point first, and the rest likewise; the most typical ones first unless given.

    References
    ----------
    Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 3 (the
    list and its transparency). Reading a rule on both sides: earnest.
    """

    companion: Method[CompanionProblem, RuleList]
    transparency: float | None = None
    within: Method[CleansingProblem, Influence] | None = None

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.transparency is not None and not 0 <= self.transparency <= 1:
            raise ValueError(f"transparency={self.transparency}: wanted a share from 0 to 1")

    def explain(self, problem: UnifiedProblem, *, rng: np.random.Generator) -> Unified:
        list_rng, rest_rng, within_rng = rng.spawn(3)
        rules = self.companion.explain(problem.companion, rng=list_rng)
        if not isinstance(rules, RuleList):
            raise Unsupported(f"a {type(rules).__name__} has no rules to read")
        wanted = problem.transparency if self.transparency is None else self.transparency
        prefix, reached = shortest_prefix(rules, problem, wanted)
        place = prefix.decided_by(problem.queries.values)
        order = rest_rng.random((problem.n, len(problem.train))).argsort(axis=1)
        of_query = within_rng.spawn(problem.n)
        for query, at in _covered(place):
            order[query] = np.lexsort(self._keys(problem, prefix, at, query, of_query[query])[::-1])
        return Unified(
            FeatureRanking(feature_values(problem, prefix, place)),
            DataRanking(order),
            prefix.predict(problem.queries.values),
            reasons(problem, prefix, place),
            {"transparency": reached, "rules": float(len(prefix))},
        )

    def _keys(
        self,
        problem: UnifiedProblem,
        rules: RuleList,
        place: int,
        query: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, ...]:
        """By which training rows are ordered, the first key first."""
        decided = rules.decided_by(problem.companion.train.literals.values) == place
        if self.within is not None:
            influence = self.within.explain(problem.cleansing(query), rng=rng)
            return ~decided, -influence.values
        other = problem.companion.train.labels != rules.labels[place]
        return ~decided, other, distances(problem, decided)


def shortest_prefix(
    rules: RuleList, problem: UnifiedProblem, wanted: float
) -> tuple[RuleList, float]:
    """The fewest first rules that decide the wanted share of the training rows, and their share.

    The whole list where that decides fewer.
    """
    shares = problem.companion.train.curve(rules).transparency
    m = min(int(np.searchsorted(shares, wanted - 1e-9)), len(rules))
    return RuleList(rules.rules[:m], rules.labels[:m]), float(shares[m])


def _covered(place: Int[np.ndarray, " n"]) -> Iterator[tuple[int, int]]:
    """(query point, place of its rule) for those that have one."""
    return ((query, at) for query, at in enumerate(place.tolist()) if at >= 0)


def feature_values(
    problem: UnifiedProblem, rules: RuleList, place: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n p"]:
    """2 for the features of the rule at `place`, 1 for other ones of the rules before, 0 else.

    All 0 for a query point without a rule.
    """
    values = np.zeros((problem.n, problem.features.p))
    for query, at in _covered(place):
        for escaped in rules.rules[:at]:
            values[query, problem.features_of(escaped, query)] = 1
        values[query, problem.features_of(rules.rules[at], query)] = 2
    return values


def distances(
    problem: UnifiedProblem, decided: Bool[np.ndarray, " n_train"]
) -> Float[np.ndarray, " n_train"]:
    """Of each training row from the mean of the decided ones, as the model sees them."""
    inputs = problem.train.inputs.flatten(1).double().numpy()
    middle = inputs[decided if decided.any() else slice(None)].mean(axis=0)
    away: np.ndarray = np.linalg.norm(inputs - middle, axis=1)
    return away


def reasons(
    problem: UnifiedProblem, rules: RuleList, place: Int[np.ndarray, " n"]
) -> tuple[str, ...]:
    """The rule of each query point in words; nothing where there is none."""
    names = problem.queries.names
    return tuple(rules.rules[at].text(names) if at >= 0 else "" for at in place)

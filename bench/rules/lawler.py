"""The k best fair lists: those of Lawler's scheme, by one search.

The scheme pops the best list and searches anew without each of its columns. So it finds a list
unless a better one's columns are among its own, and these can be searched for together.
"""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from bench.rules.exact import Limits
from bench.rules.fair_kernels import ROUNDING, RULE_OF, Lists, Prefixes, penalty
from bench.rules.fair_search import (
    EXACT,
    Goal,
    Levels,
    Outcome,
    Rules,
    Space,
    left_open,
    merged,
    rules_of,
)
from bench.rules.fairness import check_groups
from bench.rules.patterns import Patterns
from bench.rules.rationalize import FairList, Suing, fair_list, predict

Distinct = Literal["columns", "predictions"]


@dataclass(frozen=True)
class Enumeration:
    """The best lists, in order.

    Attributes
    ----------
    lists : distinct, rising in their objective.
    ended : whether there is no further list; then there may be fewer than were wanted.
    proved : whether all of them are: those that were met last may come too early, where a limit
        has ended the search.
    states : prefixes that were extended. seconds : CPU seconds.
    """

    lists: tuple[FairList, ...]
    ended: bool
    proved: bool
    states: int
    seconds: float


def best_lists(
    suing: Suing,
    goal: Goal,
    k: int,
    *,
    distinct: Distinct = "columns",
    limits: Limits | None = None,
    compiled: bool | None = None,
) -> Enumeration:
    """The k best lists, but for those that have a better list's columns among their own.

    What is left out is a better list with further rules, or in another order. Where the empty list
    is as good, all that is worse is left out.

    Parameters
    ----------
    distinct : lists count once a set of `columns`; or, stricter, once what they predict on the
        suing group: `a -> 1, else 0` and `not a -> 0, else 1` are the same.

    References
    ----------
    Lawler, *A procedure for computing the k best solutions to discrete optimization problems*,
    Management Science, 1972; as in Aivodji et al., ICML 2019, Algorithm 1.
    """
    began, limits = time.process_time(), limits or Limits()
    patterns = suing.patterns
    check_groups(goal.measure, patterns.totals)
    space = Space.of(patterns, goal, compiled=compiled)
    scheme = _Scheme(space, patterns, k, distinct, began + limits.seconds, limits.nodes)
    bound = scheme()
    seconds = time.process_time() - began
    lists = sorted(
        (
            fair_list(one.outcome(bound, scheme.states), suing, goal, seconds)
            for one in scheme.told()
        ),
        key=lambda one: one.objective,  # anew, by which equal ones may differ in the last digit
    )
    return Enumeration(
        tuple(lists),
        len(lists) < k and bound == np.inf,
        all(one.proved for one in lists),
        scheme.states,
        seconds,
    )


@dataclass(frozen=True)
class _Known:
    """A list that none with a part of its columns is as good as.

    Attributes
    ----------
    columns : as bits. identity : what makes lists the same.
    """

    value: float
    columns: int
    rules: Rules
    default: int
    identity: object

    def outcome(self, open_ones: float, states: int) -> Outcome:
        """With what the search leaves open."""
        proved = open_ones >= self.value - EXACT
        bound = self.value if proved else open_ones
        return Outcome(self.rules, self.default, self.value, bound, proved, states, np.inf)


class _Scheme(Levels):
    """All such lists that are better than the k-th, level by level.

    After each level, lists of so many rules are final: those whose columns are a part of theirs
    have fewer. The k-th best of them is a limit to all others, and each of them to lists that go on
    with its columns.

    Attributes
    ----------
    best : in order. limit : what further lists have to be better than.
    """

    def __init__(
        self,
        space: Space,
        patterns: Patterns,
        k: int,
        distinct: Distinct,
        deadline: float,
        nodes: int,
    ) -> None:
        terms = space.terms._replace(apart=True)
        super().__init__(terms, space.goal, space.inner, deadline, nodes)
        self.patterns, self.k, self.distinct = patterns, k, distinct
        self.best = self._empty()
        self.limit = self.best[0].value if self.best and k == 1 else np.inf
        self.states = 0

    def __call__(self) -> float:
        """The least bound of what a limit leaves open; infinite where nothing is."""
        levels = [self.root()]
        earlier = levels[0].at(slice(0, 0))
        while len(levels[-1].keys) and len(levels) <= self.longest:
            level, last = levels[-1], len(levels) == self.longest
            earlier, limits = merged(earlier, level), self._limits(level.sets)
            kept, lists = [level.at(slice(0, 0))], list[Lists]()
            for part in self.chunks(level):
                if self.over(kept, earlier):
                    self._take(levels, lists)
                    return left_open(kept, level, part)
                children, met, _ = self.extended(level, part, limits, last)
                kept.append(children)
                lists.append(met)
            self.states += len(level.keys)
            self._take(levels, lists)
            fresh = Prefixes.joined(kept)
            fresh = fresh.at(fresh.bounds < self._limits(fresh.sets) - EXACT)
            levels.append(self.undominated(fresh, earlier))
        return float("inf")

    def told(self) -> list[_Known]:
        """The k best, distinct as wished."""
        first = {one.identity: one for one in reversed(self.best)}
        found = sorted(first.values(), key=self.best.index)
        return found[: self.k]

    def _empty(self) -> list[_Known]:
        """The better default alone, if it is fair enough."""
        entries = self.terms.multipliers.shape[1]
        errors, added = np.split(self.terms.table.sum(axis=0)[: 2 + entries], [2])
        values = errors + penalty(np.array([0.0, 1.0])[:, None] * added, self.terms)
        default = int(values.argmin())
        if not np.isfinite(values).any():
            return []
        return [self._known(float(values[default]), 0, (), default)]

    def _limits(self, sets: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """What lists with these columns and others have to be better than."""
        limits = np.full(len(sets), self.limit)
        for one in reversed(self.best):
            limits[(sets & one.columns) == one.columns] = one.value
        return np.asarray(np.minimum(limits, self.limit))

    def _take(self, levels: list[Prefixes], lists: list[Lists]) -> None:
        """The lists that are met in a level, where they are among the best."""
        if not lists:
            return
        values, parents, rules = Lists.joined(lists)
        kept = np.flatnonzero(values < self.limit)
        sets = levels[-1].sets[parents[kept]] | 1 << rules[kept] // RULE_OF
        order = np.lexsort((sets, np.round(values[kept] / ROUNDING)))
        waiting, sets = kept[order], sets[order]
        old, self.best = self.best, []
        while (len(waiting) or old) and not self._full:
            if old and not (len(waiting) and values[waiting[0]] < old[0].value - ROUNDING):
                one = old.pop(0)
            else:
                place = waiting[0]
                told = rules_of(levels, int(parents[place]), int(rules[place]))
                one = self._known(float(values[place]), int(sets[0]), *told)
            more = (sets & one.columns) != one.columns
            waiting, sets = waiting[more], sets[more]
            self.best.append(one)
        if self._full:
            self.limit = self.best[-1].value

    @property
    def _full(self) -> bool:
        """Whether there are k, and no more."""
        return len({one.identity for one in self.best}) >= self.k

    def _known(self, value: float, columns: int, rules: Rules, default: int) -> _Known:
        identity: object = columns
        if self.distinct == "predictions":
            identity = predict(rules, default, self.patterns.holds).tobytes()
        return _Known(value, columns, rules, default, identity)

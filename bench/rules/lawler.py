"""The k best fair lists, by Lawler's scheme: forbid each column of the best in turn."""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.rules.exact import Limits
from bench.rules.fair_search import EXACT, Goal, Outcome, Space
from bench.rules.fairness import check_groups
from bench.rules.rationalize import FairList, Suing, fair_list, predict

Distinct = Literal["columns", "predictions"]


@dataclass(frozen=True)
class Enumeration:
    """The best lists, in order.

    Attributes
    ----------
    lists : distinct, rising in their objective (of the proved ones).
    ended : whether the scheme has no further list; then there may be fewer than were wanted.
    proved : whether every search was.
    searches : how many there were. seconds : CPU seconds.
    """

    lists: tuple[FairList, ...]
    ended: bool
    proved: bool
    searches: int
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
    """Best first: pop the best list, and search again without each of its columns.

    A list with a set of columns is found unless a better one's columns are among its own: what
    is skipped is that one with further rules, or in another order. The scheme ends where all
    that is left is the empty list, which has no column to forbid.

    Parameters
    ----------
    distinct : lists count once a set of `columns`; or, stricter, once what they predict on the
        suing group: `a -> 1, else 0` and `not a -> 0, else 1` are the same.
    limits : of all searches together.

    References
    ----------
    Lawler, *A procedure for computing the k best solutions to discrete optimization problems*,
    Management Science, 1972; as in Aivodji et al., ICML 2019, Algorithm 1.
    """
    began, limits = time.process_time(), limits or Limits()
    check_groups(goal.measure, suing.patterns.totals)
    scheme = _Scheme(suing, goal, k, distinct, began + limits.seconds, limits.nodes, compiled)
    lists = tuple(fair_list(one.outcome, suing, goal, one.seconds) for one in scheme)
    return Enumeration(
        lists,
        len(lists) < k and scheme.floor == np.inf,
        all(one.proved for one in lists),
        scheme.searches,
        time.process_time() - began,
    )


@dataclass(frozen=True)
class _Waiting:
    """The best list without the forbidden columns."""

    forbidden: frozenset[int]
    outcome: Outcome
    seconds: float

    def __lt__(self, other: "_Waiting") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[float, int, list[int]]:
        return self.outcome.value, len(self.forbidden), sorted(self.forbidden)


class _Scheme:
    """Iterates over the best lists.

    Attributes
    ----------
    floor : the least bound of searches that a limit has ended: lists above it may come too early.
    searches : how many there were.
    """

    def __init__(
        self,
        suing: Suing,
        goal: Goal,
        k: int,
        distinct: Distinct,
        deadline: float,
        nodes: int,
        compiled: bool | None,
    ) -> None:
        self.suing, self.goal, self.k, self.distinct = suing, goal, k, distinct
        self.deadline, self.nodes = deadline, nodes
        self.patterns = suing.patterns
        self.space = Space.of(self.patterns, goal, compiled=compiled)
        self.known: dict[object, _Waiting] = {}
        self.solved: list[_Waiting] = []
        self.tried: set[frozenset[int]] = set()
        self.floor, self.searches = float("inf"), 0

    def __iter__(self) -> Iterator[_Waiting]:
        first, given = self._best(frozenset(), -np.inf), set[object]()
        waiting = [] if first is None else [first]
        while waiting and len(given) < self.k:
            one = heapq.heappop(waiting)
            identity = self._identity(one.outcome)
            if identity not in given:
                given.add(identity)
                yield self._bounded(one)
            for column in sorted({column for column, _ in one.outcome.rules}):
                forbidden = one.forbidden | {column}
                if forbidden not in self.tried and len(given) < self.k:
                    found = self._best(forbidden, one.outcome.bound)
                    if found is not None:
                        heapq.heappush(waiting, found)

    def _best(self, forbidden: frozenset[int], least: float) -> _Waiting | None:
        """The best list without these columns, unless k others are known that are better.

        Parameters
        ----------
        least : no list without these columns is better.
        """
        known = self._avoiding(forbidden)
        if known is None or not self._settles(known, forbidden):
            known = self._searched(forbidden, known, least)
        self.tried.add(forbidden)
        if known is not None:
            known = replace(known, forbidden=forbidden)
            self.solved.append(known)
            identity = self._identity(known.outcome)
            self.known[identity] = min(known, self.known.get(identity, known))
        return known

    def _avoiding(self, forbidden: frozenset[int]) -> _Waiting | None:
        """The best known list without these columns, if need be one that settles the question."""
        free = [
            one
            for one in self.solved
            if not any(column in forbidden for column, _ in one.outcome.rules)
        ]
        settling = [one for one in free if self._settles(one, forbidden)]
        return min(settling or free, default=None)

    def _settles(self, known: _Waiting, forbidden: frozenset[int]) -> bool:
        """Whether it is the best where even less was forbidden."""
        return known.outcome.proved and known.forbidden <= forbidden

    def _searched(
        self, forbidden: frozenset[int], known: _Waiting | None, least: float
    ) -> _Waiting | None:
        """By a search for a better one than is known."""
        began = time.process_time()
        start = np.inf if known is None else known.outcome.value
        cutoff = self._cutoff()
        outcome = self.space.search(
            forbidden=forbidden,
            deadline=self.deadline,
            nodes=self.nodes,
            beam=0,
            below=min(start, cutoff),
        )
        self.searches += 1
        bound = max(outcome.bound, least)
        if not outcome.proved:
            self.floor = min(self.floor, bound)
        seconds = time.process_time() - began
        if outcome.value < min(start, cutoff):
            return _Waiting(forbidden, replace(outcome, bound=bound), seconds)
        if known is None or start >= cutoff:
            return None
        best = replace(known.outcome, bound=min(bound, start), proved=outcome.proved)
        return _Waiting(forbidden, best, seconds)

    def _cutoff(self) -> float:
        """The objective of the k-th best list that is known."""
        values = sorted(one.outcome.value for one in self.known.values())
        return values[self.k - 1] if len(values) >= self.k else np.inf

    def _bounded(self, one: _Waiting) -> _Waiting:
        """With what the searches that were ended leave open."""
        value = one.outcome.value
        bound = min(one.outcome.bound, self.floor, value)
        proved = bound >= value - EXACT
        return replace(one, outcome=replace(one.outcome, bound=bound, proved=proved))

    def _identity(self, outcome: Outcome) -> object:
        """What makes lists the same."""
        if self.distinct == "columns":
            return frozenset(column for column, _ in outcome.rules)
        labels = predict(outcome.rules, outcome.default, self.patterns.holds)
        return labels.tobytes()

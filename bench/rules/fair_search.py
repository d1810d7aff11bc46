"""The best fair list of single columns, proved: a level-wise branch and bound over patterns.

With C the errors and rules of a prefix in units of the objective, and G the signed gaps that its
captured rows add: prefixes that have captured the same rows share one pass over what is left.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from bench.rules.bits import pack
from bench.rules.exact import Limits
from bench.rules.fair_kernels import (
    ACCURACY,
    BLOCK,
    LARGEST,
    PRECISION,
    RULE_OF,
    SLACK,
    Kernels,
    Lists,
    Prefixes,
    Terms,
    fair_kernels,
    groups_of,
    penalty,
    unfairness,
)
from bench.rules.fairness import additive
from bench.rules.patterns import Patterns, word

EXACT = 1e-10
"""Proofs are up to this much of the objective: less than any row or gap, more than rounding."""

_CHUNK = 1024
"""Prefixes that are extended together, between two looks at the clock."""

_STEEPEST = 2.0
"""The largest multiplier of a constraint. A pattern of one group changes its label at the group's
share of the rows, at most 1; one of both groups later."""

Rules = tuple[tuple[int, int], ...]
"""(column, label) of each rule."""


@dataclass(frozen=True)
class Goal:
    """What a list should be.

    The objective, to be small: (1 - beta) misclassification + beta unfairness + price rules, among
    lists whose unfairness is at most tau.

    Parameters
    ----------
    measure : of unfairness, in [0, 1]; see `bench.rules.fairness.gaps`. Where a measure is
        undefined, as nothing is predicted that makes a denominator, unfairness counts as 1: no
        list gains by never predicting a label.
    beta : in [0, 1]. price : lambda, of each rule; 0 at least.
    tau : the largest unfairness; infinite: any.
    longest : rules at most; none: any number.
    """

    measure: str = "demographic_parity"
    beta: float = 0.0
    price: float = 0.005
    tau: float = np.inf
    longest: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta is a share: between 0 and 1, not {self.beta:g}")
        if not 0 <= self.price < np.inf:
            raise ValueError(f"price is what a rule costs: 0 or more, not {self.price:g}")
        if not self.tau >= 0:
            raise ValueError(f"tau is the largest unfairness: 0 or more, not {self.tau:g}")
        if self.longest is not None and self.longest < 0:
            raise ValueError(f"longest is a number of rules or None, not {self.longest}")


@dataclass(frozen=True)
class Outcome:
    """What a search has found.

    Attributes
    ----------
    rules, default : the best list met. value : its objective; infinite where there is none.
    bound : no list has a smaller objective, up to `EXACT`.
    proved : whether the search ended by itself.
    states : prefixes that were extended. unfairness : the least of all lists met.
    """

    rules: Rules
    default: int
    value: float
    bound: float
    proved: bool
    states: int
    unfairness: float


@dataclass(frozen=True)
class Space:
    """The lists over some patterns, and what searches among them have met.

    Searches of the same space, or of the same one at another tau, add up no rows twice.
    """

    terms: Terms
    goal: Goal
    inner: Kernels

    @classmethod
    def of(
        cls,
        patterns: Patterns,
        goal: Goal,
        *,
        taus: Sequence[float] = (),
        compiled: bool | None = None,
    ) -> "Space":
        """
        Parameters
        ----------
        taus : those that searches will be `at`; none: the goal's.
        compiled : by numba; where it is installed, unless said otherwise.
        """
        return cls(_terms(patterns, goal, taus or [goal.tau]), goal, fair_kernels(compiled))

    def at(self, tau: float) -> "Space":
        """The same with another largest unfairness."""
        goal = replace(self.goal, tau=tau)
        offsets = _offsets(self.terms.multipliers, goal)
        return replace(self, terms=self.terms._replace(tau=float(tau), offsets=offsets), goal=goal)

    def search(
        self,
        *,
        forbidden: Iterable[int] = (),
        deadline: float = np.inf,
        nodes: int = Limits.nodes,
        beam: int = 100,
        below: float = np.inf,
        proof: bool = True,
    ) -> Outcome:
        """The best list, or the best met until `deadline` (of `time.process_time`).

        Parameters
        ----------
        forbidden : columns that no rule has.
        nodes : prefixes kept of a level at most.
        beam : as many prefixes of each level are looked at first, for a good list to begin with.
        below : only lists with a smaller objective are looked for.
        proof : whether the search goes on when the beam has ended.
        """
        terms = self.terms._replace(allowed=self.terms.allowed & ~word(forbidden))
        run = _Search(terms, self.goal, self.inner, deadline, nodes)
        started = Outcome((), 0, below, -np.inf, False, 0, np.inf)
        if beam:
            started = run(started, width=beam)
        return started if started.proved or not proof else run(started)


def _terms(patterns: Patterns, goal: Goal, taus: Sequence[float]) -> Terms:
    """The patterns in units of the goal."""
    form = additive(goal.measure, patterns.totals, patterns.n)
    per_label = (1 - goal.beta) * patterns.rows.sum(axis=1) / patterns.n
    if_zero, if_one = per_label[:, 1], per_label[:, 0]
    added = np.einsum("igb,egb->ie", patterns.judged[:, :2].astype(float), form.weights)
    multipliers = np.zeros((1, 4))
    if form.largest:
        found = [_multipliers(if_zero, if_one, added, replace(goal, tau=tau)) for tau in taus]
        multipliers = np.unique(np.concatenate(found), axis=0)
    least = np.minimum(if_zero[:, None], if_one[:, None] + added @ multipliers.T)
    precision = PRECISION if goal.measure == "predictive_parity" else ACCURACY
    table = np.hstack([if_zero[:, None], if_one[:, None], added, np.maximum(added, 0), least])
    holds = patterns.holds
    opposite, stored = _stored(_opposites(holds))
    table = np.pad(table, ((0, 0), (0, -table.shape[1] % BLOCK)))
    members = np.vstack([holds.T, np.ones(len(holds), dtype=bool)])
    return Terms(
        patterns.masks,
        holds,
        pack(members),
        opposite,
        stored,
        table,
        members @ table,
        multipliers,
        _offsets(multipliers, goal),
        (1 << patterns.columns) - 1,
        False,
        LARGEST if form.largest else precision,
        patterns.totals.ravel(),
        float(goal.price),
        float(goal.beta),
        float(goal.tau),
    )


def _stored(
    opposites: Int[np.ndarray, " columns"],
) -> tuple[Bool[np.ndarray, " columns_and_one"], Int[np.ndarray, " columns_and_one"]]:
    """`Terms.opposite` and `Terms.stored`."""
    opposite = np.append(opposites >= 0, False)
    stored = np.cumsum(~opposite) - 1
    stored[opposite] = stored[opposites[opposites >= 0]]
    return opposite, stored


def _opposites(holds: Bool[np.ndarray, "patterns columns"]) -> Int[np.ndarray, " columns"]:
    """For each column its negation among the others, where that one holds less often; else -1."""
    found = np.full(holds.shape[1], -1)
    sizes = holds.sum(axis=0)
    for column, size in enumerate(sizes):
        for other in np.flatnonzero(sizes == len(holds) - size):
            rarer = size > sizes[other] or (size == sizes[other] and other < column)
            if rarer and (holds[:, column] != holds[:, other]).all():
                found[column] = other
    return found


def _multipliers(
    if_zero: Float[np.ndarray, " patterns"],
    if_one: Float[np.ndarray, " patterns"],
    added: Float[np.ndarray, "patterns entries"],
    goal: Goal,
) -> Float[np.ndarray, "multipliers entries"]:
    """Any mu makes a bound; those that are worth their time lie near the best one of all rows.

    Few elsewhere serve prefixes whose gap is far from what the rest can make up for. Where
    unfairness is limited, these are most: one gap has steps that halve, for each limit the same.
    """
    entries = added.shape[1]
    if entries == 1 and np.isfinite(goal.tau):
        halves = np.array([0, goal.beta, *0.5 ** np.arange(5)])
        return np.unique([-halves, halves])[:, None]
    largest = goal.beta if np.isinf(goal.tau) else max(goal.beta, _STEEPEST)
    steps = np.linspace(-largest, largest, (129, 17)[entries - 1])
    grid = np.stack(np.meshgrid(*entries * [steps]), axis=-1).reshape(-1, entries)
    grid = grid[np.abs(grid).sum(axis=1) <= largest * (1 + SLACK)]
    costs = np.minimum(if_zero[:, None], if_one[:, None] + added @ grid.T).sum(axis=0)
    best = grid[np.argmax(costs - _offsets(grid, goal))]
    near = np.argsort(np.abs(grid - best).sum(axis=1), kind="stable")[: (36, 13)[entries - 1]]
    axes = largest / (1 if np.isinf(goal.tau) else _STEEPEST) * np.eye(entries)
    chosen = [grid[near][:: (4, 1)[entries - 1]], axes, -axes, 0 * axes]
    return np.unique(np.concatenate(chosen), axis=0)


def _offsets(
    multipliers: Float[np.ndarray, "multipliers entries"], goal: Goal
) -> Float[np.ndarray, " multipliers"]:
    """What beta F(G) >= mu G - offset needs, where F <= tau.

    F is the largest absolute entry, so mu G <= |mu|_1 F: up to a size of beta this holds without,
    beyond it F is at most tau.
    """
    beyond = np.maximum(np.abs(multipliers).sum(axis=1) - goal.beta, 0)
    # Sizes that are beta but for rounding need none, however large tau is.
    return np.where(beyond > SLACK, beyond, 0) * min(goal.tau, 1.0)


class _Best(NamedTuple):
    """The best list that ends in a level.

    Attributes
    ----------
    value : its objective. parent : the prefix that it goes on from, -1: it ends before.
    rule : its last rule and default, as a code. unfairness : the least met in any list.
    """

    value: float
    parent: int
    rule: int
    unfairness: float


class Levels:
    """Prefixes by how many rules they have, from the empty one on."""

    def __init__(
        self, terms: Terms, goal: Goal, inner: Kernels, deadline: float, nodes: int
    ) -> None:
        self.terms, self.inner = terms, inner
        self.longest = np.inf if goal.longest is None else goal.longest
        self.deadline, self.nodes, self.waiting = deadline, nodes, 0

    def root(self) -> Prefixes:
        """The empty one."""
        terms, entries = self.terms, self.terms.multipliers.shape[1]
        columns = terms.holds.shape[1]
        positive = terms.table[:, 2 + entries : 2 + 2 * entries].sum(axis=0)
        added = terms.table[:, 2 : 2 + entries].sum(axis=0)
        nowhere = ((1 << columns) - 1) & ~int(np.bitwise_or.reduce(terms.masks))
        return Prefixes(
            np.array([nowhere]),
            np.zeros(1),
            np.zeros((1, entries)),
            (added - positive)[None],
            positive[None],
            np.array([-np.inf]),
            np.array([-1]),
            np.array([0]),
            np.array([0]),
        )

    def over(self, kept: list[Prefixes], earlier: Prefixes) -> bool:
        """Whether a limit is reached; dominated prefixes go before too many wait."""
        if time.process_time() > self.deadline:
            return True
        if self.waiting <= self.nodes:
            return False
        kept[:] = [self.undominated(Prefixes.joined(kept), earlier)]
        self.waiting = len(kept[0].keys)
        return self.waiting > self.nodes // 2

    def chunks(self, level: Prefixes) -> Iterator[slice]:
        """What is extended between two looks at the limits."""
        self.waiting = 0
        for start in range(0, len(level.keys), _CHUNK):
            yield slice(start, start + _CHUNK)

    def extended(
        self, level: Prefixes, part: slice, limits: Float[np.ndarray, " prefixes"], last: bool
    ) -> tuple[Prefixes, Lists, float]:
        """The children of a part of a level, see `Kernels.extended`; parents are places in it."""
        children, lists, least = self.inner.extended(
            level.at(part), self.terms, limits[part].copy(), EXACT, last
        )
        self.waiting += len(children.keys)
        children = children._replace(parents=children.parents + part.start)
        return children, lists._replace(parents=lists.parents + part.start), least

    def undominated(self, fresh: Prefixes, earlier: Prefixes) -> Prefixes:
        """Sorted by key, and only the prefixes that may lead to something new."""
        if self.terms.form != LARGEST:
            return _cheapest(fresh, earlier)
        if _ordered(self.terms) and not self.terms.apart:
            return self._minimal(fresh, earlier)
        fresh = fresh.at(np.lexsort((fresh.bounds, fresh.keys)))
        parts = [fresh.at(slice(0, 0))]
        for piece in _pieces(fresh.keys):
            part = fresh.at(piece)
            if time.process_time() < self.deadline:
                part = part.at(self.inner.undominated(part, earlier, self.terms))
            parts.append(part)
        return Prefixes.joined(parts)

    def _minimal(self, fresh: Prefixes, earlier: Prefixes) -> Prefixes:
        """The same by sorting, where a few numbers tell which prefix is as good as which."""
        fresh = fresh.at(_may_be_allowed(fresh, self.terms))
        rivals = earlier.at(np.isin(earlier.keys, fresh.keys))
        numbers = np.vstack([_numbers(part, self.terms) for part in (rivals, fresh)])
        keys = np.concatenate([rivals.keys, fresh.keys])
        order = np.argsort(keys, kind="stable")  # earlier ones first: of equal ones these stay
        keep = self.inner.minimal(keys[order], numbers[order])
        places = order[keep] - len(rivals.keys)
        return fresh.at(places[places >= 0])


class _Search(Levels):
    """For the best list."""

    def __call__(self, known: Outcome, width: int | None = None) -> Outcome:
        """The best list, from the best that is known on.

        Parameters
        ----------
        width : prefixes of a level that are kept, those with the least bounds; none: all.
        """
        levels, found = [self.root()], self._empty(known)
        earlier, states, dropped = levels[0].at(slice(0, 0)), known.states, np.inf
        while len(levels[-1].keys) and len(levels) <= self.longest:
            level, kept = levels[-1], [levels[-1].at(slice(0, 0))]
            best, last = _Best(found.value, -1, 0, found.unfairness), len(levels) == self.longest
            earlier = merged(earlier, level)
            for part in self.chunks(level):
                if self.over(kept, earlier):
                    bound = min(dropped, left_open(kept, level, part))
                    return _stopped(_listed(found, levels, best), bound, states)
                children, best = self._extended(level, part, best, last)
                kept.append(children)
            states += len(level.keys)
            found = _listed(found, levels, best)
            fresh = Prefixes.joined(kept)
            fresh = self.undominated(fresh.at(fresh.bounds < found.value - EXACT), earlier)
            if width is not None and len(fresh.keys) > width:
                order = np.argsort(fresh.bounds, kind="stable")
                dropped = min(dropped, float(fresh.bounds[order[width]]))
                fresh = fresh.at(np.sort(order[:width]))
            levels.append(fresh)
        return _stopped(found, dropped, states)

    def _extended(
        self, level: Prefixes, part: slice, best: _Best, last: bool
    ) -> tuple[Prefixes, _Best]:
        limits = np.broadcast_to(best.value, len(level.keys))
        children, lists, least = self.extended(level, part, limits, last)
        best = best._replace(unfairness=min(best.unfairness, least))
        if len(lists.values):
            value, parent, rule = (part[lists.values.argmin()].item() for part in lists)
            best = best._replace(value=value, parent=parent, rule=rule)
        return children, best

    def _empty(self, known: Outcome) -> Outcome:
        """The better default alone, if it is better than what is known."""
        entries = self.terms.multipliers.shape[1]
        errors, added = np.split(self.terms.table.sum(axis=0)[: 2 + entries], [2])
        sums = np.array([0.0, 1.0])[:, None] * added
        values = errors + penalty(sums, self.terms)
        least = min(known.unfairness, float(unfairness(sums, self.terms).min()))
        default = int(values.argmin())
        if values[default] >= known.value:
            return replace(known, unfairness=least)
        return replace(
            known, rules=(), default=default, value=float(values[default]), unfairness=least
        )


def _pieces(keys: Int64[np.ndarray, " prefixes"]) -> Iterator[slice]:
    """Runs of whole groups, of about a chunk: prefixes of one key are compared with each other."""
    start = 0
    for end in map(int, groups_of(keys)):
        if end - start >= _CHUNK or end == len(keys):
            yield slice(start, end)
            start = end


def left_open(kept: list[Prefixes], level: Prefixes, part: slice) -> float:
    """The least bound of the children so far, and of a level from a part on."""
    waiting = [*kept, level.at(slice(part.start, None))]
    return float(np.concatenate([prefixes.bounds for prefixes in waiting]).min())


def merged(earlier: Prefixes, level: Prefixes) -> Prefixes:
    """All, sorted by key."""
    both = Prefixes.joined([earlier, level])
    return both.at(np.argsort(both.keys, kind="stable"))


def _cheapest(fresh: Prefixes, earlier: Prefixes) -> Prefixes:
    """Of prefixes with the same captured rows, the same columns where they count, and the same
    counts the cheapest, if it is fresh."""
    both = Prefixes.joined([earlier, fresh])
    order = np.lexsort((both.costs, *both.sums.T, both.sets, both.keys))  # stable: earlier first
    same = np.column_stack([both.keys, both.sets, both.sums])[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (same[1:] != same[:-1]).any(axis=1)
    return both.at(order[first & (order >= len(earlier.keys))])


def _ordered(terms: Terms) -> bool:
    """Whether `_numbers` tell all: gaps that are limited, or one that is weighed."""
    return terms.beta == 0 or (terms.multipliers.shape[1] == 1 and terms.tau == np.inf)


def _may_be_allowed(prefixes: Prefixes, terms: Terms) -> Bool[np.ndarray, " prefixes"]:
    """Where the rest can bring the gaps within tau."""
    least, most = prefixes.sums + prefixes.lowest, prefixes.sums + prefixes.highest
    return np.asarray(((least <= terms.tau + SLACK) & (most >= -terms.tau - SLACK)).all(axis=1))


def _numbers(prefixes: Prefixes, terms: Terms) -> Float[np.ndarray, "prefixes numbers"]:
    """A prefix is as good as another with the same key where none of its numbers is larger.

    Unfairness limited: its cost, and which further gaps are allowed. Unfairness weighed: what it
    costs at both ends of the gap that is still possible; in between, the difference of two is
    monotone.
    """
    gaps, lowest, highest = prefixes.sums, prefixes.lowest, prefixes.highest
    if terms.beta == 0:
        least, most = np.maximum(lowest, -terms.tau - gaps), np.minimum(highest, terms.tau - gaps)
        return np.column_stack([prefixes.costs, least, -most])
    costs = prefixes.costs[:, None]
    ends = [costs + terms.beta * np.abs(gaps + end) for end in (lowest, highest)]
    return np.column_stack([*ends, 0 * costs])


def rules_of(levels: list[Prefixes], parent: int, code: int) -> tuple[Rules, int]:
    """A list's rules and default, followed back from a prefix of the last level."""
    rules, default = [], code % 2
    for level in reversed(levels):
        rules.append((code // RULE_OF, code // 2 % 2))
        parent, code = int(level.parents[parent]), int(level.rules[parent])
    return tuple(reversed(rules)), default


def _listed(found: Outcome, levels: list[Prefixes], best: _Best) -> Outcome:
    found = replace(found, unfairness=best.unfairness)
    if best.parent < 0:
        return found
    rules, default = rules_of(levels, best.parent, best.rule)
    return replace(found, rules=rules, default=default, value=best.value)


def _stopped(found: Outcome, open_ones: float, states: int) -> Outcome:
    """At the end, with the least bound of the prefixes that were not extended."""
    proved = open_ones >= found.value - EXACT
    bound = found.value if proved else open_ones
    return replace(found, bound=bound, proved=proved, states=states)

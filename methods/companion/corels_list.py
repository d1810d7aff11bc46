"""The rule list of least training error and length, proved by branch and bound as in CORELS."""

import heapq
from dataclasses import dataclass
from hashlib import blake2b
from time import process_time
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt64

from bench.models.base import Capability
from bench.rules import RuleList, unpack
from bench.rules.ground import Ground, ground
from bench.rules.kernels import Sets, kernels
from bench.tasks.companion import CompanionProblem

_TOGETHER = 64
"""Prefixes that are extended at once."""


@dataclass(frozen=True)
class CorelsList:
    """The list that errs least by itself; the black box is only there for those who stop early.

    Minimised over the lists of the pool, with a default rule for the rest, is the share of
    training rows that the list has wrong plus a penalty for each rule. The search knows nothing
    of the black box; of the optima for several penalties the problem's objective chooses one.

    Parameters
    ----------
    penalties : the paper's lambda, one optimum each.
    seconds : CPU seconds for each penalty, after which the best list so far stands for the
        optimum, and hangs on the machine.
    longest : rules in a list at most.
    compiled : by numba, None: where it is installed.

    References
    ----------
    Angelino, Larus-Stone, Alabi, Seltzer, Rudin, *Learning Certifiably Optimal Rule Lists for
    Categorical Data*, JMLR 18(234), 2018. Paired with a black box: Pan, Wang, Hara,
    *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 5.
    """

    penalties: tuple[float, ...] = (0.01, 0.005, 0.002)
    seconds: float = 5.0
    longest: int = 20
    compiled: bool | None = None

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) < 0:
            raise ValueError(f"penalties={self.penalties}: wanted one or more, none below 0")

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        unaided = without_box(problem)
        optima = [
            least_error(
                unaided,
                penalty,
                seconds=self.seconds,
                longest=self.longest,
                compiled=self.compiled,
            )
            for penalty in self.penalties
        ]
        return max((problem.listed(optimum.rules) for optimum in optima), key=problem.value)


def without_box(problem: CompanionProblem) -> Ground:
    """The pool beside a black box that is never right: a rule's gain is what its label gets
    right, and the best gains of classes are the paper's equivalent points."""
    n = len(problem.train)
    return ground(
        unpack(problem.pool.captures, n),
        problem.train.labels,
        np.full(n, -1),
        n_labels=len(problem.class_names),
        alpha=0.0,
        completed=True,
    )


@dataclass(frozen=True)
class Optimum:
    """What is known of the least penalised error.

    Attributes
    ----------
    rules : the best list met, as places in the pool.
    value : its share of wrong rows, with the default rule, plus the penalty for each rule.
    bound : no list has a smaller one; equal to `value` where the list is proved optimal.
    """

    rules: tuple[int, ...]
    value: float
    bound: float


def least_error(
    ground: Ground,
    penalty: float,
    *,
    seconds: float = np.inf,
    longest: int = 20,
    compiled: bool | None = None,
) -> Optimum:
    """Branch and bound over prefixes, the most promising first, until none is left or time ends.

    Numbers are those of the paper's Sec. 3, its theorems in brackets.

    Parameters
    ----------
    ground : see `without_box`.
    """
    deadline = process_time() + seconds
    search = _Search(ground, penalty * ground.n, longest, compiled)
    while any(search.open):
        for length in range(longest):
            if process_time() > deadline:
                return search.found
            search.extend(length)
    return search.found


class _Prefix(NamedTuple):
    """Rules that a list begins with; in the order of the queue.

    Attributes
    ----------
    value : the rows that it has wrong with a default rule, plus the price of its rules. number :
        breaks ties. cost : the same without the rows that it leaves. bound : that of a list that
        begins with it, at least. captured : a digest of the rows that it captures.
    """

    value: float
    number: int
    cost: float
    bound: float
    rules: tuple[int, ...]
    captured: bytes


@dataclass(frozen=True)
class _Extended:
    """Every rule after every prefix; in rows, see `_Prefix`.

    Attributes
    ----------
    right : captured rows that the rule has right.
    """

    right: Float[np.ndarray, "prefixes rules"]
    value: Float[np.ndarray, "prefixes rules"]
    cost: Float[np.ndarray, "prefixes rules"]
    bound: Float[np.ndarray, "prefixes rules"]


class _Search:
    """What is known after some steps.

    Attributes
    ----------
    best, least : the best list so far, and the rows that it has wrong plus its price.
    open : for each length the prefixes to be extended, the most promising first.
    cheapest : what it costs to capture a set of rows, so far.
    """

    def __init__(self, ground: Ground, price: float, longest: int, compiled: bool | None) -> None:
        self.ground, self.price, self.inner = ground, price, kernels(compiled)
        n, *right, most = ground.total(ground.everything[None])[0].tolist()
        self.best: tuple[int, ...] = ()
        self.least: float = n - max(right[: ground.n_labels])
        root = _Prefix(self.least, 0, 0.0, n - most, (), b"")
        self.open: list[list[_Prefix]] = [[] for _ in range(longest)]
        if longest:
            self.open[0].append(root)
        self.cheapest, self.numbers = {root.captured: root.cost}, 0

    @property
    def found(self) -> Optimum:
        """Lists begin with an open prefix and cost a rule more [lookahead], or are known."""
        open_ones = [prefix.bound for prefixes in self.open for prefix in prefixes]
        bound = min(self.least, min(open_ones, default=np.inf) + self.price)
        return Optimum(self.best, self.least / self.ground.n, bound / self.ground.n)

    def extend(self, length: int) -> None:
        """The first prefixes of that length by every rule."""
        prefixes = self._taken(length)
        if not prefixes:
            return
        lists = np.array([prefix.rules for prefix in prefixes], dtype=int)
        sets = self.ground.left_by(lists.reshape(len(prefixes), length))
        children = self._extended(prefixes, sets)
        self._learn(prefixes, children)
        if length + 1 < len(self.open):
            for at, rule in np.argwhere(self._worth_it(children)):
                left = sets[at] & ~self.ground.by_rule[rule]
                self._add(prefixes[at].rules, children, (int(at), int(rule)), _digest(left))

    def _taken(self, length: int) -> list[_Prefix]:
        """The first prefixes that may still begin a better list."""
        taken: list[_Prefix] = []
        while self.open[length] and len(taken) < _TOGETHER:
            prefix = heapq.heappop(self.open[length])
            cheapest = self.cheapest[prefix.captured] == prefix.cost
            if cheapest and prefix.bound < self.worthless:
                taken.append(prefix)
        return taken

    @property
    def worthless(self) -> float:
        """[Lookahead] From this bound on a prefix with a rule more can't beat the best list."""
        return self.least - self.price - 1e-9

    def _extended(self, prefixes: list[_Prefix], sets: Sets) -> _Extended:
        ground, labels = self.ground, slice(1, 1 + self.ground.n_labels)
        table, totals = self.inner.counts(sets, ground.rows), ground.total(sets)
        rest = totals[:, :, None] - table
        size, right, left = table[:, 0], table[:, labels].max(axis=1), rest[:, 0]
        before = np.array([prefix.cost for prefix in prefixes])[:, None]
        cost = before + size - right + self.price
        # [Equivalent points] Rows that all rules capture alike share a label.
        bound = cost + left - rest[:, -1]
        return _Extended(right, cost + left - rest[:, labels].max(axis=1), cost, bound)

    def _learn(self, prefixes: list[_Prefix], children: _Extended) -> None:
        """The best list so far."""
        at, rule = np.unravel_index(children.value.argmin(), children.value.shape)
        if children.value[at, rule] < self.least - 1e-9:
            self.least = float(children.value[at, rule])
            self.best = (*prefixes[at].rules, int(rule))

    def _worth_it(self, children: _Extended) -> Bool[np.ndarray, "prefixes rules"]:
        """Which to extend. [Accuracy, and with it support] A rule that has no more rows right
        than it costs can be left out."""
        worth: np.ndarray = (children.right > self.price) & (children.bound < self.worthless)
        return worth

    def _add(
        self, before: tuple[int, ...], children: _Extended, at: tuple[int, int], captured: bytes
    ) -> None:
        """[Permutations, equivalent support] Of prefixes that capture the same rows the
        cheapest is enough."""
        cost = float(children.cost[at])
        if self.cheapest.get(captured, np.inf) <= cost:
            return
        self.cheapest[captured] = cost
        self.numbers += 1
        value, bound = float(children.value[at]), float(children.bound[at])
        prefix = _Prefix(value, self.numbers, cost, bound, (*before, at[1]), captured)
        heapq.heappush(self.open[len(before) + 1], prefix)


def _digest(left: UInt64[np.ndarray, " words"]) -> bytes:
    """128 bits: two of a billion sets share them with a chance of 1e-21."""
    return blake2b(left.tobytes(), digest_size=16).digest()

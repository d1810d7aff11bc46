"""The best list of at most K rules of a pool, proved: a level-wise branch and bound.

Counts in whole numbers: A the rows that are right (captured ones by their rule, the others by the
black box), L the uncaptured rows; 2 N^2 AUTAC is the sum over rules of n (2 A + g), n the rows
that a rule captures, g what it gains, A before it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from bench.rules.ground import Ground
from bench.rules.kernels import Kernels, Sets, Table, Tails, kernels

EXACT = 1e-9
"""Proofs are up to this much of the objective: less than one row, more than rounding."""

_CHUNK = 1 << 16
"""Children that are bounded together."""
_PAIRS = 2000
"""Rules whose overlaps are all kept, in some 200 MB; of more only what each captures at all."""


@dataclass(frozen=True)
class Certificate:
    """What is known about all lists of a pool.

    Attributes
    ----------
    optima : the largest objectives of lists of at most 0, 1, ..., K rules, proved.
    lists : for each of them a list that has it, as places in the pool.
    bound : no list of at most K + 1 rules has a larger objective; of any number of rules where
        `any_length` holds.
    ceiling : no list of any length has a larger objective.
    any_length : whether the last of `optima` is that of lists of any length.
    reached : CPU seconds after which each of `optima` was proved.
    seconds : CPU seconds of the whole search.
    """

    optima: tuple[float, ...]
    lists: tuple[tuple[int, ...], ...]
    bound: float
    ceiling: float
    any_length: bool
    reached: tuple[float, ...]
    seconds: float

    @property
    def proved(self) -> int:
        """K."""
        return len(self.optima) - 1

    @property
    def limits(self) -> tuple[float, ...]:
        """No list of at most 0, 1, ... rules has a larger objective than these."""
        return self.optima if self.any_length else (*self.optima, self.bound)

    def holds_up_to(self, value: float) -> int:
        """The largest k, as far as known, so that no list of k rules beats `value`; -1: none."""
        return int(np.searchsorted(self.limits, value + EXACT, side="right")) - 1

    def gap(self, value: float) -> float:
        """How much better than `value` a list with one rule more than that may be; 0 at least.

        Where nothing is known of lists so long, how much better one of any length may be.
        """
        if self.covers_all(value):
            return 0.0
        beyond = self.holds_up_to(value) + 1
        largest = self.limits[beyond] if beyond < len(self.limits) else self.ceiling
        return max(largest - value, 0.0)

    def covers_all(self, value: float) -> bool:
        """Whether no list of any length beats `value`."""
        return value + EXACT >= (self.optima[-1] if self.any_length else self.ceiling)

    def status(self, value: float) -> str:
        """Of a list of that objective, in words."""
        if self.covers_all(value):
            return "proved optimal, any number of rules"
        k = self.holds_up_to(value)
        return f"proved optimal up to {k} rules" if k > 0 else "local optimum"


@dataclass(frozen=True)
class Limits:
    """When a search ends without a proof.

    Parameters
    ----------
    seconds : CPU seconds. nodes : prefixes kept of a level at most, some 60 bytes each.
    """

    seconds: float = np.inf
    nodes: int = 4_000_000


def certify(
    ground: Ground,
    start: Sequence[int] = (),
    *,
    longest: int = 20,
    limits: Limits | None = None,
    compiled: bool | None = None,
) -> Certificate:
    """Prove lists of exactly 1, 2, ... rules one after the other, until the limits end it.

    Parameters
    ----------
    start : a good list, whose first rules make the proofs faster.
    longest : K at most.
    compiled : by numba; where it is installed, unless said otherwise.
    """
    began, limits = time.process_time(), limits or Limits()
    search = _Search(ground, kernels(compiled), began + limits.seconds, limits.nodes)
    known = _Known((), ground.value(()))
    lists, optima, bound, any_length = [known.rules], [known.value], known.value, False
    reached = [time.process_time() - began]
    while not any_length and len(lists) <= min(longest, ground.n_rules):
        length = len(lists)
        first = tuple(start[:length])
        known = max(known, _Known(first, ground.value(first)), key=lambda one: one.value)
        known, bound, any_length = search.exactly(length, known)
        if bound > known.value:
            break
        lists.append(known.rules)
        optima.append(known.value)
        reached.append(time.process_time() - began)
    any_length = any_length or len(lists) > ground.n_rules
    ceiling = optima[-1] if any_length else max(search.ceiling(), optima[-1])
    return Certificate(
        tuple(value / ground.scale for value in optima),
        tuple(lists),
        min(bound, ceiling) / ground.scale,
        ceiling / ground.scale,
        any_length,
        tuple(reached),
        time.process_time() - began,
    )


@dataclass(frozen=True)
class _Known:
    """A list, as places in the pool, and its objective in units of 2 N^2."""

    rules: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class _Nodes:
    """Prefixes of the same length.

    Attributes
    ----------
    lists : their rules. right : A. area : 2 N^2 AUTAC so far. bound : on the area of what they
        can become. left : L. code : a hash of the uncaptured rows.
    """

    lists: Int[np.ndarray, "nodes length"]
    right: Float[np.ndarray, " nodes"]
    area: Float[np.ndarray, " nodes"]
    bound: Float[np.ndarray, " nodes"]
    left: Float[np.ndarray, " nodes"]
    code: UInt64[np.ndarray, " nodes"]

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, at: np.ndarray | slice) -> "_Nodes":
        return _Nodes(*(getattr(self, f.name)[at] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["_Nodes"]) -> "_Nodes":
        """One after the other."""
        return cls(
            *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls))
        )


@dataclass(frozen=True)
class _Children:
    """Every rule after every node; arrays are nodes by rules.

    Attributes
    ----------
    table, totals : the quantities of `Ground` that each rule captures, and all that is left.
    right, area, left : A, 2 N^2 AUTAC and L after the rule.
    """

    table: Table
    totals: Float[np.ndarray, "nodes quantities"]
    right: Float[np.ndarray, "nodes rules"]
    area: Float[np.ndarray, "nodes rules"]
    left: Float[np.ndarray, "nodes rules"]

    def largest(self, quantity: int, rules: int = 1) -> Float[np.ndarray, " nodes"]:
        """What that many rules together can capture of a quantity that is never negative."""
        of = self.table[:, quantity]
        if rules >= of.shape[1]:
            return np.asarray(of.sum(axis=1))
        return np.asarray(np.partition(of, -rules, axis=1)[:, -rules:].sum(axis=1))

    def rest(self, quantity: int) -> Float[np.ndarray, "nodes rules"]:
        """A quantity of what the rule leaves."""
        remaining: np.ndarray = self.totals[:, quantity, None] - self.table[:, quantity]
        return remaining


class _Search:
    """A branch and bound over lists of one length."""

    def __init__(self, ground: Ground, inner: Kernels, deadline: float, most_nodes: int) -> None:
        self.ground, self.inner = ground, inner
        self.deadline, self.most_nodes = deadline, most_nodes
        pairs = ground.by_rule if ground.n_rules <= _PAIRS else ground.everything[None]
        self.overlap = inner.counts(pairs, ground.rows)
        self.classes = _ClassBound(ground)
        rng = np.random.default_rng(0)
        self.odd = rng.integers(2**63, size=len(ground.everything), dtype=np.uint64) * 2 + 1

    def exactly(self, length: int, known: _Known) -> tuple[_Known, float, bool]:
        """The best list of `length` rules, or `known` where none beats it.

        Returns that list, a bound on all of them in units of 2 N^2 (equal to its value where
        it is proved), and whether no longer list can beat it either.
        """
        ground, price = self.ground, self.ground.price * length
        nodes, longer_too = self._root(), True
        for depth in range(length):
            tails = length - depth - 1 + ground.completed
            longer_too = longer_too and (tails >= 3 or not len(nodes))
            kept: list[_Nodes] = []
            nodes = nodes[np.argsort(-nodes.bound, kind="stable")]
            for at in self._chunks(len(nodes)):
                floor = known.value + price + EXACT * ground.scale
                if nodes.bound[at.start] <= floor:
                    break
                if self._over(kept):
                    open_ones = max(part.bound.max() for part in [*kept, nodes[at.start :]])
                    return known, float(max(open_ones - price, known.value)), False
                if depth + 1 == length:
                    known = self._closed(nodes[at], known)
                else:
                    kept += self._extended(nodes[at], tails, floor)
            nodes = self._undominated(kept) if kept else self._root()[:0]
        return known, known.value, longer_too

    def ceiling(self) -> float:
        """No list of one rule or more has a larger objective, in units of 2 N^2."""
        return self.classes.whole(self.ground) - self.ground.price

    def _root(self) -> _Nodes:
        ground = self.ground
        return _Nodes(
            np.zeros((1, 0), dtype=np.int32),
            np.array([float(ground.box_right)]),
            np.zeros(1),
            np.array([self.classes.whole(ground)]),
            np.array([float(ground.n)]),
            np.zeros(1, dtype=np.uint64),
        )

    def _chunks(self, nodes: int) -> Iterator[slice]:
        step = max(1, _CHUNK // self.ground.n_rules)
        return (slice(start, start + step) for start in range(0, nodes, step))

    def _over(self, kept: list[_Nodes]) -> bool:
        """Whether a limit is reached; dominated prefixes go before too many wait."""
        if time.process_time() > self.deadline:
            return True
        if sum(map(len, kept)) <= self.most_nodes:
            return False
        kept[:] = [self._undominated(kept)]
        return len(kept[0]) > self.most_nodes // 2

    def _children(self, nodes: _Nodes) -> tuple[_Children, Sets]:
        sets = self.ground.left_by(nodes.lists)
        table = self.inner.counts(sets, self.ground.rows)
        size, gain = table[:, 0], table[:, 1 : 1 + self.ground.n_labels].max(axis=1)
        right, area = nodes.right[:, None], nodes.area[:, None]
        children = _Children(
            table,
            self.ground.total(sets),
            right + gain,
            area + size * (2 * right + gain),
            nodes.left[:, None] - size,
        )
        return children, sets

    def _closed(self, nodes: _Nodes, known: _Known) -> _Known:
        """The best list that is one rule longer than a node, or `known`."""
        children, _ = self._children(nodes)
        area = children.area
        if self.ground.completed:
            area = area + self._catch_all(children)
        at, rule = np.unravel_index(area.argmax(), area.shape)
        rules = (*nodes.lists[at].tolist(), int(rule))
        value = float(area[at, rule]) - self.ground.price * len(rules)
        return _Known(rules, value) if value > known.value else known

    def _extended(self, nodes: _Nodes, tails: int, floor: float) -> list[_Nodes]:
        """The nodes with one rule more whose bound is above the floor."""
        children, sets = self._children(nodes)
        captures = children.table[:, 0] > 0
        bound = children.area + self._tail(children, tails)
        node, rule = np.nonzero(captures & (bound > floor))
        bounds = bound[node, rule]
        if tails == 2:
            bounds = np.minimum(bounds, self._two_rules(children, node, rule))
            above = bounds > floor
            node, rule, bounds = node[above], rule[above], bounds[above]
        if not len(node):
            return []
        left = sets[node] & ~self.ground.by_rule[rule]
        return [
            _Nodes(
                np.column_stack([nodes.lists[node], rule.astype(np.int32)]),
                children.right[node, rule],
                children.area[node, rule],
                bounds,
                children.left[node, rule],
                left @ self.odd,
            )
        ]

    def _tail(self, children: _Children, tails: int) -> Float[np.ndarray, "nodes rules"]:
        """What so many rules more can add at most, told from the node's table at once."""
        if tails > 1:
            return self.classes(children, tails)
        return self._catch_all(children) if self.ground.completed else self._last_rule(children)

    def _catch_all(self, children: _Children) -> Float[np.ndarray, "nodes rules"]:
        """What one label for all that is left adds."""
        gain = np.max([children.rest(1 + z) for z in self._labels], axis=0)
        area: np.ndarray = children.left * (2 * children.right + gain)
        return area

    @property
    def _labels(self) -> range:
        return range(self.ground.n_labels)

    def _last_rule(self, children: _Children) -> Float[np.ndarray, "nodes rules"]:
        """What one rule more can add at most.

        One that leaves m rows gains at most v^z(u) + m, and v^z(u) plus the negative part of
        v^z(u): (L - m) (2 A + v^z(u) + m), which is concave in m. It leaves at least what the
        widest rule leaves, and gains no more than any.
        """
        right, left, best = children.right, children.left, np.full(children.left.shape, -np.inf)
        least = np.maximum(left - children.largest(0)[:, None], 0)
        for z in self._labels:
            positive = 1 + self.ground.n_labels + z
            gain, most = children.rest(1 + z), children.largest(positive)[:, None]
            negative = children.rest(positive) - gain
            m = np.clip((left - gain) / 2 - right, least, np.maximum(least, negative))
            gained = np.minimum(gain + np.minimum(m, negative), most)
            best = np.maximum(best, (left - m) * (2 * right + gained))
        return best

    def _two_rules(
        self, children: _Children, node: Int[np.ndarray, " few"], rule: Int[np.ndarray, " few"]
    ) -> Float[np.ndarray, " few"]:
        """The area of a child and two rules more, at most.

        No last rule is better than one that captures all where A >= L / 2 before the two and
        there are two labels (if v^z < L - 2 A for one of them, the other's is larger), or where
        A >= L.
        """
        right, left = children.right[node, rule], children.left[node, rule]
        least = left * (0.5 if self.ground.n_labels == 2 else 1.0)
        positive = 1 + self.ground.n_labels
        widest = children.largest(0)
        gains = np.stack([children.largest(positive + z) for z in self._labels], axis=1)
        if self.ground.completed:  # a default rule is not of the pool
            widest, gains = np.full_like(widest, np.inf), np.full_like(gains, np.inf)
        tails = Tails(
            node,
            rule,
            right,
            left,
            (right >= least) | self.ground.completed,
            widest,
            gains,
            children.table,
            children.totals,
            self.overlap,
            self.ground.n_labels,
        )
        area: np.ndarray = children.area[node, rule] + self.inner.two_rule_tails(tails)
        return area

    def _undominated(self, parts: list[_Nodes]) -> _Nodes:
        """Of prefixes that capture the same rows those that none is at least as good as.

        What follows adds f + 2 A s, 0 <= s <= L, f and s the same for both: compared at s = 0
        and s = L.
        """
        nodes = _Nodes.joined(parts)
        with_all = nodes.area + 2 * nodes.right * nodes.left
        nodes = nodes[np.lexsort((-with_all, -nodes.area, nodes.code))]
        first = np.flatnonzero(np.diff(nodes.code, prepend=~nodes.code[:1]) != 0)
        leader = np.repeat(first, np.diff(first, append=len(nodes)))
        leader = np.where(self._same_rows(nodes, leader), leader, np.arange(len(nodes)))
        with_all = nodes.area + 2 * nodes.right * nodes.left
        return nodes[_rises(with_all, leader)]

    def _same_rows(
        self, nodes: _Nodes, leader: Int[np.ndarray, " nodes"]
    ) -> Bool[np.ndarray, " nodes"]:
        """Whether nodes of equal hash leave the very same rows."""
        same = np.ones(len(nodes), dtype=bool)
        twins = np.flatnonzero(leader != np.arange(len(nodes)))
        for at in (twins[start : start + 4096] for start in range(0, len(twins), 4096)):
            left, other = (self.ground.left_by(nodes.lists[which]) for which in (at, leader[at]))
            same[at] = (left == other).all(axis=1)
        return same


def _rises(
    values: Float[np.ndarray, " nodes"], leader: Int[np.ndarray, " nodes"]
) -> Bool[np.ndarray, " nodes"]:
    """Whether a value is above all before it of the same leader."""
    _, group = np.unique(leader, return_inverse=True)
    order = np.argsort(group, kind="stable")
    whole = np.rint(values[order]).astype(np.int64)
    lifted = whole + group[order] * (int(np.ptp(whole)) + 1)
    before = np.maximum.accumulate(np.concatenate([lifted[:1], lifted[:-1]]))
    starts = np.diff(group[order], prepend=-1) != 0
    rises = np.empty(len(values), dtype=bool)
    rises[order] = starts | (lifted > before)
    return rises


class _ClassBound:
    """What any number of rules can add, by the classes of rows that all rules capture alike.

    Captured rows gain at most what whole classes gain, each by its best label, the best gain a
    row first: Phi(t) after t rows, a fractional knapsack; and never more than the best labels'
    positive totals of what is left. So the area is at most 2 A L plus twice the integral of the
    smaller of both over t from 0 to L.
    """

    def __init__(self, ground: Ground) -> None:
        rate = ground.class_gains / ground.class_sizes
        order = np.argsort(-rate, kind="stable")
        t = np.concatenate([[0], np.cumsum(ground.class_sizes[order])]).astype(float)
        phi = np.concatenate([[0], np.cumsum(ground.class_gains[order])]).astype(float)
        area = np.concatenate([[0], np.cumsum(np.diff(t) * (phi[1:] + phi[:-1]) / 2)])
        rows, self.top = np.arange(ground.n + 1.0), 1 + 2 * ground.n_labels
        self.completed = ground.completed
        self.area = _quadratic(rows, t, phi, area)
        rising = np.concatenate([[True], np.diff(phi) > 0])
        self.reach = np.interp(np.arange(phi[-1] + 1), phi[rising], t[rising])
        self.until = _quadratic(self.reach, t, phi, area)

    def whole(self, ground: Ground) -> float:
        """On the area of any list."""
        return float(2 * ground.box_right * ground.n + 2 * self.area[-1])

    def __call__(self, children: _Children, tails: int) -> Float[np.ndarray, "nodes rules"]:
        """For `tails` rules more, which capture and gain no more than the largest together."""
        left, gains = children.left, children.rest(self.top)
        if not self.completed:
            left = np.minimum(left, children.largest(0, tails)[:, None])
            gains = np.minimum(gains, children.largest(self.top, tails)[:, None])
        cap = np.minimum(gains, len(self.reach) - 1).astype(np.int64)
        capped = self.until[cap] + cap * (left - self.reach[cap])
        gained = np.where(self.reach[cap] <= left, capped, self.area[left.astype(np.int64)])
        bound: np.ndarray = 2 * children.right * left + 2 * gained
        return bound


def _quadratic(
    at: Float[np.ndarray, " m"], t: np.ndarray, phi: np.ndarray, area: np.ndarray
) -> Float[np.ndarray, " m"]:
    """The integral of phi, linear between the points t, from 0 to `at`."""
    place = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(t) - 2)
    past = at - t[place]
    slope = np.diff(phi)[place] / np.diff(t)[place]
    integral: np.ndarray = area[place] + past * (phi[place] + slope * past / 2)
    return integral

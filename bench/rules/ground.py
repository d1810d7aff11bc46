"""A rule pool as a search for a large AUTAC sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from bench.rules.bits import pack
from bench.rules.kernels import Rows, Sets


@dataclass(frozen=True)
class Ground:
    """Rows, sorted so that one count of bits tells all about a captured set S.

    A rule with label z that captures S gains v^z(S) right rows over the black box: the rows of
    label z in S, minus those that the black box has right. Rows that all rules capture alike
    form a class; whatever a list captures is a union of classes. Counted are, in this order,
    the size of S; v^z for each label z; its positive part, the sum of the classes' positive
    totals; and the sum over classes of the best label's positive total.

    Attributes
    ----------
    rows : the rules' captures and the weights of these quantities.
    masks : the set of all rows; for each label but the last the rows that have it; the rows
        that the black box has right.
    n, n_labels, box_right : rows, labels, rows that the black box has right.
    price : of a rule, in units of 2 N^2 AUTAC.
    completed : whether a default rule decides the rows that are left, at no price.
    """

    rows: Rows
    masks: UInt64[np.ndarray, "masks words"]
    class_sizes: Int[np.ndarray, " classes"]
    class_gains: Int[np.ndarray, " classes"]
    n: int
    n_labels: int
    box_right: int
    price: float
    completed: bool

    @property
    def everything(self) -> UInt64[np.ndarray, " words"]:
        """The set of all rows."""
        return np.asarray(self.masks[0])

    @cached_property
    def by_rule(self) -> UInt64[np.ndarray, "rules words"]:
        """The captures, a rule's words side by side."""
        return np.ascontiguousarray(self.rows.captures.T)

    @property
    def n_rules(self) -> int:
        return int(self.rows.captures.shape[1])

    @property
    def scale(self) -> float:
        """2 N^2: areas are whole numbers in this unit."""
        return 2.0 * self.n**2

    def total(self, sets: Sets) -> Float[np.ndarray, "sets quantities"]:
        """The quantities of sets of rows."""
        bits = np.add.reduceat(
            np.bitwise_count(sets), self.rows.starts[:-1], axis=1, dtype=np.int64
        )
        return np.asarray(bits @ self.rows.weights.T)

    def left_by(self, lists: Int[np.ndarray, "lists length"]) -> Sets:
        """The rows that lists of rules leave uncaptured."""
        left = np.repeat(self.everything[None], len(lists), axis=0)
        for rules in lists.T:
            left &= ~self.by_rule[rules]
        return left

    def value(self, rules: Sequence[int]) -> float:
        """The objective of a list of the pool's rules, in units of 2 N^2."""
        left, right, area = self.everything, self.box_right, 0.0
        for rule in rules:
            captured = left & self.by_rule[rule]
            size, gain = self._best(captured)
            area += size * (2 * right + gain)
            right += gain
            left = left & ~captured
        if self.completed:
            size, gain = self._best(left)
            area += size * (2 * right + gain)
        return area - self.price * len(rules)

    def _best(self, captured: UInt64[np.ndarray, " words"]) -> tuple[int, int]:
        """Size, and gain by the label that gains most."""
        size, *rest = self.total(captured[None])[0].astype(int).tolist()
        return size, max(rest[: self.n_labels])


def ground(
    captures: Bool[np.ndarray, "rules n"],
    labels: Int[np.ndarray, " n"],
    black_box: Int[np.ndarray, " n"],
    *,
    n_labels: int,
    alpha: float,
    completed: bool,
) -> Ground:
    """Sort the rows by what they add to each quantity; a kind begins with a new word.

    Parameters
    ----------
    captures : of each rule, in the rows' own order.
    labels, black_box : the truth and the black box's predictions, 0, ..., n_labels - 1.
    alpha : what a rule costs, in units of AUTAC.
    completed : see `Ground`.
    """
    n = len(labels)
    gains = _gains(labels, black_box, n_labels)
    totals, sizes, member = _classes(captures, gains)
    positive = np.where(totals[member] > 0, gains, 0)
    best = totals.argmax(axis=1)[member]
    top = np.take_along_axis(positive, best[:, None], axis=1)
    added = np.column_stack([np.ones(n, dtype=int), gains, positive, top])
    weights, kind = np.unique(added, axis=0, return_inverse=True)
    starts, places, words = _places(kind, len(weights))
    own = labels == np.arange(n_labels - 1)[:, None]
    sets = np.concatenate([captures, np.ones((1, n), dtype=bool), own, [labels == black_box]])
    spread = np.zeros((len(sets), 64 * words), dtype=bool)
    spread[:, places] = sets
    packed = pack(spread)
    columns = np.ascontiguousarray(packed[: len(captures)].T)
    return Ground(
        Rows(columns, starts, np.ascontiguousarray(weights.T, dtype=float)),
        packed[len(captures) :],
        sizes,
        np.maximum(totals.max(axis=1), 0),
        n,
        n_labels,
        int((labels == black_box).sum()),
        alpha * 2.0 * n**2,
        completed,
    )


def _gains(
    labels: Int[np.ndarray, " n"], black_box: Int[np.ndarray, " n"], n_labels: int
) -> Int[np.ndarray, "n labels"]:
    """What a row adds to v^z: 1 where z is its label, minus 1 where the black box is right."""
    own = labels[:, None] == np.arange(n_labels)
    gains: np.ndarray = own.astype(int) - (labels == black_box)[:, None]
    return gains


def _classes(
    captures: Bool[np.ndarray, "rules n"], gains: Int[np.ndarray, "n labels"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each class's total gains and its size; the class of each row."""
    signatures = np.ascontiguousarray(np.packbits(captures, axis=0).T)
    whole = signatures.view(f"V{signatures.shape[1]}").ravel()
    _, member, sizes = np.unique(whole, return_inverse=True, return_counts=True)
    totals = np.stack([np.bincount(member, weights=gain) for gain in gains.T], axis=1)
    return totals.astype(int), sizes, member


def _places(
    kind: Int[np.ndarray, " n"], kinds: int
) -> tuple[Int[np.ndarray, " kinds_and_one"], Int[np.ndarray, " n"], int]:
    """Where each kind's words start, the bit of each row, and how many words there are."""
    counts = np.bincount(kind, minlength=kinds)
    starts = np.concatenate([[0], np.cumsum(-(-counts // 64))])
    order = np.argsort(kind, kind="stable")
    within = np.arange(len(kind)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.empty(len(kind), dtype=int)
    places[order] = 64 * np.repeat(starts[:-1], counts) + within
    return starts, places, int(starts[-1])

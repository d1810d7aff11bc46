"""The inner loops of searches over rule lists: in NumPy, and the same compiled by numba."""

from importlib.util import find_spec
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

Sets = UInt64[np.ndarray, "sets words"]
Table = Float[np.ndarray, "sets quantities rules"]


class Rows(NamedTuple):
    """Rows by kind, and which of them each rule captures.

    Attributes
    ----------
    captures : bits of each rule; its words run down a column.
    starts : where each kind's words begin, and the end of the last.
    weights : what a row of a kind adds to a quantity.
    """

    captures: UInt64[np.ndarray, "words rules"]
    starts: Int[np.ndarray, " kinds_and_one"]
    weights: Float[np.ndarray, "quantities kinds"]


class Tails(NamedTuple):
    """Children of searched nodes, for `two_rule_tails`: rule `rule[i]` after node `node[i]`.

    Attributes
    ----------
    right, left : of a child: the rows that are right, those that are uncaptured.
    closes : whether no last rule is better than one that captures all that is left.
    widest, gains : of a node: what one rule captures at most, and gains at most by each label.
    table : of the nodes; `totals` of the nodes: the same quantities of all that is uncaptured.
    overlap : of each pair of rules, the same quantities of what both capture; or in a single
        row at least that.
    n_labels : the quantities are size, gain and positive part of the gain for each label.
    """

    node: Int[np.ndarray, " children"]
    rule: Int[np.ndarray, " children"]
    right: Float[np.ndarray, " children"]
    left: Float[np.ndarray, " children"]
    closes: Bool[np.ndarray, " children"]
    widest: Float[np.ndarray, " nodes"]
    gains: Float[np.ndarray, "nodes labels"]
    table: Table
    totals: Float[np.ndarray, "nodes quantities"]
    overlap: Float[np.ndarray, "known quantities rules"]
    n_labels: int


@runtime_checkable
class Kernels(Protocol):
    """What is there twice."""

    def counts(self, sets: Sets, rows: Rows) -> Table:
        """Each quantity of what each rule captures of each set."""
        ...

    def two_rule_tails(self, tails: Tails) -> Float[np.ndarray, " children"]:
        """What two rules more can add to 2 N^2 AUTAC at most.

        Rule r1 with label z1 captures n1 rows of those that a child leaves, and gains a; rule r2
        with label z captures n2 and gains c: 2 A (n1 + n2) + a (n1 + 2 n2) + c n2. The node's
        table tells n1, a and c within bounds, for what r1 and the child's own rule share is
        bounded by either and by their `overlap`. Where r2 captures all that is left the form is
        linear in n1: its larger end. It also captures no more than the widest rule, and gains no
        more than any. The smaller of both bounds counts, for the best r1, z1 and z.
        """
        ...


def kernels(compiled: bool | None = None) -> Kernels:
    """Compiled ones where numba is installed, or as wished."""
    if compiled is None:
        compiled = find_spec("numba") is not None
    return _Compiled() if compiled else _Plain()


class _Plain:
    def counts(self, sets: Sets, rows: Rows) -> Table:
        found = np.empty((len(sets), len(rows.weights), rows.captures.shape[1]))
        for place, members in enumerate(sets):
            bits = np.bitwise_count(rows.captures & members[:, None])
            kinds = np.add.reduceat(bits, rows.starts[:-1], axis=0, dtype=np.int64)
            found[place] = rows.weights @ kinds
        return found

    def two_rule_tails(self, tails: Tails) -> Float[np.ndarray, " children"]:
        found = np.empty(len(tails.node))
        for start in range(0, len(found), 256):
            part = slice(start, start + 256)
            found[part] = _two_rule_tails(
                tails._replace(
                    node=tails.node[part],
                    rule=tails.rule[part],
                    right=tails.right[part],
                    left=tails.left[part],
                    closes=tails.closes[part],
                )
            )
        return found


def _two_rule_tails(tails: Tails) -> Float[np.ndarray, " children"]:
    """See `Kernels`; arrays are children by rules r1."""
    labels = range(tails.n_labels)
    others, totals = tails.table[tails.node], tails.totals[tails.node][:, :, None]
    own = np.take_along_axis(others, tails.rule[:, None, None], axis=2)
    both, rest = tails.overlap[tails.rule % len(tails.overlap)], totals - own
    right, left, closes = tails.right[:, None], tails.left[:, None], tails.closes[:, None]
    size = others[:, 0]

    def gain(z: int, of: np.ndarray) -> np.ndarray:
        return of[:, 1 + z]

    def positive(z: int, of: np.ndarray) -> np.ndarray:
        return of[:, 1 + tails.n_labels + z]

    def negative(z: int, of: np.ndarray) -> np.ndarray:
        lost: np.ndarray = positive(z, of) - gain(z, of)
        return lost

    shared = _least(own[:, 0], size, both[:, 0])
    fewest = size - shared
    most = np.minimum(size - np.maximum(own[:, 0] + size - totals[:, 0], 0), left)
    wide = np.minimum(tails.widest[tails.node][:, None], left - fewest)
    best = np.full(size.shape, -np.inf)
    for z1 in labels:
        lost = _least(negative(z1, own), negative(z1, others), negative(z1, both), shared)
        a = _least(gain(z1, others) + lost, positive(z1, others), positive(z1, rest), most)
        for z in labels:
            if z == z1:
                n1 = np.where(gain(z, rest) > 0, fewest, most)
                tail = a * left + gain(z, rest) * (left - n1)
            else:
                won = _least(positive(z, own), positive(z, others), positive(z, both), shared)
                least = np.maximum(gain(z, others) - won, -negative(z, others))
                c = np.minimum(gain(z, rest) - least, positive(z, rest))
                n1 = np.where(a + c > 0, fewest, most)
                tail = a * (2 * left - n1) + c * (left - n1)
            tail = np.where(closes, 2 * right * left + tail, np.inf)
            c = np.minimum(tails.gains[tails.node, z][:, None], positive(z, rest))
            covered = np.where(a < 0, most + wide, np.minimum(most + wide, left))
            short = 2 * right * covered + a * (most + 2 * wide) + c * wide
            best = np.maximum(best, np.minimum(tail, short))
    largest: np.ndarray = best.max(axis=1)
    return largest


def _least(*arrays: np.ndarray) -> np.ndarray:
    """The smallest of several, place by place."""
    smallest, *rest = arrays
    for other in rest:
        smallest = np.minimum(smallest, other)
    return smallest


class _Compiled:
    def counts(self, sets: Sets, rows: Rows) -> Table:
        found = np.zeros((len(sets), len(rows.weights), rows.captures.shape[1]))
        from bench.rules.compiled import counts

        counts(sets, rows.captures, rows.starts, rows.weights, found)
        return found

    def two_rule_tails(self, tails: Tails) -> Float[np.ndarray, " children"]:
        found = np.empty(len(tails.node))
        from bench.rules.compiled import two_rule_tails

        two_rule_tails(*tails, found)
        return found

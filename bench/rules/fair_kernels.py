"""The inner loops of the search for fair rule lists: in NumPy, and the same compiled by numba."""

from importlib.util import find_spec
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, UInt64

ROUNDING = 1e-12
"""Objectives that differ by less count as equal: what is lost so a hundred times in a row is less
than a proof is exact."""

SLACK = 1e-13
"""More than rounding, less than any row is worth."""

LARGEST, PRECISION, ACCURACY = range(3)
"""Forms of unfairness as a function of the sum G: its largest absolute entry; of the four counts
that it holds, the gap of P(b=1 | c=1), or the larger one of that and the gap of P(b=0 | c=0)."""

BLOCK = 8
"""Quantities that are added up together."""

RIVALS = 4096
"""Earlier prefixes, and ones before it, that a prefix is compared with at most: what is dominated
by others alone stays, which costs time and no proof."""

MEMORY = 1 << 28
"""Bytes of sums that the compiled kernels keep at most: a quarter of a GB."""

RULE_OF = 4
"""A child's code: 4 times its column, twice its label, its default."""


class Terms(NamedTuple):
    """Patterns, in the units of the objective.

    Attributes
    ----------
    masks : the columns that hold. holds : the same as a table. members : the same as the packed
        set of each column's patterns, and of all.
    opposite : the columns whose negation is another one that holds less often; of all, none.
    stored : where each column's sums are, or its negation's, and after them those over all.
    table : a pattern's cost if predicted 0, if predicted 1; what it adds to G if predicted 1; the
        positive part of that; and for each multiplier the least that it adds to the bound;
        zeros, to a multiple of `BLOCK`.
    everywhere : the table's sums over each column's patterns, and over all.
    multipliers, offsets : unfairness costs at least mu G - offset.
    allowed : the columns that rules may have, as bits.
    apart : whether a list counts only against those whose columns are among its own.
    form : see `LARGEST`. totals : rows by group and label, flat.
    price : of a rule. beta : the unfairness costs beta times its size; tau : its largest size.
    """

    masks: Int64[np.ndarray, " patterns"]
    holds: Bool[np.ndarray, "patterns columns"]
    members: UInt64[np.ndarray, "columns_and_one words"]
    opposite: Bool[np.ndarray, " columns_and_one"]
    stored: Int[np.ndarray, " columns_and_one"]
    table: Float[np.ndarray, "patterns quantities"]
    everywhere: Float[np.ndarray, "columns_and_one quantities"]
    multipliers: Float[np.ndarray, "multipliers entries"]
    offsets: Float[np.ndarray, " multipliers"]
    allowed: int
    apart: bool
    form: int
    totals: Float[np.ndarray, " 4"]
    price: float
    beta: float
    tau: float


class Sums(NamedTuple):
    """What has been added up of the rows that a key leaves.

    Attributes
    ----------
    keys, rows : a table with open addressing; row -1: no key has this place.
    used : how many rows are handed out; the last one is for all keys that come too late.
    at : the sums, see `Terms.stored`. closed : the key that each column leads to, or -1: not known.
    """

    keys: Int64[np.ndarray, " places"]
    rows: Int64[np.ndarray, " places"]
    used: Int64[np.ndarray, " 1"]
    at: Float[np.ndarray, "rows stored quantities"]
    closed: Int64[np.ndarray, "rows columns"]

    @classmethod
    def empty(cls, terms: Terms) -> "Sums":
        """Room for as many keys as `MEMORY` holds; what isn't written takes none."""
        columns, quantities = terms.everywhere.shape
        stored = columns - int(terms.opposite.sum())
        room = MEMORY // (8 * (stored * quantities + columns))
        places = 1 << (2 * room).bit_length()
        return cls(
            np.zeros(places, dtype=np.int64),
            np.full(places, -1),
            np.zeros(1, dtype=np.int64),
            np.empty((room + 1, stored, quantities)),
            np.empty((room + 1, columns - 1), dtype=np.int64),
        )


class Prefixes(NamedTuple):
    """Prefixes of lists.

    Attributes
    ----------
    keys : the columns of which no row is left; those with the same key have captured the same.
    costs : errors of the captured rows and rules so far, in units of the objective.
    sums : G, over the captured rows. lowest, highest : what the rest can add to it.
    bounds : on the objective of all lists that begin so, and go on.
    parents : place of the prefix without the last rule. rules : code of the last rule.
    sets : its columns, as bits; 0 where lists of other columns are as welcome, see `Terms.apart`.
    """

    keys: Int64[np.ndarray, " prefixes"]
    costs: Float[np.ndarray, " prefixes"]
    sums: Float[np.ndarray, "prefixes entries"]
    lowest: Float[np.ndarray, "prefixes entries"]
    highest: Float[np.ndarray, "prefixes entries"]
    bounds: Float[np.ndarray, " prefixes"]
    parents: Int64[np.ndarray, " prefixes"]
    rules: Int64[np.ndarray, " prefixes"]
    sets: Int64[np.ndarray, " prefixes"]

    def at(self, places: np.ndarray | slice) -> "Prefixes":
        """Some of them."""
        return Prefixes(*(part[places] for part in self))

    @classmethod
    def joined(cls, parts: "list[Prefixes]") -> "Prefixes":
        """One after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Lists(NamedTuple):
    """Whole lists: one of each prefix and column that is below the prefix's limit.

    Attributes
    ----------
    values : their objectives. parents : the prefix without the last rule.
    rules : its last rule and default, as a code.
    """

    values: Float[np.ndarray, " lists"]
    parents: Int64[np.ndarray, " lists"]
    rules: Int64[np.ndarray, " lists"]

    @classmethod
    def joined(cls, parts: "list[Lists]") -> "Lists":
        """One after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@runtime_checkable
class Kernels(Protocol):
    """What is there twice."""

    def extended(
        self,
        prefixes: Prefixes,
        terms: Terms,
        limits: Float[np.ndarray, " prefixes"],
        margin: float,
        last: bool,
    ) -> tuple[Prefixes, Lists, float]:
        """All children of prefixes that can still be below their limits by `margin`; the best
        lists that end with each column, where they are below; and the least unfairness met.

        A child is a column and a label; both of its defaults are evaluated. It has to become better
        than the best list that ends with its column, too. What it can become is bounded by C +
        price + max_mu (mu G - offset + sum over the rest of the least that a pattern adds): each
        pattern is free to choose its label, unfairness is replaced by what it costs at least, and
        one rule more has to be paid. A rule is left out where the list without it can't be worse:
        right rows and all that it can change in G together cost less than its price.

        Parameters
        ----------
        prefixes : sorted by key. last : children need no bound, they are not extended.
        """
        ...

    def undominated(
        self, prefixes: Prefixes, earlier: Prefixes, terms: Terms
    ) -> Bool[np.ndarray, " prefixes"]:
        """Where no other with the same key, earlier or before it, is as good whatever follows.

        1 is as good as 2 where its columns are among those of 2, if that counts, and for all T
        that the rest can add, G1 + T is allowed if G2 + T is, and C1 + beta |G1 + T| <= C2 +
        beta |G2 + T|, for the entry where that is hardest: the difference of absolute values is
        monotone in T, so an end of the range decides.

        Of unfairness of the form `LARGEST`. Earlier prefixes have at most as many rules, so that
        this holds under a cap on them too.

        Parameters
        ----------
        prefixes, earlier : sorted by key.
        """
        ...

    def minimal(
        self, keys: Int64[np.ndarray, " n"], numbers: Float[np.ndarray, "n numbers"]
    ) -> Bool[np.ndarray, " n"]:
        """Where no other with the same key is as small in all numbers; of equal ones the first.

        The first numbers count as equal where they differ by rounding.

        Parameters
        ----------
        keys : sorted.
        """
        ...


def fair_kernels(compiled: bool | None = None) -> Kernels:
    """Compiled ones where numba is installed, or as wished."""
    if compiled is None:
        compiled = find_spec("numba") is not None
    return _Compiled() if compiled else _Plain()


def unfairness(sums: Float[np.ndarray, "*k entries"], terms: Terms) -> Float[np.ndarray, "*k"]:
    """F(G); 1 where a denominator has no row, the most that it can be."""
    if terms.form == LARGEST:
        return np.asarray(np.abs(sums).max(axis=-1))
    found = _precision_gap(sums, 1)
    if terms.form == ACCURACY:
        found = np.maximum(found, _precision_gap(terms.totals - sums, 0))
    return found


def _precision_gap(given: Float[np.ndarray, "*k 4"], label: int) -> Float[np.ndarray, "*k"]:
    with np.errstate(invalid="ignore"):
        zero = given[..., label] / (given[..., 0] + given[..., 1])
        one = given[..., 2 + label] / (given[..., 2] + given[..., 3])
    return np.asarray(np.nan_to_num(np.abs(one - zero), nan=1.0))


def penalty(sums: Float[np.ndarray, "*k entries"], terms: Terms) -> Float[np.ndarray, "*k"]:
    """What G costs: beta F(G), infinitely much beyond tau."""
    size = unfairness(sums, terms)
    return np.asarray(np.where(size <= terms.tau + SLACK, terms.beta * size, np.inf))


def groups_of(keys: Int64[np.ndarray, " n"]) -> Int[np.ndarray, " groups_and_one"]:
    """Where each run of equal keys begins, and the end of the last."""
    return np.flatnonzero(np.concatenate([[len(keys) > 0], keys[1:] != keys[:-1], [True]]))


class _Plain:
    def extended(
        self,
        prefixes: Prefixes,
        terms: Terms,
        limits: Float[np.ndarray, " prefixes"],
        margin: float,
        last: bool,
    ) -> tuple[Prefixes, Lists, float]:
        starts = groups_of(prefixes.keys)
        groups = [slice(*ends) for ends in zip(starts[:-1], starts[1:], strict=True)]
        found = [_children(prefixes, group, terms, limits, margin) for group in groups]
        children = [part.at(slice(0, 0)) if last else part for part, _, _ in found]
        lists = Lists.joined([part for _, part, _ in found])
        return Prefixes.joined(children), lists, min(least for _, _, least in found)

    def undominated(
        self, prefixes: Prefixes, earlier: Prefixes, terms: Terms
    ) -> Bool[np.ndarray, " prefixes"]:
        keep = np.ones(len(prefixes.keys), dtype=bool)
        starts = groups_of(prefixes.keys)
        for start, end in zip(starts[:-1], starts[1:], strict=True):
            key = prefixes.keys[start]
            first, after = np.searchsorted(earlier.keys, [key, key + 1])
            old = slice(first, min(after, first + RIVALS))
            rivals = Prefixes.joined([earlier.at(old), prefixes.at(slice(start, end))])
            n_old = old.stop - old.start
            alive = np.ones(len(rivals.keys), dtype=bool)
            for place in range(n_old, len(alive)):
                before = slice(0, min(place, n_old + RIVALS))
                alive[place] = not (alive[before] & _as_good(rivals, before, place, terms)).any()
            keep[start:end] = alive[n_old:]
        return keep

    def minimal(
        self, keys: Int64[np.ndarray, " n"], numbers: Float[np.ndarray, "n numbers"]
    ) -> Bool[np.ndarray, " n"]:
        keep = np.zeros(len(keys), dtype=bool)
        starts = groups_of(keys)
        for start, end in zip(starts[:-1], starts[1:], strict=True):
            first, others = numbers[start:end, 0], numbers[start:end, 1:]
            for place in np.lexsort((others.sum(axis=1), np.round(first / ROUNDING))):
                smaller = (others <= others[place] + SLACK).all(axis=1)
                keep[start + place] = not (keep[start:end] & smaller).any()
        return keep


def _children(
    prefixes: Prefixes,
    group: slice,
    terms: Terms,
    limits: Float[np.ndarray, " prefixes"],
    margin: float,
) -> tuple[Prefixes, Lists, float]:
    """Of prefixes with the same key; arrays are prefixes by columns by labels by defaults."""
    entries, columns = prefixes.sums.shape[1], terms.holds.shape[1]
    gap, up = slice(2, 2 + entries), slice(2 + entries, 2 + 2 * entries)
    least = slice(2 + 2 * entries, 2 + 2 * entries + len(terms.offsets))
    label = np.array([0.0, 1.0])[:, None]

    left = (terms.masks & prefixes.keys[group.start]) == 0
    holds, table = terms.holds[left].astype(float), terms.table[left]
    captured = holds.T @ table
    rest = table.sum(axis=0) - captured
    together = holds.T @ holds
    any_row = (np.diag(together) > 0) & ((terms.allowed >> np.arange(columns)) & 1 == 1)
    keys = (together == np.diag(together)) @ (1 << np.arange(columns))

    costs = prefixes.costs[group, None, None] + terms.price + captured[:, :2]
    sums = prefixes.sums[group, None, None] + label * captured[:, None, gap]
    ends = sums[..., None, :] + label * rest[:, None, None, gap]
    values = costs[..., None] + rest[:, None, :2] + penalty(ends, terms)
    values[:, ~any_row] = np.inf
    sizes = np.where(any_row[:, None, None], unfairness(ends, terms), np.inf)
    flat = values.reshape(len(values), columns, 4)
    ended, limit = flat.min(axis=-1), limits[group, None]
    state, column = np.nonzero(ended < limit - SLACK)
    codes = RULE_OF * column + flat.argmin(axis=-1)[state, column]
    lists = Lists(ended[state, column], group.start + state, codes)

    linear = sums @ terms.multipliers.T - terms.offsets + rest[:, None, least]
    bounds = costs + terms.price + linear.max(axis=-1)
    change = _change(captured[:, gap], captured[:, up], terms)
    needed = captured[:, [1, 0]] + change[:, None] >= terms.price - SLACK
    goes_on = any_row & (keys != (1 << columns) - 1)
    below = bounds < np.minimum(ended, limit)[..., None] - margin
    state, column, of = np.nonzero(goes_on[:, None] & needed & below)
    found = Prefixes(
        keys[column],
        costs[state, column, of],
        sums[state, column, of],
        rest[column, gap] - rest[column, up],
        rest[column, up],
        bounds[state, column, of],
        group.start + state,
        RULE_OF * column + 2 * of,
        terms.apart * (prefixes.sets[group][state] | 1 << column),
    )
    return found, lists, float(sizes.min())


def _change(
    added: Float[np.ndarray, "k entries"], positive: Float[np.ndarray, "k entries"], terms: Terms
) -> Float[np.ndarray, " k"]:
    """What other labels of captured rows can cost by unfairness."""
    most = np.maximum(positive, positive - added).max(axis=1)
    if np.isfinite(terms.tau):
        return np.where(most > 0, np.inf, 0.0)
    return terms.beta * (most if terms.form == LARGEST else np.ones(len(most)))


def _as_good(
    prefixes: Prefixes, ones: slice, two: int, terms: Terms
) -> Bool[np.ndarray, " prefixes"]:
    """Which prefixes are as good as another whatever follows."""
    saved = prefixes.costs[two] - prefixes.costs[ones]
    sum1, sum2 = prefixes.sums[ones], prefixes.sums[two]
    low = np.maximum(prefixes.lowest[two], -terms.tau - sum2)
    high = np.minimum(prefixes.highest[two], terms.tau - sum2)
    worse = np.where(
        sum1 > sum2,
        np.abs(sum1 + high) - np.abs(sum2 + high),
        np.abs(sum1 + low) - np.abs(sum2 + low),
    )
    allowed = (sum1 + high <= terms.tau + SLACK) & (sum1 + low >= -terms.tau - SLACK)
    good = allowed.all(axis=1) & (saved >= terms.beta * worse.max(axis=1) - SLACK)
    good &= (prefixes.sets[ones] & ~prefixes.sets[two]) == 0
    return np.asarray(good | (low > high).any())


class _Compiled:
    def __init__(self) -> None:
        self.table: Float[np.ndarray, "patterns quantities"] | None = None

    def _sums(self, terms: Terms) -> Sums:
        if terms.table is not self.table:
            self.table, self.known = terms.table, Sums.empty(terms)
        return self.known

    def extended(
        self,
        prefixes: Prefixes,
        terms: Terms,
        limits: Float[np.ndarray, " prefixes"],
        margin: float,
        last: bool,
    ) -> tuple[Prefixes, Lists, float]:
        room = len(prefixes.keys) * terms.holds.shape[1]
        many, entries = 0 if last else 2 * room, prefixes.sums.shape[1]
        numbers, gaps = np.empty((2, many)), np.empty((3, many, entries))
        places, codes = np.empty((4, many), dtype=np.int64), np.empty((2, room), dtype=np.int64)
        costs, bounds = numbers
        keys, parents, rules, sets = places
        found = Prefixes(keys, costs, gaps[0], gaps[1], gaps[2], bounds, parents, rules, sets)
        lists, starts = Lists(np.empty(room), *codes), groups_of(prefixes.keys)
        from bench.rules.fair_compiled import extended

        n, ended, least = extended(
            prefixes, starts, terms, self._sums(terms), limits, margin, last, found, lists
        )
        met = Lists(*(part[:ended] for part in lists))
        return found.at(slice(0, n)), met, float(least)

    def undominated(
        self, prefixes: Prefixes, earlier: Prefixes, terms: Terms
    ) -> Bool[np.ndarray, " prefixes"]:
        starts = groups_of(prefixes.keys)
        first = np.searchsorted(earlier.keys, prefixes.keys[starts[:-1]])
        after = np.searchsorted(earlier.keys, prefixes.keys[starts[:-1]], side="right")
        keep = np.ones(len(prefixes.keys), dtype=bool)
        from bench.rules.fair_compiled import undominated

        undominated(prefixes, earlier, starts, first, after, terms, keep)
        return keep

    def minimal(
        self, keys: Int64[np.ndarray, " n"], numbers: Float[np.ndarray, "n numbers"]
    ) -> Bool[np.ndarray, " n"]:
        keep = np.zeros(len(keys), dtype=bool)
        from bench.rules.fair_compiled import minimal

        minimal(groups_of(keys), numbers, keep)
        return keep

"""The inner loops of the search for fair rule lists: in NumPy, and the same compiled by numba."""

from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, no_type_check, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, UInt64

from bench.rules.kernels import ones

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

RULE_OF = 4
"""A child's code: 4 times its column, twice its label, its default."""


class Terms(NamedTuple):
    """Patterns, in the units of the objective.

    Attributes
    ----------
    masks : the columns that hold. holds : the same as a table. members : the same as the packed
        set of each column's patterns, and of all.
    opposite : for each column its negation, if there is one that holds less often; else -1.
    table : a pattern's cost if predicted 0, if predicted 1; what it adds to G if predicted 1; the
        positive part of that; and for each multiplier the least that it adds to the bound;
        zeros, to a multiple of `BLOCK`.
    everywhere : the table's sums over each column's patterns, and over all.
    multipliers, offsets : unfairness costs at least mu G - offset.
    form : see `LARGEST`. totals : rows by group and label, flat.
    price : of a rule. beta : the unfairness costs beta times its size; tau : its largest size.
    """

    masks: Int64[np.ndarray, " patterns"]
    holds: Bool[np.ndarray, "patterns columns"]
    members: UInt64[np.ndarray, "columns_and_one words"]
    opposite: Int[np.ndarray, " columns"]
    table: Float[np.ndarray, "patterns quantities"]
    everywhere: Float[np.ndarray, "columns_and_one quantities"]
    multipliers: Float[np.ndarray, "multipliers entries"]
    offsets: Float[np.ndarray, " multipliers"]
    form: int
    totals: Float[np.ndarray, " 4"]
    price: float
    beta: float
    tau: float


class Prefixes(NamedTuple):
    """Prefixes of lists.

    Attributes
    ----------
    keys : the columns of which no row is left; those with the same key have captured the same.
    costs : errors of the captured rows and rules so far, in units of the objective.
    sums : G, over the captured rows. lowest, highest : what the rest can add to it.
    bounds : on the objective of all lists that begin so, and go on.
    parents : place of the prefix without the last rule. rules : code of the last rule.
    """

    keys: Int64[np.ndarray, " prefixes"]
    costs: Float[np.ndarray, " prefixes"]
    sums: Float[np.ndarray, "prefixes entries"]
    lowest: Float[np.ndarray, "prefixes entries"]
    highest: Float[np.ndarray, "prefixes entries"]
    bounds: Float[np.ndarray, " prefixes"]
    parents: Int64[np.ndarray, " prefixes"]
    rules: Int64[np.ndarray, " prefixes"]

    def at(self, places: np.ndarray | slice) -> "Prefixes":
        """Some of them."""
        return Prefixes(*(part[places] for part in self))

    @classmethod
    def joined(cls, parts: "list[Prefixes]") -> "Prefixes":
        """One after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Best(NamedTuple):
    """The best list met.

    Attributes
    ----------
    value : its objective. parent : the prefix that it goes on from, -1: it is no new one.
    rule : its last rule and default, as a code. unfairness : the least met in any list.
    """

    value: float
    parent: int
    rule: int
    unfairness: float


@runtime_checkable
class Kernels(Protocol):
    """What is there twice."""

    def extended(
        self, prefixes: Prefixes, terms: Terms, best: Best, margin: float, last: bool
    ) -> tuple[Prefixes, Best]:
        """All children of prefixes that can still beat `best` by `margin`.

        A child is a column and a label; both of its defaults are evaluated. What it can become is
        bounded by C + price + max_mu (mu G - offset + sum over the rest of the least that a pattern
        adds): each pattern is free to choose its label, unfairness is replaced by what it costs at
        least, and one rule more has to be paid. A rule is left out where the list without it can't
        be worse: right rows and all that it can change in G together cost less than its price.

        Parameters
        ----------
        prefixes : sorted by key. last : children need no bound, they are not extended.
        """
        ...

    def undominated(
        self, prefixes: Prefixes, earlier: Prefixes, terms: Terms
    ) -> Bool[np.ndarray, " prefixes"]:
        """Where no other with the same key, earlier or before it, is as good whatever follows.

        1 is as good as 2 where for all T that the rest can add, G1 + T is allowed if G2 + T is,
        and C1 + beta |G1 + T| <= C2 + beta |G2 + T|, for the entry where that is hardest: the
        difference of absolute values is monotone in T, so an end of the range decides.

        Of unfairness of the form `LARGEST`. Earlier prefixes have at most as many rules, so that
        this holds under a cap on them too.

        Parameters
        ----------
        prefixes, earlier : sorted by key.
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
        self, prefixes: Prefixes, terms: Terms, best: Best, margin: float, last: bool
    ) -> tuple[Prefixes, Best]:
        parts, starts = [], groups_of(prefixes.keys)
        for start, end in zip(starts[:-1], starts[1:], strict=True):
            children, best = _children(prefixes, slice(start, end), terms, best, margin)
            parts.append(children.at(slice(0, 0)) if last else children)
        return Prefixes.joined(parts), best

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


def _children(
    prefixes: Prefixes, group: slice, terms: Terms, best: Best, margin: float
) -> tuple[Prefixes, Best]:
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
    any_row = np.diag(together) > 0
    keys = (together == np.diag(together)) @ (1 << np.arange(columns))

    costs = prefixes.costs[group, None, None] + terms.price + captured[:, :2]
    sums = prefixes.sums[group, None, None] + label * captured[:, None, gap]
    ends = sums[..., None, :] + label * rest[:, None, None, gap]
    values = costs[..., None] + rest[:, None, :2] + penalty(ends, terms)
    values[:, ~any_row] = np.inf
    sizes = np.where(any_row[:, None, None], unfairness(ends, terms), np.inf)
    best = best._replace(unfairness=min(best.unfairness, float(sizes.min())))
    first = int(values.argmin())
    if values.flat[first] < best.value - SLACK:
        state, code = divmod(first, RULE_OF * columns)
        best = Best(float(values.flat[first]), group.start + state, code, best.unfairness)

    linear = sums @ terms.multipliers.T - terms.offsets + rest[:, None, least]
    bounds = costs + terms.price + linear.max(axis=-1)
    change = _change(captured[:, gap], captured[:, up], terms)
    needed = captured[:, [1, 0]] + change[:, None] >= terms.price - SLACK
    goes_on = any_row & (keys != (1 << columns) - 1)
    state, column, of = np.nonzero(goes_on[:, None] & needed & (bounds < best.value - margin))
    found = Prefixes(
        keys[column],
        costs[state, column, of],
        sums[state, column, of],
        rest[column, gap] - rest[column, up],
        rest[column, up],
        bounds[state, column, of],
        group.start + state,
        RULE_OF * column + 2 * of,
    )
    return found, best


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
    return np.asarray(good | (low > high).any())


class _Compiled:
    def extended(
        self, prefixes: Prefixes, terms: Terms, best: Best, margin: float, last: bool
    ) -> tuple[Prefixes, Best]:
        room = 0 if last else 2 * len(prefixes.keys) * terms.holds.shape[1]
        entries = prefixes.sums.shape[1]
        numbers, sums = np.empty((2, room)), np.empty((3, room, entries))
        places = np.empty((3, room), dtype=np.int64)
        found = Prefixes(
            places[0], numbers[0], sums[0], sums[1], sums[2], numbers[1], places[1], places[2]
        )
        starts = groups_of(prefixes.keys)
        n, *told = _compiled()[0](prefixes, starts, terms, tuple(best), margin, last, found)
        return found.at(slice(0, n)), Best(*told)

    def undominated(
        self, prefixes: Prefixes, earlier: Prefixes, terms: Terms
    ) -> Bool[np.ndarray, " prefixes"]:
        starts = groups_of(prefixes.keys)
        first = np.searchsorted(earlier.keys, prefixes.keys[starts[:-1]])
        after = np.searchsorted(earlier.keys, prefixes.keys[starts[:-1]], side="right")
        keep = np.ones(len(prefixes.keys), dtype=bool)
        _compiled()[1](prefixes, earlier, starts, first, after, terms, keep)
        return keep


@cache
@no_type_check
def _trailing_zeros() -> Any:
    """A compiled function: the place of the lowest bit that is set."""
    from numba import njit, types
    from numba.extending import intrinsic

    @intrinsic
    def place(_context, word):
        def generate(context, builder, _, values):
            return builder.cttz(values[0], context.get_constant(types.boolean, True))

        return types.uint64(types.uint64), generate

    @njit
    def zeros(word):
        return place(word)

    return zeros


@cache
@no_type_check
def _compiled() -> Any:
    from numba import njit

    count, zeros = ones(), _trailing_zeros()

    @njit
    def precision_gap(g00, g01, g10, g11, label):
        if g00 + g01 == 0 or g10 + g11 == 0:
            return 1.0
        if label == 1:
            return abs(g11 / (g10 + g11) - g01 / (g00 + g01))
        return abs(g10 / (g10 + g11) - g00 / (g00 + g01))

    @njit
    def unfair(start, first, second, terms):
        # Of start + first + second: without an array for each list.
        if terms.form == LARGEST:
            most = 0.0
            for e in range(len(start)):
                most = max(most, abs(start[e] + first[e] + second[e]))
            return most
        g00, g01 = start[0] + first[0] + second[0], start[1] + first[1] + second[1]
        g10, g11 = start[2] + first[2] + second[2], start[3] + first[3] + second[3]
        most = precision_gap(g00, g01, g10, g11, 1)
        if terms.form == ACCURACY:
            t = terms.totals
            most = max(most, precision_gap(t[0] - g00, t[1] - g01, t[2] - g10, t[3] - g11, 0))
        return most

    @njit
    def add_up(rows, table, found):
        # Eight at a time in variables of their own: the processor keeps them in its registers.
        for q in range(0, table.shape[1], BLOCK):
            r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = 0.0
            for w in range(len(rows)):
                word = rows[w]
                while word:
                    i = 64 * w + np.int64(zeros(word))
                    word &= word - np.uint64(1)
                    r0 += table[i, q]
                    r1 += table[i, q + 1]
                    r2 += table[i, q + 2]
                    r3 += table[i, q + 3]
                    r4 += table[i, q + 4]
                    r5 += table[i, q + 5]
                    r6 += table[i, q + 6]
                    r7 += table[i, q + 7]
            found[q], found[q + 1], found[q + 2], found[q + 3] = r0, r1, r2, r3
            found[q + 4], found[q + 5], found[q + 6], found[q + 7] = r4, r5, r6, r7

    @njit
    def left_by(key, members, left):
        # Returns whether that is the larger part of all patterns.
        left[:] = members[-1]
        for c in range(len(members) - 1):
            if (key >> c) & 1:
                for w in range(len(left)):
                    left[w] &= ~members[c, w]
        n = 0
        for w in range(len(left)):
            n += np.int64(count(left[w])) - np.int64(count(members[-1, w] & ~left[w]))
        return n > 0

    @njit
    def sum_up(left, larger, terms, rows, captured, total):
        # By column and over all; if most is left, what is taken away from the sums over all.
        columns = len(captured)
        for c in range(columns + 1):
            if c < columns and terms.opposite[c] >= 0:
                continue
            for w in range(len(left)):
                rows[w] = ~left[w] if larger else left[w]
                rows[w] &= terms.members[c, w]
            into = captured[c] if c < columns else total
            add_up(rows, terms.table, into)
            if larger:
                for q in range(len(into)):
                    into[q] = terms.everywhere[c, q] - into[q]
        for c in range(columns):
            other = terms.opposite[c]
            if other >= 0:
                for q in range(len(total)):
                    captured[c, q] = total[q] - captured[other, q]

    @njit
    def closed_by(column, key, left, members):
        for c in range(len(members) - 1):
            if (key >> c) & 1:
                continue
            closed = True
            for w in range(len(left)):
                if members[c, w] & left[w] & ~members[column, w]:
                    closed = False
                    break
            if closed:
                key |= 1 << c
        return key

    @njit
    def extended(prefixes, starts, terms, best, margin, last, found):
        value, parent, code, least = best
        columns, quantities = terms.holds.shape[1], terms.table.shape[1]
        entries, n_multipliers = prefixes.sums.shape[1], len(terms.offsets)
        full, tau, n, pruning = (1 << columns) - 1, terms.tau + SLACK, 0, 0
        constrained = terms.tau < np.inf
        captured, total = np.empty((columns, quantities)), np.empty(quantities)
        left, rows = np.empty((2, terms.members.shape[1]), dtype=np.uint64)
        rest, nothing = np.empty((columns, quantities)), np.zeros(entries)
        keys, change = np.empty(columns, dtype=np.int64), np.empty(columns)
        for group in range(len(starts) - 1):
            key = prefixes.keys[starts[group]]
            larger = left_by(key, terms.members, left)
            sum_up(left, larger, terms, rows, captured, total)
            keys[:] = -1
            for c in range(columns):
                most = 0.0
                for q in range(quantities):
                    rest[c, q] = total[q] - captured[c, q]
                for e in range(entries):
                    positive = captured[c, 2 + entries + e]
                    most = max(most, positive, positive - captured[c, 2 + e])
                if constrained:
                    change[c] = np.inf if most > 0 else 0.0
                else:
                    change[c] = terms.beta * (most if terms.form == LARGEST else 1.0)
            for s in range(starts[group], starts[group + 1]):
                for c in range(columns):
                    if (key >> c) & 1:
                        continue
                    for label in range(2):
                        cost = prefixes.costs[s] + terms.price + captured[c, label]
                        own = captured[c, 2 : 2 + entries] if label else nothing
                        for default in range(2):
                            ended = cost + rest[c, default]
                            if ended >= value and not constrained:
                                continue
                            after = rest[c, 2 : 2 + entries] if default else nothing
                            size = unfair(prefixes.sums[s], own, after, terms)
                            least = min(least, size)
                            ended += terms.beta * size
                            if size <= tau and ended < value - SLACK:
                                value, parent = ended, s
                                code = RULE_OF * c + 2 * label + default
                        if last or captured[c, 1 - label] + change[c] < terms.price - SLACK:
                            continue
                        # Most children are pruned, by the multiplier that has pruned the last.
                        bound, limit, m = -np.inf, value - margin - cost - terms.price, pruning
                        for _ in range(n_multipliers):
                            linear = rest[c, 2 + 2 * entries + m] - terms.offsets[m]
                            for e in range(entries):
                                linear += terms.multipliers[m, e] * (prefixes.sums[s, e] + own[e])
                            bound = max(bound, linear)
                            if bound >= limit:
                                pruning = m
                                break
                            m = m + 1 if m + 1 < n_multipliers else 0
                        if bound >= limit:
                            continue
                        bound += cost + terms.price
                        if keys[c] < 0:
                            keys[c] = closed_by(c, key, left, terms.members)
                        if keys[c] == full:
                            continue
                        found.keys[n], found.costs[n], found.bounds[n] = keys[c], cost, bound
                        found.parents[n], found.rules[n] = s, RULE_OF * c + 2 * label
                        for e in range(entries):
                            found.sums[n, e] = prefixes.sums[s, e] + own[e]
                            found.highest[n, e] = rest[c, 2 + entries + e]
                            found.lowest[n, e] = rest[c, 2 + e] - rest[c, 2 + entries + e]
                        n += 1
        return n, value, parent, code, least

    @njit
    def as_good(cost1, sum1, cost2, sum2, lowest, highest, terms):
        tau, allowed, hardest = terms.tau, True, -np.inf
        for e in range(len(sum1)):
            g1, g2 = sum1[e], sum2[e]
            low, high = max(lowest[e], -tau - g2), min(highest[e], tau - g2)
            if low > high:
                return True
            if g1 + high > tau + SLACK or g1 + low < -tau - SLACK:
                allowed = False
            end = high if g1 > g2 else low
            hardest = max(hardest, abs(g1 + end) - abs(g2 + end))
        return allowed and cost2 - cost1 >= terms.beta * hardest - SLACK

    @njit
    def undominated(prefixes, earlier, starts, first, after, terms, keep):
        for group in range(len(starts) - 1):
            for two in range(starts[group], starts[group + 1]):
                cost2, sum2 = prefixes.costs[two], prefixes.sums[two]
                low, high = prefixes.lowest[two], prefixes.highest[two]
                for one in range(first[group], min(after[group], first[group] + RIVALS)):
                    if as_good(
                        earlier.costs[one], earlier.sums[one], cost2, sum2, low, high, terms
                    ):
                        keep[two] = False
                        break
                if not keep[two]:
                    continue
                for one in range(starts[group], min(two, starts[group] + RIVALS)):
                    if keep[one] and as_good(
                        prefixes.costs[one], prefixes.sums[one], cost2, sum2, low, high, terms
                    ):
                        keep[two] = False
                        break

    return extended, undominated

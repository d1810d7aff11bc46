"""The inner loops of the search for fair rule lists, compiled; see `bench.rules.compiled`."""

from typing import no_type_check

import numpy as np
from numba import njit

from bench.rules.fair_kernels import ACCURACY, BLOCK, LARGEST, RIVALS, RULE_OF, SLACK
from bench.rules.words import ones, zeros


@njit(cache=True)
@no_type_check
def precision_gap(g00, g01, g10, g11, label):
    if g00 + g01 == 0 or g10 + g11 == 0:
        return 1.0
    if label == 1:
        return abs(g11 / (g10 + g11) - g01 / (g00 + g01))
    return abs(g10 / (g10 + g11) - g00 / (g00 + g01))


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
def left_by(key, members, left):
    # Returns whether that is the larger part of all patterns.
    left[:] = members[-1]
    for c in range(len(members) - 1):
        if (key >> c) & 1:
            for w in range(len(left)):
                left[w] &= ~members[c, w]
    n = 0
    for w in range(len(left)):
        n += np.int64(ones(left[w])) - np.int64(ones(members[-1, w] & ~left[w]))
    return n > 0


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
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


@njit(cache=True)
@no_type_check
def undominated(prefixes, earlier, starts, first, after, terms, keep):
    for group in range(len(starts) - 1):
        for two in range(starts[group], starts[group + 1]):
            cost2, sum2 = prefixes.costs[two], prefixes.sums[two]
            low, high = prefixes.lowest[two], prefixes.highest[two]
            for one in range(first[group], min(after[group], first[group] + RIVALS)):
                if as_good(earlier.costs[one], earlier.sums[one], cost2, sum2, low, high, terms):
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

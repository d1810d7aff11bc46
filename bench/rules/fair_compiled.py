"""The inner loops of the search for fair rule lists, compiled; see `bench.rules.compiled`."""

from typing import no_type_check

import numpy as np
from numba import njit

from bench.rules.fair_kernels import ACCURACY, BLOCK, LARGEST, RIVALS, ROUNDING, RULE_OF, SLACK
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
def of_counts(g00, g01, g10, g11, terms):
    most = precision_gap(g00, g01, g10, g11, 1)
    if terms.form == ACCURACY:
        t = terms.totals
        most = max(most, precision_gap(t[0] - g00, t[1] - g01, t[2] - g10, t[3] - g11, 0))
    return most


@njit(cache=True)
@no_type_check
def unfair(sums, added, default, n, terms, found):
    # Of sums + default * added, of n places.
    if terms.form != LARGEST:
        for j in range(n):
            found[j] = of_counts(
                sums[0, j] + default * added[0, j],
                sums[1, j] + default * added[1, j],
                sums[2, j] + default * added[2, j],
                sums[3, j] + default * added[3, j],
                terms,
            )
        return
    for j in range(n):
        found[j] = 0.0
    for e in range(len(sums)):
        for j in range(n):
            found[j] = max(found[j], abs(sums[e, j] + default * added[e, j]))


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
def sum_up(left, larger, terms, rows, found):
    # By column, but for those whose opposite is there, and last over all; if most is left, what is
    # taken away from the sums over all.
    for c in range(len(terms.members)):
        if terms.opposite[c]:
            continue
        for w in range(len(left)):
            rows[w] = ~left[w] if larger else left[w]
            rows[w] &= terms.members[c, w]
        into = found[terms.stored[c]]
        add_up(rows, terms.table, into)
        if larger:
            for q in range(len(into)):
                into[q] = terms.everywhere[c, q] - into[q]


@njit(cache=True)
@no_type_check
def lay_out(sums, key, terms, places, captured, rest):
    # Returns how many columns are open.
    k, total = 0, sums[len(sums) - 1]
    for c in range(terms.holds.shape[1]):
        if (terms.allowed >> c) & 1 and not (key >> c) & 1:
            one, other = (rest, captured) if terms.opposite[c] else (captured, rest)
            own = sums[terms.stored[c]]
            for q in range(len(total)):
                one[q, k] = own[q]
                other[q, k] = total[q] - own[q]
            places[k] = c
            k += 1
    return k


@njit(cache=True)
@no_type_check
def row_of(key, known):
    # Returns whether it is a new one. Keys differ in few bits: times the golden ratio, a word being
    # 1, they are spread over all places.
    last = len(known.rows) - 1
    place = (key * 0x9E3779B97F4A7C15 >> 20) & last
    while known.rows[place] >= 0:
        if known.keys[place] == key:
            return known.rows[place], False
        place = (place + 1) & last
    row = known.used[0]
    if row < len(known.at) - 1:
        known.rows[place], known.keys[place] = row, key
        known.used[0] += 1
    known.closed[row] = -1
    return row, True


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
def changes(captured, terms, change):
    # What other labels of captured rows can cost by unfairness.
    entries = len(terms.multipliers[0])
    for j in range(captured.shape[1]):
        most = 0.0
        for e in range(entries):
            positive = captured[2 + entries + e, j]
            most = max(most, positive, positive - captured[2 + e, j])
        if terms.tau < np.inf:
            change[j] = np.inf if most > 0 else 0.0
        else:
            change[j] = terms.beta * (most if terms.form == LARGEST else 1.0)


@njit(cache=True)
@no_type_check
def bounded(sums, rest, n, terms, linear, found):
    # max_mu (mu G - offset + the least that the rest adds), of n places.
    entries = len(sums)
    for j in range(n):
        found[j] = -np.inf
    for m in range(len(terms.offsets)):
        row, offset = 2 + 2 * entries + m, terms.offsets[m]
        for j in range(n):
            linear[j] = rest[row, j] - offset
        for e in range(entries):
            mu = terms.multipliers[m, e]
            for j in range(n):
                linear[j] += mu * sums[e, j]
        for j in range(n):
            found[j] = max(found[j], linear[j])


@njit(cache=True)
@no_type_check
def extended(prefixes, starts, terms, known, limits, margin, last, found, lists):
    # All that a prefix needs is laid out by quantity, then by open column: the inner loops go over
    # columns, of which one instruction serves several.
    columns, quantities = terms.holds.shape[1], terms.table.shape[1]
    entries = prefixes.sums.shape[1]
    full, tau, n, ended, least = (1 << columns) - 1, terms.tau + SLACK, 0, 0, np.inf
    left, rows = np.empty((2, terms.members.shape[1]), dtype=np.uint64)
    captured, rest = np.empty((2, quantities, columns))
    sums, bounds = np.empty((2, entries, columns)), np.empty((2, columns))
    size, linear, change, value = np.empty((4, columns))
    places, code = np.empty((2, columns), dtype=np.int64)
    for group in range(len(starts) - 1):
        key = prefixes.keys[starts[group]]
        row, new = row_of(key, known)
        keys, unpacked = known.closed[row], new
        if new:
            larger = left_by(key, terms.members, left)
            sum_up(left, larger, terms, rows, known.at[row])
        k = lay_out(known.at[row], key, terms, places, captured, rest)
        changes(captured[:, :k], terms, change)
        for s in range(starts[group], starts[group + 1]):
            cost = prefixes.costs[s] + terms.price
            value[:k] = np.inf
            for label in range(2):
                for e in range(entries):
                    for j in range(k):
                        sums[label, e, j] = prefixes.sums[s, e] + label * captured[2 + e, j]
                for default in range(2):
                    unfair(sums[label], rest[2:], default, k, terms, size)
                    for j in range(k):
                        linear[j] = cost + captured[label, j] + rest[default, j]
                        linear[j] += terms.beta * size[j]
                    for j in range(k):
                        least = min(least, size[j])
                        if linear[j] < value[j] and size[j] <= tau:
                            value[j], code[j] = linear[j], 2 * label + default
                if not last:
                    bounded(sums[label], rest, k, terms, linear, bounds[label])
            for j in range(k):
                if value[j] < limits[s] - SLACK:
                    lists.values[ended], lists.parents[ended] = value[j], s
                    lists.rules[ended] = RULE_OF * places[j] + code[j]
                    ended += 1
            if last:
                continue
            for j in range(k):
                limit = min(value[j], limits[s]) - margin - terms.price
                for label in range(2):
                    spent = cost + captured[label, j]
                    if bounds[label, j] + spent >= limit:
                        continue
                    if captured[1 - label, j] + change[j] < terms.price - SLACK:
                        continue
                    c = places[j]
                    if not unpacked and keys[c] < 0:
                        left_by(key, terms.members, left)
                        unpacked = True
                    if keys[c] < 0:
                        keys[c] = closed_by(c, key, left, terms.members)
                    if keys[c] == full:
                        continue
                    found.keys[n], found.costs[n] = keys[c], spent
                    found.bounds[n] = bounds[label, j] + spent + terms.price
                    found.parents[n], found.rules[n] = s, RULE_OF * c + 2 * label
                    found.sets[n] = prefixes.sets[s] | 1 << c if terms.apart else 0
                    for e in range(entries):
                        found.sums[n, e] = sums[label, e, j]
                        found.highest[n, e] = rest[2 + entries + e, j]
                        found.lowest[n, e] = rest[2 + e, j] - rest[2 + entries + e, j]
                    n += 1
    return n, ended, least


@njit(cache=True)
@no_type_check
def as_good(cost1, sums1, one, cost2, sums2, two, low, high, terms):
    # Arrays and places, not rows: a view of each would take longer than the comparison.
    tau, allowed, hardest = terms.tau, True, -np.inf
    for e in range(sums1.shape[1]):
        g1, g2 = sums1[one, e], sums2[two, e]
        lowest, highest = max(low[two, e], -tau - g2), min(high[two, e], tau - g2)
        if lowest > highest:
            return True
        if g1 + highest > tau + SLACK or g1 + lowest < -tau - SLACK:
            allowed = False
        end = highest if g1 > g2 else lowest
        hardest = max(hardest, abs(g1 + end) - abs(g2 + end))
    return allowed and cost2[two] - cost1[one] >= terms.beta * hardest - SLACK


@njit(cache=True)
@no_type_check
def undominated(prefixes, earlier, starts, first, after, terms, keep):
    cost, sums, low, high = prefixes.costs, prefixes.sums, prefixes.lowest, prefixes.highest
    old, olds = earlier.costs, earlier.sums
    sets, old_sets = prefixes.sets, earlier.sets
    for group in range(len(starts) - 1):
        for two in range(starts[group], starts[group + 1]):
            for one in range(first[group], min(after[group], first[group] + RIVALS)):
                if old_sets[one] & ~sets[two]:
                    continue
                if as_good(old, olds, one, cost, sums, two, low, high, terms):
                    keep[two] = False
                    break
            if not keep[two]:
                continue
            for one in range(starts[group], min(two, starts[group] + RIVALS)):
                if not keep[one] or sets[one] & ~sets[two]:
                    continue
                if as_good(cost, sums, one, cost, sums, two, low, high, terms):
                    keep[two] = False
                    break


@njit(cache=True)
@no_type_check
def minimal(starts, numbers, keep):
    longest = 0
    for group in range(len(starts) - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    room, n = np.empty((longest, numbers.shape[1] - 1)), numbers.shape[1]
    ys, zs = np.empty((2, longest))
    for group in range(len(starts) - 1):
        begin, end = starts[group], starts[group + 1]
        if end - begin == 1:
            keep[begin] = True
            continue
        # By the first, then by the sum of the others: what is as small in all comes before.
        by_others = np.argsort(numbers[begin:end, 1:].sum(axis=1), kind="mergesort")
        first, kept = np.round(numbers[begin:end, 0] / ROUNDING)[by_others], 0
        for place in by_others[np.argsort(first, kind="mergesort")]:
            i = begin + place
            if n == 3:
                y, z = numbers[i, 1], numbers[i, 2]
                if not above_stairs(ys, zs, kept, y, z):
                    keep[i], kept = True, with_step(ys, zs, kept, y, z)
            elif not above_any(room, kept, numbers[i]):
                keep[i], room[kept] = True, numbers[i, 1:]
                kept += 1


@njit(cache=True)
@no_type_check
def above_any(rivals, many, numbers):
    for one in range(many):
        for j in range(rivals.shape[1]):
            if rivals[one, j] > numbers[1 + j] + SLACK:
                break
        else:
            return True
    return False


@njit(cache=True)
@no_type_check
def above_stairs(ys, zs, steps, y, z):
    # The second numbers rise, the third ones fall.
    upto = np.searchsorted(ys[:steps], y + SLACK, side="right")
    return upto > 0 and zs[upto - 1] <= z + SLACK


@njit(cache=True)
@no_type_check
def with_step(ys, zs, steps, y, z):
    # In place of those that it is below; returns how many there are then.
    at = np.searchsorted(ys[:steps], y)
    after = at
    while after < steps and zs[after] >= z:
        after += 1
    kept = steps - after
    if after == at:
        for j in range(kept):
            ys[steps - j], zs[steps - j] = ys[steps - 1 - j], zs[steps - 1 - j]
    else:
        for j in range(kept):
            ys[at + 1 + j], zs[at + 1 + j] = ys[after + j], zs[after + j]
    ys[at], zs[at] = y, z
    return at + 1 + kept

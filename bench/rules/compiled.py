"""The inner loops of searches over rule lists, compiled by numba; machine code is kept on disk.

Functions of the module, not of a function: only such ones are found again by the next process.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from bench.rules.words import ones


@njit(cache=True)
@no_type_check
def counts(sets, captures, starts, weights, found):
    rules = captures.shape[1]
    bits = np.empty(rules, dtype=np.uint64)
    for place in range(sets.shape[0]):
        for kind in range(len(starts) - 1):
            bits[:] = 0
            for word in range(starts[kind], starts[kind + 1]):
                members = sets[place, word]
                if members == 0:
                    continue
                for rule in range(rules):
                    bits[rule] += ones(captures[word, rule] & members)
            for quantity in range(weights.shape[0]):
                weight = weights[quantity, kind]
                if weight != 0:
                    for rule in range(rules):
                        found[place, quantity, rule] += weight * bits[rule]


@njit(cache=True)
@no_type_check
def raise_to_tails(own, total, both, others, z1, z, area, rest, closing, widest, gain, largest):
    # A loop without a running maximum: only such a one is done for several rules r1 at a time.
    n_labels = (len(total) - 2) // 2
    g1, p1, g, p = 1 + z1, 1 + n_labels + z1, 1 + z, 1 + n_labels + z
    own_size, own_positive, everything = own[0], own[p], total[0]
    own_negative1, rest_positive1 = own[p1] - own[g1], total[p1] - own[p1]
    rest_gain, rest_positive = total[g] - own[g], total[p] - own[p]
    same, open_end = z == z1, 0.0 if closing else 1e300
    sizes, gains1, positives1, gains, positives = (
        others[0],
        others[g1],
        others[p1],
        others[g],
        others[p],
    )
    both_sizes, both_gains1, both_positives1, both_positives = (
        both[0],
        both[g1],
        both[p1],
        both[p],
    )
    for r1 in range(len(largest)):
        size, gain1, positive1 = sizes[r1], gains1[r1], positives1[r1]
        shared = min(min(own_size, size), both_sizes[r1])
        fewest = size - shared
        most = min(size - max(own_size + size - everything, 0.0), rest)
        lost = min(
            min(own_negative1, positive1 - gain1),
            min(both_positives1[r1] - both_gains1[r1], shared),
        )
        a = min(min(gain1 + lost, positive1), min(rest_positive1, most))
        won = min(min(own_positive, positives[r1]), min(both_positives[r1], shared))
        least = max(gains[r1] - won, gains[r1] - positives[r1])
        c = rest_gain - a if same else min(rest_gain - least, rest_positive)
        n1 = fewest if a + c > 0 else most
        tail = area * rest + a * (2 * rest - n1) + c * (rest - n1) + open_end
        wide = min(widest, rest - fewest)
        covered = most + wide if a < 0 else min(most + wide, rest)
        short = area * covered + a * (most + 2 * wide) + gain * wide
        largest[r1] = max(largest[r1], min(tail, short))


@njit(cache=True)
@no_type_check
def two_rule_tails(
    node, rule, right, left, closes, widest, gains, table, totals, overlap, n_labels, found
):
    largest = np.empty(table.shape[2])
    for child in range(len(node)):
        at, r = node[child], rule[child]
        own, total = table[at, :, r].copy(), totals[at]
        both = overlap[r % len(overlap)]
        largest[:] = -1e300
        for z1 in range(n_labels):
            for z in range(n_labels):
                positive = 1 + n_labels + z
                raise_to_tails(
                    own,
                    total,
                    both,
                    table[at],
                    z1,
                    z,
                    2 * right[child],
                    left[child],
                    closes[child],
                    widest[at],
                    min(gains[at, z], total[positive] - own[positive]),
                    largest,
                )
        found[child] = largest.max()

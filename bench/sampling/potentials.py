"""Prices of sites that prove an optimal flow optimal, in whole numbers."""

import numpy as np
from jaxtyping import Bool, Int

Arcs = Int[np.ndarray, " arcs"]


def prices(
    rows: Arcs,
    columns: Arcs,
    costs: Arcs,
    flow: Arcs,
    bins: Int[np.ndarray, " m"],
    full: Bool[np.ndarray, " m"],
    n_bins: int,
) -> Int[np.ndarray, " m"]:
    """Twice the price r of each site: with values v_j = min_i (cost_ij + r_i) all arcs that carry
    flow attain the minimum, and no site is cheaper than those of its bin that aren't full.

    Sites that aren't full all have their bin's price, so that only bins and full sites are
    unknown: r_a <= r_b + w for pairs of them, a problem of shortest paths. Of all solutions the
    mean of the greatest and the least is taken; it lies inside and generalises best to arcs that
    aren't there (twice of it is whole).

    Parameters
    ----------
    rows, columns, costs, flow : of each arc, sorted by column; every column has flow.
    bins, full : of each site: its bin; whether all its units leave it.

    Raises
    ------
    RuntimeError
        if the flow isn't optimal: a cycle of negative cost.
    """
    node = bins.copy()
    node[full] = n_bins + np.arange(int(full.sum()))
    nodes = n_bins + int(full.sum())
    carrying = np.flatnonzero(flow)
    chosen = carrying[np.flatnonzero(np.diff(columns[carrying], prepend=-1))]  # one of each column
    apart = costs - costs[chosen][columns]
    source, end = node[rows[chosen]][columns], node[rows]
    below = np.concatenate([source, end[carrying], bins[full]])
    above = np.concatenate([end, source[carrying], node[full]])
    weights = np.concatenate([apart, -apart[carrying], np.zeros(nodes - n_bins, np.int64)])
    above, below, weights = _shortest_parallel(above, below, weights, nodes)
    greatest = _shortest_paths(above, below, weights, nodes)
    least = -_shortest_paths(below, above, weights, nodes)
    doubled: np.ndarray = (greatest + least)[node]
    return doubled


def _shortest_parallel(
    source: Arcs, end: Arcs, weights: Arcs, nodes: int
) -> tuple[Int[np.ndarray, " few"], Int[np.ndarray, " few"], Int[np.ndarray, " few"]]:
    """Of all arcs between the same nodes the shortest."""
    pairs = source * nodes + end
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    kept = np.divmod(pairs[order[starts]], nodes)
    return *kept, np.minimum.reduceat(weights[order], starts)


def _shortest_paths(
    source: Arcs, end: Arcs, weights: Arcs, nodes: int
) -> Int[np.ndarray, " nodes"]:
    """Lengths of the shortest paths to each node that begin anywhere (Bellman and Ford)."""
    order = np.argsort(end, kind="stable")
    source, end, weights = source[order], end[order], weights[order]
    starts = np.flatnonzero(np.diff(end, prepend=-1))
    ends, lengths = end[starts], np.zeros(nodes, dtype=np.int64)
    for _ in range(nodes + 1):
        shorter = np.minimum.reduceat(lengths[source] + weights, starts)
        if (shorter >= lengths[ends]).all():
            return lengths
        lengths[ends] = np.minimum(lengths[ends], shorter)
    raise RuntimeError("a cycle of negative cost: the flow isn't optimal")

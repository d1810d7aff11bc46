"""The cheapest flow from bins through sites to sites, over some of the pairs (OR-Tools)."""

import importlib
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Int

from bench.isolation import Unsupported
from bench.sampling.sites import Sites


@dataclass(frozen=True)
class Arcs:
    """Pairs of sites over which units may go, sorted by column, then row.

    Attributes
    ----------
    rows, columns : from and to.
    """

    rows: Int[np.ndarray, " arcs"]
    columns: Int[np.ndarray, " arcs"]

    def __len__(self) -> int:
        return len(self.rows)


def cheapest_flow(
    sites: Sites, arcs: Arcs, costs: Int[np.ndarray, " arcs"]
) -> Int[np.ndarray, " arcs"] | None:
    """Units on each arc, of least total cost; None if these arcs can't carry what is needed."""
    solver = _package().SimpleMinCostFlow()
    n_bins, m = len(sites.supply), len(sites)
    row_nodes = np.arange(n_bins, n_bins + m, dtype=np.int32)
    solver.add_arcs_with_capacity_and_unit_cost(
        sites.bins.astype(np.int32), row_nodes, sites.capacity, np.zeros(m, dtype=np.int64)
    )
    most = np.minimum(sites.capacity[arcs.rows], sites.demand[arcs.columns])
    added = solver.add_arcs_with_capacity_and_unit_cost(
        (arcs.rows + n_bins).astype(np.int32),
        (arcs.columns + n_bins + m).astype(np.int32),
        most,
        costs,
    )
    nodes = np.concatenate([np.arange(n_bins, dtype=np.int32), row_nodes + m])
    solver.set_nodes_supplies(nodes, np.concatenate([sites.supply, -sites.demand]))
    status = solver.solve()
    if status == solver.OPTIMAL:
        return np.asarray(solver.flows(added), dtype=np.int64)
    if status == solver.INFEASIBLE:
        return None
    raise RuntimeError(f"OR-Tools ends with {status}: wanted an optimal flow")


def _package() -> ModuleType:
    try:
        return importlib.import_module("ortools.graph.python.min_cost_flow")
    except ImportError as error:
        raise Unsupported("needs ortools: pip install 'earnest[fairwashing]'") from error

"""Rows at the same place, taken together: what is moved, from where, to where."""

from dataclasses import dataclass
from math import gcd

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Sites:
    """A transport problem in whole units: bins supply sites, sites supply all sites.

    Attributes
    ----------
    points : where the sites are.
    bins : each site's bin; sites of different bins may be at the same place.
    capacity : the most units that may leave a site.
    demand : the units that must arrive at a site.
    supply : the units that leave the sites of each bin.
    """

    points: Float[np.ndarray, "m d"]
    bins: Int[np.ndarray, " m"]
    capacity: Int[np.ndarray, " m"]
    demand: Int[np.ndarray, " m"]
    supply: Int[np.ndarray, " bins"]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def total(self) -> int:
        """Units that are moved: mass 1."""
        return int(self.demand.sum())

    def members(self) -> list[Int[np.ndarray, " of_bin"]]:
        """The sites of each bin."""
        return [np.flatnonzero(self.bins == g) for g in range(len(self.supply))]

    def distances(
        self, rows: Int[np.ndarray, " arcs"], columns: Int[np.ndarray, " arcs"]
    ) -> Float[np.ndarray, " arcs"]:
        """Squared Euclid of each pair."""
        apart = np.zeros(len(rows))
        for coordinate in self.points.T:  # one at a time: no array of pairs x d
            apart += (coordinate[rows] - coordinate[columns]) ** 2
        return apart

    def bound(self, prices: Float[np.ndarray, " m"], values: Float[np.ndarray, " m"]) -> float:
        """What all transports cost at least, for mass 1.

        Holds for any prices if values_j <= min_i (distance_ij + prices_i): these and the lowest
        price of each bin, with the rest as price of the site's capacity, solve the dual program.
        """
        lowest = np.full(len(self.supply), np.inf)
        np.minimum.at(lowest, self.bins, prices)
        lowest[np.isinf(lowest)] = 0.0  # a bin without sites supplies nothing
        above = prices - lowest[self.bins]
        earned = self.demand @ values - self.capacity @ above - self.supply @ lowest
        return float(earned / self.total)


@dataclass(frozen=True)
class Merged:
    """Sites of rows, and which row is where.

    Attributes
    ----------
    sites : places of the rows of a bin.
    site : of each row.
    capacity : of a row; demand likewise.
    """

    sites: Sites
    site: Int[np.ndarray, " n"]
    capacity: int

    def spread(self, units: Int[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
        """The units that leave a site, shared as evenly by its rows as whole numbers allow."""
        order = np.argsort(self.site, kind="stable")
        counts = np.bincount(self.site, minlength=len(self.sites))
        starts = np.cumsum(counts) - counts
        turn = np.empty(len(order), dtype=np.int64)
        turn[order] = np.arange(len(order)) - np.repeat(starts, counts)
        even, rest = np.divmod(units, counts)
        shared: np.ndarray = even[self.site] + (turn < rest[self.site])
        return shared


def merged(
    points: Float[np.ndarray, "n d"], bins: Int[np.ndarray, " n"], wanted: Int[np.ndarray, " bins"]
) -> Merged:
    """N rows of which K are wanted: with c = gcd(N, K) a row may send N/c units, needs K/c."""
    n, k = len(points), int(wanted.sum())
    capacity, demand = n // gcd(n, k), k // gcd(n, k)
    placed = np.column_stack([bins.astype(np.float64), points])
    order = np.lexsort(placed.T[::-1])
    new = np.ones(n, dtype=bool)
    new[1:] = (placed[order[1:]] != placed[order[:-1]]).any(axis=1)
    site = np.empty(n, dtype=np.int64)
    site[order] = np.cumsum(new) - 1
    first, counts = order[new], np.bincount(site)
    sites = Sites(
        np.ascontiguousarray(points[first], dtype=np.float64),
        bins[first].astype(np.int64),
        capacity * counts,
        demand * counts,
        capacity * wanted.astype(np.int64),
    )
    return Merged(sites, site, capacity)


def added(
    units: Int[np.ndarray, " n"], place: Int[np.ndarray, " n"], places: int
) -> Int[np.ndarray, " places"]:
    """The units of each place, in whole numbers."""
    sums = np.zeros(places, dtype=np.int64)
    np.add.at(sums, place, units)
    return sums

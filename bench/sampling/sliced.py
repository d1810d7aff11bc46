"""Fair weights near to uniform ones in the sliced Wasserstein distance, by stochastic descent.

    min over nu of mean over theta of W(theta nu, theta uniform)
    with   sum of nu over bin g = K_g / K,   0 <= nu_i <= 1 / K

theta nu are the weights of the points' positions along the unit vector theta, W the least cost of
moving mass there, squared distance for each unit. Yamamoto, Hara, *Fast Stealthily Biased Sampling
Using Sliced Wasserstein Distance*, ACML 2024, take this distance and descend by stochastic
gradients in nearly linear time a step; the steps, their length and the bound here are Earnest's.
"""

import time
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.plan import Plan

FINEST = 10_000
"""Parts at least into which the probability of a row is divided when it becomes whole units."""


@dataclass(frozen=True)
class Sliced:
    """Weights, and how far from uniform they are along the directions of the last steps.

    Attributes
    ----------
    plan : the weights in whole units. Its cost, W in all dimensions, isn't known: NaN. Its bound
        on W is, with prices that certify it.
    distance : mean of W along them.
    bound : no weights with the same sums have a smaller mean; 0 where nothing more is proved.
    """

    plan: Plan
    distance: float
    bound: float


def sliced_weights(
    points: Float[np.ndarray, "n d"],
    bins: Int[np.ndarray, " n"],
    wanted: Int[np.ndarray, " bins"],
    *,
    rng: np.random.Generator,
    steps: int = 300,
    directions: int = 8,
    reach: float = 1.0,
) -> Sliced:
    """Weights of rows, in about `steps` x `directions` sorts of the rows.

    The distance is convex in nu, its gradient along theta the potential of `potentials`. A step is
    taken by the mean over a few random directions, and back to the constraints by the nearest
    point of each bin; the second half of the iterates, and of their tangents for the bound, is
    averaged. Step t has the length

        reach sqrt(N) / sqrt(sum of squared gradients up to t)

    of a gradient without its mean over each bin, for weights N nu: the scale of the points
    doesn't matter.

    Parameters
    ----------
    points : [x, s], scaled as wanted: by `located`.
    bins : each row's bin.
    wanted : rows wanted of each bin.
    steps : how many. directions : of a step, orthogonal, at most as many as dimensions.
    reach : root mean square of the change of N nu that is expected; .3 to 3 do as well.

    Raises
    ------
    ValueError
        where a bin has fewer rows than are wanted of it.

    References
    ----------
    Step lengths: Duchi, Hazan, Singer, *Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization*, JMLR 2011; Ward, Wu, Bottou, *AdaGrad Stepsizes*, ICML 2019.
    """
    _check(points, bins, wanted, steps, directions)
    start = time.process_time()
    fair = Fair(bins, wanted)
    weights, tangent, thetas = _descend(points, fair, rng, steps, directions, reach)
    units, capacity = fair.in_units(weights)
    distance = max(tangent_at(units, points, thetas).value(units), 0.0)  # up to rounding
    bound, prices = fair.least(tangent)
    # along orthogonal directions a mass moves, in sum of squares, no more than in all dimensions
    m = min(directions, points.shape[1])
    proved = bound > 0  # prices of 0 prove the bound 0
    plan = Plan(
        units,
        capacity,
        bins.astype(np.int64),
        wanted.astype(np.int64),
        cost=float("nan"),
        bound=m * bound if proved else 0.0,
        prices=m * prices * proved,
        proven=False,
        resolution=float("nan"),
        passes=steps,
        seconds=time.process_time() - start,
    )
    return Sliced(plan, distance, max(bound, 0.0))


@dataclass(frozen=True)
class Tangent:
    """A linear function of nu that is nowhere above the mean distance along some directions.

    Attributes
    ----------
    gradient : by each nu_i. rest : its value at 0.
    """

    gradient: Float[np.ndarray, " n"]
    rest: float

    def value(self, masses: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]) -> float:
        """At nu in proportion to `masses`."""
        return self.rest + float(self.gradient @ masses / masses.sum())


@dataclass(frozen=True)
class Fair:
    """The weights w = N nu that make a sample fair: convex sets, one a bin."""

    bins: Int[np.ndarray, " n"]
    wanted: Int[np.ndarray, " bins"]

    @property
    def cap(self) -> float:
        """The largest w."""
        return float(len(self.bins) / self.wanted.sum())

    @property
    def members(self) -> list[Int[np.ndarray, " of_bin"]]:
        """The rows of each bin."""
        return [np.flatnonzero(self.bins == g) for g in range(len(self.wanted))]

    def alike(self) -> Float[np.ndarray, " n"]:
        """The same weight for all rows of a bin: case-control."""
        sizes = np.bincount(self.bins, minlength=len(self.wanted))
        evened: np.ndarray = self.cap * (self.wanted / np.maximum(sizes, 1))[self.bins]
        return evened

    def along(self, gradient: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The part of a gradient that keeps the sums of the bins."""
        sizes = np.bincount(self.bins, minlength=len(self.wanted))
        sums = np.bincount(self.bins, gradient, minlength=len(self.wanted))
        kept: np.ndarray = gradient - (sums / np.maximum(sizes, 1))[self.bins]
        return kept

    def nearest(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The fair weights nearest to `values`, Euclid."""
        found = np.empty(len(values))
        for rows, k in zip(self.members, self.wanted, strict=True):
            found[rows] = capped(values[rows], self.cap * k, self.cap)
        return found

    def in_units(self, weights: Float[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], int]:
        """The weights in whole units with exact sums, each up or down to the next; the capacity.

        A bin's largest remainders go up.
        """
        n, total = len(self.bins), int(self.wanted.sum())
        coarse = n // gcd(n, total)
        capacity = coarse * ceil(FINEST / coarse)
        exact = weights * (capacity / self.cap)
        units = np.floor(exact).astype(np.int64)
        for rows, k in zip(self.members, self.wanted.tolist(), strict=True):
            short = capacity * k - int(units[rows].sum())
            units[rows[np.argsort(units[rows] - exact[rows], kind="stable")[:short]]] += 1
        return units, capacity

    def least(self, tangent: Tangent) -> tuple[float, Float[np.ndarray, " n"]]:
        """Of a tangent over all fair weights, and prices that prove it, see `Plan.prices`.

        The rows of least gradient have all the weight that they may.
        """
        size, least = int(self.wanted.sum()), tangent.rest
        prices = -tangent.gradient
        for rows, k in zip(self.members, self.wanted.tolist(), strict=True):
            if not len(rows):
                continue
            rising = np.sort(tangent.gradient[rows])
            least += float(rising[:k].sum()) / size
            # a row that isn't at its cap has no price of its own
            prices[rows] = np.maximum(prices[rows], -rising[max(k, 1) - 1])
        return least, prices


def potentials(
    positions: Float[np.ndarray, " n"], masses: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Kantorovich's potentials of masses on a line and as much mass evenly on the same positions.

    phi_i + psi_j <= (t_i - t_j)^2 with equality where the monotone plan moves mass from i to j,
    so that W = sum of phi_i nu_i + mean of psi; phi is a subgradient of W by nu. Both are sums of
    differences along the plan's staircase.

    Parameters
    ----------
    positions : t, ascending. masses : of any total; 0 is allowed.

    Returns
    -------
    phi, psi : phi_0 = psi_0 = 0.
    """
    ends, last = np.cumsum(masses), len(positions) - 1
    even = (np.arange(1, last + 2) * ends[-1]) / (last + 1)
    # the column in which a row ends, the row in which a column ends
    column = np.minimum(np.searchsorted(even, ends[:-1]), last)
    row = np.cumsum(np.bincount(column, minlength=last + 1))[:-1]
    steps, sums = np.diff(positions), positions[1:] + positions[:-1]
    phi, psi = np.zeros(last + 1), np.zeros(last + 1)
    np.cumsum(steps * (sums - 2 * positions[column]), out=phi[1:])
    np.cumsum(steps * (sums - 2 * positions[row]), out=psi[1:])
    return phi, psi


def capped(values: Float[np.ndarray, " n"], total: float, cap: float) -> Float[np.ndarray, " n"]:
    """The nearest numbers in [0, cap] that add up to `total`: all less the same, then clipped.

    Newton's method, halving its bracket where it leaves it.
    """
    n = len(values)
    if total <= 0 or total >= n * cap:
        return np.full(n, total / max(n, 1))
    low, high = float(values.min()) - cap, float(values.max())
    less = (float(values.sum()) - total) / n
    for _ in range(100):
        found = np.clip(values - less, 0, cap)
        above = float(found.sum()) - total
        if abs(above) <= 1e-12 * total:
            break
        low, high = (less, high) if above > 0 else (low, less)
        free = int(((found > 0) & (found < cap)).sum())
        less = less + above / free if free else high
        less = less if low < less < high else (low + high) / 2
    return found


def tangent_at(
    masses: Float[np.ndarray, " n"] | Int[np.ndarray, " n"],
    points: Float[np.ndarray, "n d"],
    thetas: Float[np.ndarray, "m d"],
) -> Tangent:
    """Of the mean distance along the directions, which it meets at `masses`."""
    gradient, rest = np.zeros(len(points)), 0.0
    for theta in thetas:
        positions = points @ theta
        order = np.argsort(positions)
        phi, psi = potentials(positions[order], masses[order])
        gradient[order] += phi / len(thetas)
        rest += float(psi.mean()) / len(thetas)
    return Tangent(gradient, rest)


def _descend(
    points: Float[np.ndarray, "n d"],
    fair: Fair,
    rng: np.random.Generator,
    steps: int,
    directions: int,
    reach: float,
) -> tuple[Float[np.ndarray, " n"], Tangent, Float[np.ndarray, "m d"]]:
    """Of the second half of the steps: the mean of the weights; that of the tangents, which is
    nowhere above the mean distance along all their directions; these directions."""
    weights, squares, late = fair.alike(), 0.0, steps - steps // 2
    mean, gradient, rest, used = np.zeros(len(points)), np.zeros(len(points)), 0.0, []
    for step in range(steps):
        thetas = orthonormal(points.shape[1], directions, rng)
        tangent = tangent_at(weights, points, thetas)
        if step >= steps - late:
            mean += weights / late
            gradient += tangent.gradient / late
            rest += tangent.rest / late
            used.append(thetas)
        slope = fair.along(tangent.gradient)
        squares += float(slope @ slope)
        length = reach * np.sqrt(len(points) / squares) if squares else 0.0
        weights = fair.nearest(weights - length * slope)
    return mean, Tangent(gradient, rest), np.concatenate(used)


def orthonormal(d: int, most: int, rng: np.random.Generator) -> Float[np.ndarray, "m d"]:
    """So many unit vectors, at most d, at right angles, each of them uniform."""
    found: np.ndarray = np.linalg.qr(rng.normal(size=(d, min(most, d))))[0].T
    return found


def _check(
    points: Float[np.ndarray, "n d"],
    bins: Int[np.ndarray, " n"],
    wanted: Int[np.ndarray, " bins"],
    steps: int,
    directions: int,
) -> None:
    if not np.isfinite(points).all():
        raise ValueError("points hold a value that isn't finite: wanted none")
    if steps < 1 or directions < 1:
        raise ValueError(f"steps={steps}, directions={directions}: wanted 1 or more of each")
    if (wanted < 0).any() or not wanted.any():
        raise ValueError(f"wanted={wanted.tolist()}: wanted 0 rows or more of a bin, 1 at least")
    sizes = np.bincount(bins, minlength=len(wanted))
    if len(sizes) > len(wanted):
        raise ValueError(f"bins 0 to {bins.max()}: wanted 0 to {len(wanted) - 1}")
    for g in np.flatnonzero(wanted > sizes):
        raise ValueError(f"{wanted[g]} rows are wanted of bin {g}, which has {sizes[g]}")

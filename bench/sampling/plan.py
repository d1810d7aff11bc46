"""With what probability each row is drawn, and how near to the best that is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Plan:
    """Weights nu of rows, in whole numbers, with what is known about their cost.

    Row i is to be in the sample with probability units_i / capacity; the units of a bin add up
    to capacity times the rows that are wanted of it.

    Attributes
    ----------
    units : of each row, 0 to `capacity`.
    capacity : a multiple of N / gcd(N, K).
    bins : each row's bin.
    wanted : rows wanted of each bin; K is their sum.
    cost : W, the least cost at which `weights` are moved to the uniform weights; up to the gap
        the least of all weights with these sums.
    bound : no weights with these sums cost less; in double precision.
    prices : r, the certificate of the bound. With p_g the lowest price in bin g it is

            mean_j min_i (|z_i - z_j|^2 + r_i) - sum_i (r_i - p_g(i)) / K - sum_g p_g K_g / K

        which no weights undercut, whatever r is.
    proven : whether no pair of rows improves on the weights: cost - optimum <= `resolution`.
    resolution : what the rounding of distances to whole numbers may do to the cost.
    passes : how often a program over some of the pairs was solved, on the finest level.
    seconds : CPU seconds.
    """

    units: Int[np.ndarray, " n"]
    capacity: int
    bins: Int[np.ndarray, " n"]
    wanted: Int[np.ndarray, " bins"]
    cost: float
    bound: float
    prices: Float[np.ndarray, " n"]
    proven: bool
    resolution: float
    passes: int
    seconds: float

    @property
    def inclusion(self) -> Float[np.ndarray, " n"]:
        """Probability of each row to be in the sample: K nu."""
        return self.units / self.capacity

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        """nu: sums to 1, each in [0, 1/K], the sum over a bin its share of the sample."""
        return self.units / (self.capacity * int(self.wanted.sum()))

    @property
    def gap(self) -> float:
        """By what part of the cost a better solution may be cheaper; 0 where the cost is 0, NaN
        where it isn't known."""
        if np.isnan(self.cost):
            return float("nan")
        return max(self.cost - self.bound, 0.0) / self.cost if self.cost > 0 else 0.0

"""Data influence: how near an order of training rows comes to the strongest supporters known.

G(k) is the model's probability of a class at a point once it was trained again without the first
k rows of an order, A the area under G. It is the exclusive side of the ideal influence with
training rows in the place of features: `bench.scores.ideal_influence.exclusion`.
"""

import numpy as np
from jaxtyping import Float

from bench.scores.ideal_influence import exclusion


def area(
    curves: Float[np.ndarray, "*n levels"], counts: tuple[int, ...]
) -> Float[np.ndarray, "*n"]:
    """A = (1 / K) times the integral of G over 0 <= k <= K, by trapezoids.

    Parameters
    ----------
    curves : G after each of `counts` removals, which rise from 0 to K.
    """
    areas: np.ndarray = np.trapezoid(curves, np.array(counts, dtype=float), axis=-1) / counts[-1]
    return areas


def data_influence(
    areas: Float[np.ndarray, " n"],
    chance: Float[np.ndarray, " n"],
    least: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """(A_rand - A) / (A_rand - A_best): 1 = the best order known, 0 = chance.

    NaN where A_best is A_rand, but for rounding: there no order is known to beat another.
    Above 1 where the order beats the best known.

    Parameters
    ----------
    areas : A of an order for each point. chance : the mean over random orders.
    least : the smallest area known.
    """
    return exclusion(areas, chance, least)

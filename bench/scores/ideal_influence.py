"""Ideal influence: how near an attribution's order comes to the best of all orders.

F(S) is the model's output with the features S deleted, A(pi) the area under F as features are
deleted in the order pi, J(pi) = A(reverse of pi) - A(pi): an order that deletes the influential
features first leaves little, its reverse much. Earnest's criterion, after the exclusive and
inclusive feature selection of Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature
Selection*, 2018.
"""

import numpy as np
from jaxtyping import Float, Int

from bench.setfunction.orders import trapezoid
from bench.setfunction.table import least_by_size

TOLERANCE = 1e-6
"""A span of areas up to this share of the largest |F| is rounding: nothing is divided by it."""


def shuffled_orders(
    values: Float[np.ndarray, "n p"], keys: Float[np.ndarray, "n k p"]
) -> Int[np.ndarray, "n k p"]:
    """Orders from the largest value to the smallest, ties broken k times by random `keys`."""
    spread = np.broadcast_to(-values[:, None], keys.shape)
    orders: np.ndarray = np.lexsort((keys, spread), axis=-1)
    return orders


def tie_mass(values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
    """The share of pairs of features with equal values, in [0, 1]; 0 for a single feature."""
    p = values.shape[1]
    if p == 1:
        return np.zeros(len(values))
    equal = (values[:, :, None] == values[:, None]).sum(axis=(1, 2)) - p
    share: np.ndarray = equal / (p * (p - 1))
    return share


def area(curves: Float[np.ndarray, "*n levels"]) -> Float[np.ndarray, "*n"]:
    """A = sum_k omega_k F(S_k), the area under a curve over the deleted share, by trapezoids."""
    areas: np.ndarray = curves @ trapezoid(curves.shape[-1] - 1)
    return areas


def ideal_influence(
    influence: Float[np.ndarray, "*n"],
    best: Float[np.ndarray, "*n"],
    scale: Float[np.ndarray, "*n"] | float = 1.0,
) -> Float[np.ndarray, "*n"]:
    """II = J / J*: 1 for an ideal order, 0 on average for random ones, -1 for the worst.

    NaN where J* is at most `TOLERANCE` of `scale`, the largest |F|: there no order is better
    than another.
    """
    return _ratio(influence, best, scale)


def exclusion(
    area: Float[np.ndarray, "*n"],
    chance: Float[np.ndarray, "*n"],
    least: Float[np.ndarray, "*n"],
    scale: Float[np.ndarray, "*n"] | float = 1.0,
) -> Float[np.ndarray, "*n"]:
    """EX = (A_rand - A) / (A_rand - A_min): 1 = nothing falls faster, 0 = as by chance."""
    return _ratio(chance - area, chance - least, scale)


def inclusion(
    reversed_area: Float[np.ndarray, "*n"],
    chance: Float[np.ndarray, "*n"],
    most: Float[np.ndarray, "*n"],
    scale: Float[np.ndarray, "*n"] | float = 1.0,
) -> Float[np.ndarray, "*n"]:
    """IN = (A(reverse) - A_rand) / (A_max - A_rand): 1 = nothing keeps more, 0 = as by chance."""
    return _ratio(reversed_area - chance, most - chance, scale)


def nestedness_gap(
    table: Float[np.ndarray, "n sets"], least: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """A_min - sum_k omega_k min over |S| = k of F(S): what any order loses to the best sets."""
    gap: np.ndarray = least - area(least_by_size(table))
    return gap


def _ratio(
    part: Float[np.ndarray, "*n"],
    whole: Float[np.ndarray, "*n"],
    scale: Float[np.ndarray, "*n"] | float,
) -> Float[np.ndarray, "*n"]:
    defined = whole > TOLERANCE * np.asarray(scale)
    ratio: np.ndarray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=defined)
    return ratio

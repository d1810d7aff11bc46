"""What no order of deletion beats: exact from a table, else the best orders known."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.setfunction.lattice import least_area
from bench.setfunction.orders import Direction, along, greedy, polish, prefixes, trapezoid
from bench.setfunction.regression import shapley_design, shapley_regression
from bench.setfunction.table import SetFunction, mean_by_size

SAMPLES = 1000
"""Masks of the KernelSHAP from which a best known order starts."""

RANDOM_ORDERS = 64
"""Orders by which chance is estimated where there is no table."""


@dataclass(frozen=True)
class Ideal:
    """The yardstick of each instance, A(pi) being the area under F along pi.

    Attributes
    ----------
    exact : whether no order can beat it; else it is the best known.
    least, most : the least and the largest A over orders.
    joint : J*, the largest A(reverse of pi) - A(pi).
    orders : for each instance those that reach `least`, `most` and `joint`; the most
        influential feature first, so that the reverse of the second has the area `most`.
    chance : the mean of F after 0, 1, .., p deletions in random order.
    chance_se : standard error of the area under `chance`, 0 where it is exact.
    """

    exact: bool
    least: Float[np.ndarray, " n"]
    most: Float[np.ndarray, " n"]
    joint: Float[np.ndarray, " n"]
    orders: Int[np.ndarray, "n 3 p"]
    chance: Float[np.ndarray, "n levels"]
    chance_se: Float[np.ndarray, " n"]

    @property
    def chance_area(self) -> Float[np.ndarray, " n"]:
        """A_rand, the mean of A over all orders."""
        weights = trapezoid(self.chance.shape[1] - 1)
        area: np.ndarray = self.chance @ weights
        return area

    def raised(
        self, areas: Float[np.ndarray, "n k"], reversed_areas: Float[np.ndarray, "n k"]
    ) -> "Ideal":
        """The best known, these orders among them: they and their reverses attain +-J."""
        both = np.concatenate([areas, reversed_areas], axis=1)
        return replace(
            self,
            least=np.minimum(self.least, both.min(axis=1)),
            most=np.maximum(self.most, both.max(axis=1)),
            joint=np.maximum(self.joint, np.abs(reversed_areas - areas).max(axis=1)),
        )


def exact_ideal(table: Float[np.ndarray, "n sets"]) -> Ideal:
    """The ideal by the programme over all 2^p sets."""
    least, order_least = least_area(table)
    most, order_most = least_area(-table)
    joint, order_joint = least_area(table - table[:, ::-1])
    # The order of the largest area deletes the least influential feature first.
    orders = np.stack([order_least, order_most[:, ::-1], order_joint], axis=1)
    chance = mean_by_size(table)
    return Ideal(True, least, -most, -joint, orders, chance, np.zeros(len(table)))


def best_known(
    value: SetFunction, null: Bool[np.ndarray, "n p"], *, rng: np.random.Generator
) -> Ideal:
    """The best of some good orders.

    They are the backward joint greedy order and KernelSHAP's, polished, for J; the greedy ones
    of a single side besides for the areas.
    """
    n, p = null.shape
    by_shap = shapley_regression(shapley_design(p, SAMPLES, rng=rng), value, null)
    starts = (greedy(value, n, p, "backward").orders, np.argsort(-by_shap, axis=1, kind="stable"))
    sides: tuple[Direction, ...] = ("delete_min", "insert_min", "delete_max", "insert_max")
    found = [polish(value, start).orders for start in starts]
    found += [greedy(value, n, p, side).orders for side in sides]
    orders = np.stack(found, axis=1)
    weights = trapezoid(p)
    areas = along(value, orders) @ weights
    reversed_areas = along(value, orders[..., ::-1]) @ weights
    chance, chance_se = _estimated_chance(value, n, p, rng)
    best = [(-areas), reversed_areas, reversed_areas - areas]
    chosen = np.stack([_best(orders, score) for score in best], axis=1)
    least, most, joint = (score.max(axis=1) for score in best)
    return Ideal(False, -least, most, joint, chosen, chance, chance_se).raised(
        areas, reversed_areas
    )


def _best(
    orders: Int[np.ndarray, "n k p"], score: Float[np.ndarray, "n k"]
) -> Int[np.ndarray, "n p"]:
    best: np.ndarray = orders[np.arange(len(orders)), score.argmax(axis=1)]
    return best


def _estimated_chance(
    value: SetFunction, n: int, p: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n levels"], Float[np.ndarray, " n"]]:
    """The mean path over random orders shared by all instances, and its area's standard error."""
    drawn = rng.permuted(np.tile(np.arange(p), (RANDOM_ORDERS, 1)), axis=1)
    paths = value(prefixes(drawn).reshape(-1, p)).reshape(n, RANDOM_ORDERS, p + 1)
    areas = paths @ trapezoid(p)
    return paths.mean(axis=1), areas.std(axis=1, ddof=1) / np.sqrt(RANDOM_ORDERS)

"""What no order of deletion beats: exact from a table, else the best orders known."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.setfunction.certificate import Certificate
from bench.setfunction.lattice import KINDNESS, least_area
from bench.setfunction.orders import Direction, along, greedy, polish, prefixes, trapezoid
from bench.setfunction.regression import shapley_regression
from bench.setfunction.table import SetFunction, mean_by_size
from bench.setfunction.window import Aim, window

SAMPLES = 1000
"""Masks of the KernelSHAP from which a best known order starts."""

WIDTH = 8
"""Neighbours that a best known order puts in their best order at once: with 10 it takes four
times as long, and ends at the same J on all but a few of a hundred points."""

MANY = 128
"""Features up to which there are greedy orders and windows."""

SWEEPS = 8
"""Of the polish beyond."""

STARTS = 3
"""Orders, the best after the polish, that are made exact inside windows."""

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
        influential feature first, so that the reverse of the second has the area `most`. Of
        the orders that are best for one side, to within `KINDNESS`, the best for the other.
    chance : the mean of F after 0, 1, .., p deletions in random order.
    chance_se : standard error of the area under `chance`, 0 where it is exact.
    certificate : bounds that no order exceeds, or why there are none; of the best known only.
    """

    exact: bool
    least: Float[np.ndarray, " n"]
    most: Float[np.ndarray, " n"]
    joint: Float[np.ndarray, " n"]
    orders: Int[np.ndarray, "n 3 p"]
    chance: Float[np.ndarray, "n levels"]
    chance_se: Float[np.ndarray, " n"]
    certificate: Certificate | str = "none was asked for"

    @property
    def upper(self) -> Float[np.ndarray, " n"] | None:
        """What J* is at most; None where that isn't known."""
        if self.exact:
            return self.joint
        if isinstance(self.certificate, str):
            return None
        upper: np.ndarray = np.maximum(self.certificate.joint, self.joint)
        return upper

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
    least, most = least_area(table)[0], least_area(table, "most")[0]
    order_least = least_area(table, "least_kindly")[1]
    order_most = least_area(table, "most_kindly")[1]
    joint, order_joint = least_area(table, "joint")
    # The order of the largest area deletes the least influential feature first.
    orders = np.stack([order_least, order_most[:, ::-1], order_joint], axis=1)
    chance = mean_by_size(table)
    return Ideal(True, least, -most, -joint, orders, chance, np.zeros(len(table)))


def best_known(
    value: SetFunction,
    null: Bool[np.ndarray, "n p"],
    *,
    rng: np.random.Generator,
    width: int = WIDTH,
) -> Ideal:
    """The best of some good orders.

    All greedy orders and KernelSHAP's are polished; for J the best of these are made exact inside
    windows, and so are, for A_min and A_max, the orders that are best for them. Of more than
    `MANY` features, where a greedy order takes as many values as they have pairs, there are the
    orders by KernelSHAP, by occlusion and by insertion, polished for a while.

    Parameters
    ----------
    null : the features that F doesn't know. width : of the windows.
    """
    n, p = null.shape
    few = p <= MANY
    by_value = [shapley_regression(value, null, max(SAMPLES, 4 * p), rng=rng)]
    if not few:
        alone = np.eye(p, dtype=bool)
        by_value += [-value(alone), value(~alone)]
    starts = [np.argsort(-values, axis=1, kind="stable") for values in by_value]
    if few:
        starts += [greedy(value, null, direction).orders for direction in get_args(Direction)]
    polished = [polish(value, start, None if few else SWEEPS, null=null).orders for start in starts]
    joint = _areas(value, np.stack(polished, axis=1))[2]
    best_first = np.argsort(-joint, axis=1, kind="stable")[:, :STARTS]
    chosen = np.take_along_axis(np.stack(polished, axis=1), best_first[..., None], axis=1)
    found = [window(value, start, width).orders for start in chosen.swapaxes(0, 1) if few]
    orders = np.stack([*starts, *polished, *found], axis=1)
    least, most, _ = _areas(value, orders)
    sides: list[tuple[Float[np.ndarray, "n k"], Aim]] = [(-least, "least"), (most, "most")]
    one_sided = [window(value, _best(orders, score), width, aim=aim) for score, aim in sides if few]
    orders = np.stack([*orders.swapaxes(0, 1), *(each.orders for each in one_sided)], axis=1)
    areas, reversed_areas, joint = _areas(value, orders)
    chance, chance_se = _estimated_chance(value, n, p, rng)
    kindly = reversed_areas * KINDNESS - areas, reversed_areas - areas * KINDNESS, joint
    best = np.stack([_best(orders, score) for score in kindly], axis=1)
    least, most, joint = areas.min(axis=1), reversed_areas.max(axis=1), joint.max(axis=1)
    return Ideal(False, least, most, joint, best, chance, chance_se).raised(areas, reversed_areas)


def _areas(
    value: SetFunction, orders: Int[np.ndarray, "n k p"]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """A of the orders, A of their reverses, and J."""
    weights = trapezoid(orders.shape[2])
    areas, reversed_areas = (along(value, o) @ weights for o in (orders, orders[..., ::-1]))
    return areas, reversed_areas, reversed_areas - areas


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

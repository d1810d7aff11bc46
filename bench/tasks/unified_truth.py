"""The order of training rows that changes each prediction most: the best that a search finds."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.influence import query_gradient, sgd_influence
from bench.models.trajectory import Trajectory
from bench.scores.data_influence import area
from bench.tasks.unified_retraining import Retraining

SCREENED = 4
"""Rows for each of the K removed ones that a search looks at, those that look strongest alone."""

AT_ONCE = 8
"""Swaps of each query point that are tried in one batch."""


@dataclass(frozen=True)
class Orders:
    """An order for each query point.

    Attributes
    ----------
    heads : its first K rows. curves : G along it. areas : under G.
    """

    heads: Int[np.ndarray, "n K"]
    curves: Float[np.ndarray, "n levels"]
    areas: Float[np.ndarray, " n"]

    @classmethod
    def best_of(
        cls,
        heads: Int[np.ndarray, "n o K"],
        curves: Float[np.ndarray, "n o levels"],
        counts: tuple[int, ...],
    ) -> "Orders":
        """Of each query point's orders the one with the smallest area, the first among equals."""
        areas = area(curves, counts)
        own, best = np.arange(len(heads)), areas.argmin(axis=1)
        return cls(heads[own, best], curves[own, best], areas[own, best])

    def or_better(self, other: "Orders") -> "Orders":
        """For each query point that of the two with the smaller area, this one among equals."""
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        heads, curves, areas = (np.stack(pair, axis=1) for pair in both)
        own, chosen = np.arange(len(areas)), areas.argmin(axis=1)
        return Orders(heads[own, chosen], curves[own, chosen], areas[own, chosen])


@dataclass(frozen=True)
class Truth:
    """What an order of training rows is held against, and no method sees.

    Attributes
    ----------
    retraining : how it was found.
    chance : G, the mean over random orders that all query points share.
    best : the orders of smallest area known, the random ones among them.
    """

    retraining: Retraining
    chance: Float[np.ndarray, "n levels"]
    best: Orders

    @classmethod
    def of(
        cls, retraining: Retraining, random_orders: int, search: int, *, rng: np.random.Generator
    ) -> "Truth":
        """Train again for `random_orders`, for each row alone, and at most `search` times more."""
        chance_rng, search_rng = rng.spawn(2)
        n, k, n_train = len(retraining.inputs), retraining.counts[-1], retraining.n_train
        drawn = np.stack([chance_rng.permutation(n_train)[:k] for _ in range(random_orders)])
        heads = np.broadcast_to(drawn, (n, *drawn.shape))
        curves = retraining.curves(heads)
        # Where training is noisier than any row's effect, a random order may be the best known.
        start = Orders.best_of(heads, curves, retraining.counts)
        best = best_known(retraining, start, search, rng=search_rng)
        return cls(retraining, curves.mean(axis=1), best)

    @property
    def chance_areas(self) -> Float[np.ndarray, " n"]:
        """A_rand, the mean of A over the random orders."""
        return area(self.chance, self.retraining.counts)


def best_known(
    retraining: Retraining, start: Orders, search: int, *, rng: np.random.Generator
) -> Orders:
    """The orders of smallest area that a search finds, each query point for itself.

    It begins with `start` and with orders by what each row alone takes from f_c(x), by training
    again and, along a recorded run, by SGD-influence, and by nearness, of any class and of class
    c. The rows near the head are then sorted anew by what each brings beside the K removed ones,
    until that helps no query point. Then rows are swapped at random, with each other or with rows
    that stand near the head of an order to begin with, and what helps is kept.

    Parameters
    ----------
    search : models that may be trained once the orders to begin with are known.
    """
    effects, k = _effects(retraining), retraining.counts[-1]
    guessed = np.stack([_first(values, k) for values in effects], axis=1)
    best = start.or_better(_best_of(retraining, guessed))
    places = np.stack([np.argsort(np.argsort(-values, axis=1), axis=1) for values in effects])
    screened = _first(-places.min(axis=0).astype(float), SCREENED * k)
    n, levels = best.curves.shape
    sorting, swapping = n * (k + screened.shape[1] + levels), n * AT_ONCE * levels
    while search >= sorting:
        search -= sorting
        rows = np.concatenate([best.heads, screened], axis=1)
        sorted_anew = _first(retraining.brought(best.heads, rows), k)
        found = _best_of(retraining, sorted_anew[:, None])
        if not (found.areas < best.areas).any():
            break
        best = best.or_better(found)
    for _ in range(search // swapping):
        best = best.or_better(_best_of(retraining, _swapped(best.heads, screened, rng)))
    return best


def _best_of(retraining: Retraining, heads: Int[np.ndarray, "n o K"]) -> Orders:
    return Orders.best_of(heads, retraining.curves(heads), retraining.counts)


def _first(values: Float[np.ndarray, "n n_train"], count: int) -> Int[np.ndarray, "n m"]:
    """The rows with the largest values, the largest first."""
    order: np.ndarray = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return order


def _effects(retraining: Retraining) -> list[Float[np.ndarray, "n n_train"]]:
    """Guesses of how strongly each row supports each prediction: larger = more strongly."""
    points, rows = (
        inputs.flatten(1).double() for inputs in (retraining.inputs, retraining.train.inputs)
    )
    near = -torch.cdist(points, rows).numpy()
    other = (retraining.train.targets != retraining.targets[:, None]).numpy()
    of_class = near - other * (1 + np.ptp(near))
    return [retraining.drops(), near, of_class, *_influences(retraining)]


def _influences(retraining: Retraining) -> list[Float[np.ndarray, "n n_train"]]:
    """SGD-influence on the loss at (x, c) of each query point; none without a recorded run."""
    trajectory = retraining.model.trajectory
    if trajectory is None:
        return []
    gradients = [
        _loss_gradient(trajectory, retraining.inputs[at], retraining.targets[at])
        for at in torch.arange(len(retraining.inputs)).split(1)
    ]
    found = sgd_influence(trajectory, torch.stack(gradients)).double().numpy()
    return [found] if np.isfinite(found).all() else []


def _loss_gradient(
    trajectory: Trajectory, inputs: Float[Tensor, "1 *features"], targets: Int[Tensor, " 1"]
) -> Float[Tensor, " p"]:
    at = Samples(inputs, targets, trajectory.objective.samples.n_classes)
    return query_gradient(trajectory.objective, trajectory.final, at)


def _swapped(
    heads: Int[np.ndarray, "n K"], screened: Int[np.ndarray, "n m"], rng: np.random.Generator
) -> Int[np.ndarray, "n o K"]:
    """`AT_ONCE` copies of each head, in each a random row given a random place."""
    n, k = heads.shape
    swapped = np.repeat(heads[:, None], AT_ONCE, axis=1)
    places = rng.integers(k, size=(n, AT_ONCE, 1))
    own = np.arange(n)[:, None]
    rows = screened[own, rng.integers(screened.shape[1], size=(n, AT_ONCE))][..., None]
    left = np.take_along_axis(swapped, places, axis=2)
    # Where the row stands in the head already, the two exchange their places.
    swapped = np.where(swapped == rows, left, swapped)
    np.put_along_axis(swapped, places, rows, axis=2)
    return swapped

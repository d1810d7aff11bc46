"""Sets of features made continuous: a feature may be deleted in part, and Adam finds how far.

A weight w_i in [0, 1] for each feature turns the instance x into x_w = (1 - w) x + w r, r a draw
of the reference: w_i = 0 keeps the feature, w_i = 1 deletes it. f(w) is the mean of g(x_w) over
the draws; at whole weights it is the set function F.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import expit
from torch import Tensor

from bench.models.chunks import row_blocks
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference

Gradient = Callable[[Float[Tensor, "m *features"], Int[Tensor, " m"]], Float[Tensor, "m *features"]]
"""The gradient of g at any inputs, for the targets of those instances."""

Side = Literal["exclusion", "inclusion", "both"]
"""Which curve counts: the most influential features deleted first, kept longest, or both."""

LINE = (np.arange(5) + 0.5) / 5
"""Shares of all features deleted at which the size of slopes is looked at."""

BISECTIONS = 30
"""Halvings of the interval of a threshold: to 1e-9 of its width."""


@dataclass(frozen=True)
class Blend:
    """How g of the blended inputs changes with the weights.

    Attributes
    ----------
    inputs, partition, reference : see `bench.tasks.attribution.AttributionProblem`.
    gradient : of g.
    """

    inputs: Float[Tensor, "n *features"]
    partition: Partition
    reference: Reference
    gradient: Gradient

    def slope(
        self, weights: Float[np.ndarray, "n m p"], draws: Int[np.ndarray, " k"]
    ) -> Float[np.ndarray, "n m p"]:
        """df / dw for m weightings of each instance, f being the mean over these draws."""
        blocks = row_blocks(self.inputs, weights.shape[1])
        return np.concatenate(
            [self._slope(rows, weights[rows.cpu().numpy()], draws) for rows in blocks]
        )

    def _slope(
        self,
        instances: Int[Tensor, " b"],
        weights: Float[np.ndarray, "b m p"],
        draws: Int[np.ndarray, " k"],
    ) -> Float[np.ndarray, "b m p"]:
        b, m, p = weights.shape
        rows = instances.repeat_interleave(m)
        share = torch.from_numpy(weights.reshape(b * m, p)).to(self.inputs)
        spread = self.partition.positions(share, rows)
        total = np.zeros((b * m, p))
        for draw in draws:
            changes = self.reference.only(int(draw)).of(rows)[:, 0] - self.inputs[rows]
            points = self.inputs[rows] + spread * changes
            total += self.partition.pooled(self.gradient(points, rows) * changes, rows)
        return total.reshape(b, m, p) / len(draws)


class Adam:
    """Descent by slopes over their running size, each coordinate on its own.

    References
    ----------
    Kingma, Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, Alg. 1.
    """

    def __init__(self, start: Float[np.ndarray, "..."]) -> None:
        self.at = start.copy()
        self._mean, self._square, self._steps = np.zeros_like(start), np.zeros_like(start), 0

    def descend(self, slope: Float[np.ndarray, "..."], rate: float) -> None:
        """One step against `slope`, in place."""
        self._steps += 1
        self._mean += 0.1 * (slope - self._mean)
        self._square += 0.001 * (slope**2 - self._square)
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        self.at -= rate * mean / (np.sqrt(square) + 1e-8)


def selection_path(
    blend: Blend,
    side: Literal["exclusion", "inclusion"],
    prices: Float[np.ndarray, " steps"],
    rate: float,
    *,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, "n p"]]:
    """The weights while the price of deleting changes, one Adam step and one draw at each price.

    exclusion : minimise price sum w + f(w), from everything deleted. inclusion : maximise it,
    from everything kept. Weights are cut to [0, 1]. As prices rise from below 0, exclusion
    restores more and more features, and inclusion deletes more and more.

    Parameters
    ----------
    prices : in units of the instance's mean |df / dw|.
    """
    n, p, count = len(blend.inputs), blend.partition.p, blend.reference.count
    line = np.broadcast_to(LINE[None, :, None], (n, len(LINE), p)).copy()
    some = rng.permutation(count)[: len(LINE)]
    unit = np.abs(blend.slope(line, some)).mean(axis=(1, 2), keepdims=True)
    sign, start = (1.0, 1.0) if side == "exclusion" else (-1.0, 0.0)
    adam = Adam(np.full((n, 1, p), start))
    for price in prices:
        slope = blend.slope(adam.at, rng.integers(count, size=1))
        adam.descend(sign * (price * unit + slope), rate)
        adam.at.clip(0.0, 1.0, out=adam.at)
        yield adam.at[:, 0].copy()


def selection(
    blend: Blend,
    side: Literal["exclusion", "inclusion"],
    lambda_: float,
    *,
    optimiser: Literal["adam", "sgd"],
    start: float,
    steps: int,
    rate: float,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n p"]:
    """The weights w in [0, 1]^p of min (exclusion) or max (inclusion) sum w + lambda f(w).

    Projected steps from w = start, each at `draws` draws of the reference.
    """
    sign = 1.0 if side == "exclusion" else -1.0
    adam = Adam(np.full((len(blend.inputs), 1, blend.partition.p), start))
    for _ in range(steps):
        drawn = rng.integers(blend.reference.count, size=draws)
        slope = sign * (1 + lambda_ * blend.slope(adam.at, drawn))
        if optimiser == "adam":
            adam.descend(slope, rate)
        else:
            adam.at -= rate * slope
        adam.at.clip(0.0, 1.0, out=adam.at)
    return adam.at[:, 0]


def soft_sets(
    scores: Float[np.ndarray, "n p"], shares: Float[np.ndarray, " m"], temperature: float
) -> Float[np.ndarray, "n m p"]:
    """w = sigmoid((s - t) / temperature), t such that the mean of w is each of the shares."""
    scaled = scores[:, None] / temperature
    away = np.log(shares / (1 - shares))[None, :, None]
    low = scaled.min(axis=2, keepdims=True) - away
    high = scaled.max(axis=2, keepdims=True) - away
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        over = expit(scaled - middle).mean(axis=2, keepdims=True) > shares[None, :, None]
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    found: np.ndarray = expit(scaled - (low + high) / 2)
    return found


def area_slope(
    blend: Blend,
    scores: Float[np.ndarray, "n p"],
    shares: Float[np.ndarray, " m"],
    temperature: float,
    side: Side,
    draws: Int[np.ndarray, " k"],
) -> Float[np.ndarray, "n p"]:
    """The slope in s of the mean over shares of f(w), of -f(1 - w), or of f(w) - f(1 - w).

    w = `soft_sets`, whose thresholds move with s: dw_i = v_i (ds_i - sum_j v_j ds_j / sum_j v_j)
    with v = w (1 - w) / temperature. It is 0 where all scores and all slopes of f are equal.
    """
    sets = soft_sets(scores, shares, temperature)
    asked = {"exclusion": [sets], "inclusion": [1 - sets], "both": [sets, 1 - sets]}[side]
    slopes = blend.slope(np.concatenate(asked, axis=1), draws)
    slope = slopes.reshape(len(scores), len(asked), *sets.shape[1:]).sum(axis=1)
    moving = sets * (1 - sets) / temperature
    mean = (moving * slope).sum(axis=2, keepdims=True) / moving.sum(axis=2, keepdims=True)
    total: np.ndarray = (moving * (slope - mean)).mean(axis=1)
    return total

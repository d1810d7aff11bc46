"""Linear bounds of networks over sets of deleted features: CROWN, for many boxes at once.

A box leaves some features free; u_i = 1 where the free feature i is deleted. Behind the first
linear map a network sees `base + u effects`. Every ReLU is put between two lines, so the outputs
are put between two linear functions of u, whose largest value at j free deletions is a sum of
their j largest coefficients: one sort bounds all sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bench.setfunction.chain import Chain, Convolution, Dense, Layer, Map, Pool, ReLU

Slope = Literal["adaptive", "zero", "one", "chord"]
SLOPES: tuple[Slope, ...] = ("adaptive", "zero", "one", "chord")
"""How steep the line below an undecided ReLU is; each gives a bound, the best is taken.

adaptive : 1 where that cuts off less area, else 0. chord : parallel to the line above.
"""


@dataclass(frozen=True)
class Interval:
    """What lies between two vectors."""

    low: Float[Tensor, "b d"]
    high: Float[Tensor, "b d"]

    def within(self, other: "Interval") -> "Interval":
        """What lies in both."""
        return Interval(torch.maximum(self.low, other.low), torch.minimum(self.high, other.high))


@dataclass(frozen=True)
class Planes:
    """What lies above and below a ReLU or a maximum.

    Attributes
    ----------
    above, offset : coefficients and constant of the plane above.
    below : coefficients of planes below, one a slope; they go through 0.
    """

    above: Float[Tensor, "b *d"]
    offset: Float[Tensor, "b d"]
    below: Float[Tensor, "b s *d"]


def relu_planes(interval: Interval, slopes: Sequence[Slope]) -> Planes:
    """The lines above and below a ReLU whose input lies in `interval`."""
    low, high = interval.low, interval.high
    undecided = (low < 0) & (high > 0)
    active = (low >= 0).to(low.dtype)
    chord = torch.where(undecided, high / (high - low).clamp(min=1e-300), active)
    steep = {
        "adaptive": (high > -low).to(low.dtype),
        "zero": active,
        "one": (high > 0).to(low.dtype),
        "chord": chord,
    }
    # Where the sign is decided, all four are 1 or all are 0.
    below = torch.stack([steep[slope] for slope in slopes], 1)
    return Planes(chord, -chord * low.clamp(max=0), below)


def pool_planes(pool: Pool, interval: Interval) -> Planes:
    """Planes above and below a maximum.

    With c the largest lower end, max x <= c + sum of a_i (x_i - low_i), a_i = (high_i - c) /
    (high_i - low_i) where high_i > c, else 0; or the largest upper end, where that is less at
    the middle of the box. Below lies the input with the largest sum of its ends.
    """
    low, high = pool.windows(interval.low), pool.windows(interval.high)
    largest_low, largest_high = low.amax(-1, keepdim=True), high.amax(-1)
    above = (high - largest_low).clamp(min=0) / (high - low).clamp(min=1e-300)
    above = torch.where(high > low, above, 0.0)
    offset = largest_low.squeeze(-1) - (above * low).sum(-1)
    middle = offset + (above * (high + low)).sum(-1) / 2
    flat = middle > largest_high
    above = torch.where(flat[..., None], 0.0, above)
    offset = torch.where(flat, largest_high, offset)
    best = (low + high).argmax(-1, keepdim=True)
    below = torch.zeros_like(low).scatter(-1, best, 1.0)
    return Planes(above, offset, below[:, None])


def planes(layer: Layer, interval: Interval, slopes: Sequence[Slope]) -> Planes:
    """What lies above and below a layer that is no linear map."""
    if isinstance(layer, Pool):
        return pool_planes(layer, interval)
    return relu_planes(interval, slopes)


@dataclass(frozen=True)
class _Lines:
    """Two linear functions of u around each of d numbers, as their mean and half their distance.

    Attributes
    ----------
    centre, centre_at : coefficients and constants of the mean.
    spread, spread_at : the same of half the distance; None where the two are one.
    """

    centre: Float[Tensor, "#b f d"]
    centre_at: Float[Tensor, "b d"]
    spread: Float[Tensor, "b f d"] | None = None
    spread_at: Float[Tensor, "b d"] | None = None

    def interval(self) -> Interval:
        """Where the numbers lie."""
        upper, upper_at, lower, lower_at = self._ends()
        return Interval(lower_at + lower.clamp(max=0).sum(1), upper_at + upper.clamp(min=0).sum(1))

    def through_map(self, layer: Map) -> "_Lines":
        """The same behind a linear map."""
        return _Lines(
            layer.linear(self.centre),
            layer.linear(self.centre_at) + layer.bias,
            None if self.spread is None else layer.absolute(self.spread),
            None if self.spread_at is None else layer.absolute(self.spread_at),
        )

    def through_planes(self, layer: Layer, between: Planes) -> "_Lines":
        """The same behind a ReLU or a maximum, which lies `between` these planes."""
        above, below = between.above[:, None], between.below[:, :1]
        if isinstance(layer, ReLU) and self.spread is None:
            # Both planes on the one line: two products instead of four.
            middle, half = (above + below) / 2, (above - below) / 2
            offset = between.offset / 2
            return _Lines(
                self.centre * middle,
                self.centre_at * middle[:, 0] + offset,
                self.centre * half,
                self.centre_at * half[:, 0] + offset,
            )
        upper, upper_at, lower, lower_at = self._ends()
        if isinstance(layer, Pool):
            upper, lower = layer.windows(upper), layer.windows(lower)
            upper, lower = (upper * above).sum(-1), (lower * below).sum(-1)
            upper_at = (layer.windows(upper_at) * above[:, 0]).sum(-1)
            lower_at = (layer.windows(lower_at) * below[:, 0]).sum(-1)
        else:
            upper, lower = upper * above, lower * below
            upper_at, lower_at = upper_at * above[:, 0], lower_at * below[:, 0]
        upper_at = upper_at + between.offset
        return _Lines(
            (upper + lower) / 2,
            (upper_at + lower_at) / 2,
            (upper - lower) / 2,
            (upper_at - lower_at) / 2,
        )

    def _ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self.spread is None or self.spread_at is None:
            return self.centre, self.centre_at, self.centre, self.centre_at
        return (
            self.centre + self.spread,
            self.centre_at + self.spread_at,
            self.centre - self.spread,
            self.centre_at - self.spread_at,
        )


def by_intervals(layer: Layer, interval: Interval) -> Interval:
    """Where the outputs of a layer lie whose inputs lie in `interval`."""
    if isinstance(layer, ReLU):
        return Interval(interval.low.clamp(min=0), interval.high.clamp(min=0))
    if isinstance(layer, Pool):
        low, high = layer.windows(interval.low), layer.windows(interval.high)
        return Interval(low.amax(-1), high.amax(-1))
    middle = layer.linear((interval.low + interval.high) / 2) + layer.bias
    radius = layer.absolute((interval.high - interval.low) / 2)
    return Interval(middle - radius, middle + radius)


def enclosed(
    chain: Chain,
    base: Float[Tensor, "b hidden"],
    effects: Float[Tensor, "f hidden"],
    slopes: Sequence[Slope],
) -> list[Planes | None]:
    """The planes around each layer between the first and the last; None at linear maps.

    The inputs of ReLUs are bounded by lines pushed forwards as far as the second linear map and
    the convolutions, by lines pulled back to the features behind dense maps, and by interval
    arithmetic.
    """
    interval = Interval(base + effects.clamp(max=0).sum(0), base + effects.clamp(min=0).sum(0))
    lines: _Lines | None = _Lines(effects[None], base)
    between: list[Planes | None] = []
    maps = 1
    for at, layer in enumerate(chain.layers[1:-1]):
        before, interval = interval, by_intervals(layer, interval)
        if not isinstance(layer, Map):
            around = planes(layer, before, slopes)
            between.append(around)
            if lines is not None:
                lines = lines.through_planes(layer, around)
            continue
        between.append(None)
        maps += 1
        if lines is not None:
            lines = lines.through_map(layer)
            interval = interval.within(lines.interval())
        if isinstance(layer, Dense) and maps > 2:
            earlier = chain.layers[1 : at + 1]
            interval = interval.within(_pulled_interval(layer, earlier, between, base, effects))
        if not any(isinstance(later, Convolution) for later in chain.layers[at + 2 :]):
            lines = None
    return between


def _pulled_interval(
    layer: Dense,
    earlier: Sequence[Layer],
    between: Sequence[Planes | None],
    base: Float[Tensor, "b hidden"],
    effects: Float[Tensor, "f hidden"],
) -> Interval:
    """Where the output of a dense layer lies that comes behind others."""
    rows = torch.cat([layer.weight, -layer.weight])
    first = [
        None if each is None else Planes(each.above, each.offset, each.below[:, :1])
        for each in between[: len(earlier)]
    ]
    coefficients, constants = pulled(earlier, first, rows, base, effects)
    highest = (constants + coefficients.clamp(min=0).sum(-1))[:, 0]
    d = len(layer.bias)
    return Interval(layer.bias - highest[:, d:], layer.bias + highest[:, :d])


def pulled(
    layers: Sequence[Layer],
    between: Sequence[Planes | None],
    rows: Float[Tensor, "r d"],
    base: Float[Tensor, "b hidden"],
    effects: Float[Tensor, "f hidden"],
) -> tuple[Float[Tensor, "b s r f"], Float[Tensor, "b s r"]]:
    """Linear functions of u above `rows` times what comes out of `layers`, one a slope.

    Parameters
    ----------
    layers : those behind the first linear map. between : the planes around each.
    """
    factors: Tensor = rows[None, None]
    constants: Tensor = rows.new_zeros(1, 1, 1)
    for layer, around in zip(reversed(layers), reversed(between), strict=True):
        if isinstance(layer, Map):
            constants = constants + factors @ layer.bias
            factors = layer.transposed(factors)
            continue
        assert around is not None
        positive, negative = factors.clamp(min=0), factors.clamp(max=0)
        constants = constants + (positive @ around.offset[:, None, :, None]).squeeze(-1)
        above, below = around.above[:, None, None], around.below[:, :, None]
        if isinstance(layer, Pool):
            spread = positive[..., None] * above + negative[..., None] * below
            factors = layer.spread(spread)
        else:
            factors = positive * above + negative * below
    constants = constants + (factors @ base[:, None, :, None]).squeeze(-1)
    coefficients = factors @ effects.t()
    # Where nothing lies behind the first map, they are the same for all boxes.
    return coefficients.expand(*constants.shape, -1), constants


@dataclass(frozen=True)
class SizeBounds:
    """Bounds of numbers where 0, 1, .., f of the free features are deleted."""

    low: Float[Tensor, "b *m sizes"]
    high: Float[Tensor, "b *m sizes"]


def bounds_by_size(
    chain: Chain,
    base: Float[Tensor, "b hidden"],
    effects: Float[Tensor, "f hidden"],
    slopes: Sequence[Slope] = SLOPES,
) -> SizeBounds:
    """Bounds of the outputs of `chain` over boxes, at each number of free deletions.

    Parameters
    ----------
    base : what comes out of the first map where no free feature is deleted, a row a box.
    effects : what deleting each free feature adds to it.
    slopes : of the lines below the ReLUs; the best of them counts.

    References
    ----------
    Zhang, Weng, Chen, Hsieh, Daniel, *Efficient Neural Network Robustness Certification with
    General Activation Functions*, NeurIPS 2018, Theorem 3.2.
    """
    last = chain.layers[-1]
    assert isinstance(last, Dense)
    between = enclosed(chain, base, effects, slopes)
    rows = torch.cat([last.weight, -last.weight])
    coefficients, constants = pulled(chain.layers[1:-1], between, rows, base, effects)
    ordered = coefficients.sort(dim=-1, descending=True).values
    highest = torch.cat([constants[..., None], ordered], dim=-1).cumsum(-1).amin(1)
    m, bias = len(last.bias), last.bias[:, None]
    return SizeBounds(bias - highest[:, m:], bias + highest[:, :m])

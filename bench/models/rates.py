"""How the learning rate changes from step to step."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class Rates(Protocol):
    """A frozen dataclass that says the rate of every step."""

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        """The rates of `steps` steps, `per_epoch` of them an epoch, that start from `first`."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same rate at all steps."""

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        return (first,) * steps


@dataclass(frozen=True)
class Sqrt:
    """After step c = 1, 2, ... the rate is multiplied by sqrt(c / (c + 1)): first / sqrt(c)."""

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        return tuple(first / math.sqrt(c) for c in range(1, steps + 1))


@dataclass(frozen=True)
class Staircase:
    """After every `epochs` epochs the rate is multiplied by `factor`."""

    epochs: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs={self.epochs}: wanted at least 1")

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        return tuple(first * self.factor ** (t // (per_epoch * self.epochs)) for t in range(steps))


@dataclass(frozen=True)
class Cosine:
    """From `first` to 0 along half a cosine.

    References
    ----------
    Loshchilov, Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017, Eq. 5.
    """

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        return tuple(first * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps))


@dataclass(frozen=True)
class WarmUp:
    """The rate rises along a line for some epochs, then follows `then`.

    Parameters
    ----------
    epochs : of the rise; fractions count.
    then : the rates of the steps that remain.

    References
    ----------
    Goyal et al., *Accurate, Large Minibatch SGD*, 2017, Sec. 2.2.
    """

    epochs: float
    then: Rates = Constant()

    def rates(self, first: float, steps: int, per_epoch: int) -> tuple[float, ...]:
        rising = min(round(self.epochs * per_epoch), steps)
        rise = tuple(first * (t + 1) / (rising + 1) for t in range(rising))
        return rise + self.then.rates(first, steps - rising, per_epoch)

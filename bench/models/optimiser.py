"""How a gradient moves the parameters: optimisers as pure functions of their numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class Before(NamedTuple):
    """What an update starts from.

    Attributes
    ----------
    theta : parameters. state : what the optimiser remembers, `slots` numbers a parameter.
    gradient : of the step's loss at theta. rate : the learning rate. t : the step, from 0.
    """

    theta: Float[Tensor, "*m p"]
    state: Float[Tensor, "*m slots p"]
    gradient: Float[Tensor, "*m p"]
    rate: float
    t: int


class After(NamedTuple):
    """What an update ends with, or the adjoints of that."""

    theta: Float[Tensor, "*m p"]
    state: Float[Tensor, "*m slots p"]


class Pulled(NamedTuple):
    """The adjoints of what an update started from, theta's own without its way by the gradient."""

    theta: Float[Tensor, "*m p"]
    state: Float[Tensor, "*m slots p"]
    gradient: Float[Tensor, "*m p"]


@runtime_checkable
class Optimiser(Protocol):
    """A frozen dataclass: one rule for training, replay, retraining and the way back.

    `m` runs are updated at once, each by itself.
    """

    @property
    def slots(self) -> int:
        """Numbers remembered for each parameter, all 0 at first."""
        ...

    @property
    def linear(self) -> bool:
        """Whether `update` is linear, so that `pull` looks at no parameter, state or gradient."""
        ...

    def update(self, before: Before) -> After:
        """The next parameters and state."""
        ...

    def pull(self, before: Before, after: After) -> Pulled:
        """The vector-Jacobian product of `update` at `before` with the adjoints `after`."""
        ...


def pull_by_autograd(update: Callable[[Before], After], before: Before, after: After) -> Pulled:
    """`Optimiser.pull` of any update."""
    shape, slots = after.theta.shape, after.state.shape
    wanted = (before.theta, shape), (before.state, slots), (before.gradient, shape)
    leaves = [value.expand(size).detach().requires_grad_() for value, size in wanted]
    with torch.enable_grad():
        theta, state, gradient = leaves
        found = update(Before(theta, state, gradient, before.rate, before.t))
        outputs = (found.theta, found.state)
        pulled = torch.autograd.grad(outputs, leaves, tuple(after), materialize_grads=True)
    return Pulled(*pulled)


@dataclass(frozen=True)
class Plain:
    """theta - rate gradient."""

    @property
    def slots(self) -> int:
        return 0

    @property
    def linear(self) -> bool:
        return True

    def update(self, before: Before) -> After:
        # The bits of theta - rate gradient, with one array made instead of two.
        return After((before.gradient * -before.rate).add_(before.theta), before.state)

    def pull(self, before: Before, after: After) -> Pulled:
        return Pulled(after.theta, after.state, -before.rate * after.theta)


PLAIN = Plain()
"""SGD, as the paper has it."""


@dataclass(frozen=True)
class Momentum:
    """v <- momentum v + gradient, theta <- theta - rate v; the heavy ball as torch has it.

    Parameters
    ----------
    momentum : share of v that stays.
    nesterov : theta <- theta - rate (gradient + momentum v) with the new v.

    References
    ----------
    Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964.
    Sutskever, Martens, Dahl, Hinton, *On the importance of initialization and momentum in deep
    learning*, ICML 2013, Sec. 2.
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}: wanted from 0 to below 1")

    @property
    def slots(self) -> int:
        return 1

    @property
    def linear(self) -> bool:
        return True

    def update(self, before: Before) -> After:
        theta, state, gradient, rate, _ = before
        velocity = self.momentum * state[..., 0, :] + gradient
        moved = gradient + self.momentum * velocity if self.nesterov else velocity
        return After(theta - rate * moved, velocity.unsqueeze(-2))

    def pull(self, before: Before, after: After) -> Pulled:
        share = self.momentum if self.nesterov else 1.0
        velocity = after.state[..., 0, :] - before.rate * share * after.theta
        gradient = velocity - before.rate * after.theta if self.nesterov else velocity
        return Pulled(after.theta, (self.momentum * velocity).unsqueeze(-2), gradient)


@dataclass(frozen=True)
class Adam:
    """theta - rate m^ / (sqrt(v^) + eps), with running means m of gradients and v of squares.

    A parameter whose gradients were all 0 stays; there the derivative by v, 0 / 0, is taken
    as 0, which is its limit.

    Parameters
    ----------
    beta1, beta2 : what stays of m and v at each step; m^ and v^ are freed of their start at 0.
    eps : added to the root.

    References
    ----------
    Kingma, Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, Algorithm 1.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: wanted from 0 to below 1")
        if not self.eps > 0:
            raise ValueError(f"eps={self.eps}: wanted more than 0")

    @property
    def slots(self) -> int:
        return 2

    @property
    def linear(self) -> bool:
        return False

    def update(self, before: Before) -> After:
        theta, state, gradient, rate, t = before
        mean = self.beta1 * state[..., 0, :] + (1 - self.beta1) * gradient
        square = self.beta2 * state[..., 1, :] + (1 - self.beta2) * gradient.square()
        root = (
            (square / (1 - self.beta2 ** (t + 1))).clamp_min(torch.finfo(theta.dtype).tiny).sqrt()
        )
        step = mean / (1 - self.beta1 ** (t + 1)) / (root + self.eps)
        return After(theta - rate * step, torch.stack([mean, square], dim=-2))

    def pull(self, before: Before, after: After) -> Pulled:
        return pull_by_autograd(self.update, before, after)


@dataclass(frozen=True)
class Decoupled:
    """Any optimiser, and each step theta shrinks by rate * decay beside it: AdamW of Adam.

    The shrinking belongs to no row: it stays whole when rows are left out, whereas a penalty in
    the rows' losses goes with them.

    Parameters
    ----------
    optimiser : what moves theta otherwise.
    decay : of theta, times the rate.

    References
    ----------
    Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019, Algorithms 1-2.
    """

    optimiser: Optimiser
    decay: float = 0.01

    @property
    def slots(self) -> int:
        return self.optimiser.slots

    @property
    def linear(self) -> bool:
        return self.optimiser.linear

    def update(self, before: Before) -> After:
        moved, state = self.optimiser.update(before)
        return After(moved - before.rate * self.decay * before.theta, state)

    def pull(self, before: Before, after: After) -> Pulled:
        theta, state, gradient = self.optimiser.pull(before, after)
        return Pulled(theta - before.rate * self.decay * after.theta, state, gradient)

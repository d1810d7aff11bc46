"""Ways to solve (H + damping I) v = u, H the Hessian of a network's mean training loss."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.layers import Convolution, Layer, Pass
from bench.models.stack import at_a_time, unflatten
from bench.models.trajectory import Objective
from bench.tasks.base import Unsupported

Product = Callable[[Float[Tensor, " p"]], Float[Tensor, " p"]]

ROWS_AT_ONCE = 4096
"""Rows whose passes stay in memory from one Hessian product to the next."""


@dataclass(frozen=True)
class Curvature:
    """H + damping I at the parameters `flat`, the penalty of training included in H."""

    objective: Objective
    flat: Float[Tensor, " p"]
    damping: float

    def product(
        self, vector: Float[Tensor, " p"], rows: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, " p"]:
        """(H + damping I) v, with H the mean over `rows` alone where they are given."""
        if rows is None:
            return self._whole(vector) + self.damping * vector
        return hessian_product(self.objective, self.flat, rows)(vector) + self.damping * vector

    @cached_property
    def _whole(self) -> Product:
        rows = torch.arange(len(self.objective.samples), device=self.flat.device)
        if len(rows) <= ROWS_AT_ONCE:
            return hessian_product(self.objective, self.flat, rows)

        def summed(vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
            total = torch.zeros_like(vector)
            for some in rows.split(ROWS_AT_ONCE):
                part = hessian_product(self.objective, self.flat, some)(vector)
                total += len(some) / len(rows) * part
            return total

        return summed


@runtime_checkable
class Solver(Protocol):
    """A frozen dataclass that solves (H + damping I) v = u, more or less."""

    def solve(
        self, curvature: Curvature, target: Float[Tensor, " p"], *, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        """v; `target` is u."""
        ...


@dataclass(frozen=True)
class Exact:
    """H formed column by column and the system solved, whether H is positive or not.

    Parameters
    ----------
    largest : at most this many parameters: the matrix has their square of numbers.
    """

    largest: int = 5000

    def solve(
        self, curvature: Curvature, target: Float[Tensor, " p"], *, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        p = len(target)
        if p > self.largest:
            raise Unsupported(f"{p} parameters: a Hessian is formed for {self.largest} at most")
        units = torch.eye(p, dtype=target.dtype, device=target.device)
        matrix = torch.stack([curvature.product(unit) for unit in units])
        solved: Tensor = torch.linalg.solve(matrix.double(), target.double())
        return solved.to(target.dtype)


@dataclass(frozen=True)
class ConjugateGradients:
    """Conjugate gradients, stopped where H + damping I turns out not to be positive.

    A network's H may be indefinite: they stop at the first direction of negative curvature and
    keep the v reached (Steihaug's rule; if it is the first direction, v = u / damping).

    Parameters
    ----------
    iterations : at most this many Hessian products.
    tolerance : stop where |(H + damping I) v - u| falls to this share of |u|.

    References
    ----------
    Steihaug, *The Conjugate Gradient Method and Trust Regions in Large Scale Optimization*,
    SIAM J. Numer. Anal. 20, 1983.
    """

    iterations: int = 100
    tolerance: float = 1e-5

    def solve(
        self, curvature: Curvature, target: Float[Tensor, " p"], *, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        return conjugate_gradients(
            curvature.product,
            target,
            first=1 / (curvature.damping or 1),
            iterations=self.iterations,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True)
class LiSSA:
    """v <- u + v - (H_S + damping I) v / scale, with a new batch S each time; then v / scale.

    A truncated Neumann series of the inverse. It converges where `scale` exceeds half of the
    largest eigenvalue, and diverges below.

    Parameters
    ----------
    depth : steps of one recursion.
    repeats : recursions that are averaged.
    batch_size : rows of a batch, 0 for all (then one recursion is enough).
    scale : 0 takes the largest eigenvalue over all rows, by power iteration.

    References
    ----------
    Agarwal, Bullins, Hazan, *Second-Order Stochastic Optimization for Machine Learning in Linear
    Time*, JMLR 18, 2017, Sec. 3. Koh, Liang, *Understanding Black-box Predictions via Influence
    Functions*, ICML 2017, Sec. 3.
    """

    depth: int = 500
    repeats: int = 1
    batch_size: int = 0
    scale: float = 0.0

    def solve(
        self, curvature: Curvature, target: Float[Tensor, " p"], *, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        scale = self.scale or _largest_eigenvalue(curvature, target)
        total = torch.zeros_like(target)
        for _ in range(self.repeats):
            v = target
            for _ in range(self.depth):
                rows = _batch(curvature, self.batch_size, rng)
                v = target + v - curvature.product(v, rows) / scale
            total += v / scale
        return _finite(total / self.repeats, f"LiSSA with scale {scale:.3g}: raise the scale")


@dataclass(frozen=True)
class MomentumSGD:
    """v = argmin v'(H + damping I) v / 2 - u'v by gradient descent with momentum.

    Parameters
    ----------
    iterations, learning_rate, momentum : of the descent; stopped early it is a damping of its
        own.
    batch_size : rows that H is taken over in a step, 0 for all.
    start : v begins as `query` (u) or `zero`.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7:
    the defaults are those of Sec. 7.1; Sec. 7.2 has batches of 1,000, rate .005, two epochs,
    start zero.
    """

    iterations: int = 100
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 0
    start: Literal["query", "zero"] = "query"

    def solve(
        self, curvature: Curvature, target: Float[Tensor, " p"], *, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        v = target if self.start == "query" else torch.zeros_like(target)
        step = torch.zeros_like(target)
        for _ in range(self.iterations):
            rows = _batch(curvature, self.batch_size, rng)
            step = self.momentum * step + curvature.product(v, rows) - target
            v = v - self.learning_rate * step
        return _finite(v, f"momentum SGD with rate {self.learning_rate:g}: lower the rate")


def hessian_product(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"] | None = None
) -> Product:
    """v -> H v, with H the Hessian of the mean loss of `rows` (all by default) at `flat`.

    The passes over the rows are kept from one product to the next.
    """
    every = torch.arange(len(objective.samples), device=flat.device)
    chosen = every if rows is None else rows
    if objective.layers is None:
        return _by_autograd(objective, flat, chosen)
    return _written_out(objective, flat, chosen, objective.layers)


def _by_autograd(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"]
) -> Product:
    flats = flat.detach()[None].requires_grad_()
    mean = objective.losses(flats, rows).mean()
    (gradients,) = torch.autograd.grad(mean, flats, create_graph=True)
    return lambda v: torch.autograd.grad(gradients[0] @ v, flats, retain_graph=True)[0][0]


def _written_out(
    objective: Objective,
    flat: Float[Tensor, " p"],
    rows: Int[Tensor, " b"],
    layers: tuple[Layer, ...],
) -> Product:
    """By R{}: half the time of autograd's for convolutions, as much for small linear layers."""
    own = list(unflatten(objective.module, flat).values())
    convolved = any(isinstance(layer, Convolution) for layer in layers)
    some = at_a_time(objective.samples.inputs) if convolved else max(len(rows), 1)
    passes = [
        Pass.of(
            layers,
            own,
            objective.inputs(part),
            objective.samples.targets[part],
            flat.new_full((len(part),), 1 / len(rows)),
        )
        for part in rows.split(some)
    ]
    objective.calls.forward += len(rows)
    objective.calls.backward += len(rows)

    def product(vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        objective.calls.backward += len(rows)
        direction = list(unflatten(objective.module, vector).values())
        total = objective.weight_decay * vector
        for passed in passes:
            total = total + passed.product(direction)[1]
        return total

    return product


def conjugate_gradients(
    product: Product,
    target: Float[Tensor, " p"],
    *,
    first: float,
    iterations: int,
    tolerance: float,
) -> Float[Tensor, " p"]:
    """v with product(v) = target, stopped where the curvature isn't positive.

    `first` times `target` is the answer where that happens along the first direction.
    """
    solved, residual = torch.zeros_like(target), target
    direction, norm = residual, residual @ residual
    goal = tolerance**2 * norm
    for i in range(iterations):
        if norm <= goal:
            break
        curved = product(direction)
        curvature = direction @ curved
        if curvature <= 0:
            return solved if i else first * target
        solved = solved + norm / curvature * direction
        residual = residual - norm / curvature * curved
        norm, before = residual @ residual, norm
        direction = residual + norm / before * direction
    return solved


def _batch(curvature: Curvature, size: int, rng: np.random.Generator) -> Int[Tensor, " b"] | None:
    n = len(curvature.objective.samples)
    if not 0 < size < n:
        return None
    return torch.from_numpy(rng.choice(n, size, replace=False)).to(curvature.flat.device)


def _largest_eigenvalue(curvature: Curvature, start: Float[Tensor, " p"]) -> float:
    """The largest in size, a little more than twenty power iterations find.

    They begin near `start`, whose own directions are those that must not diverge.
    """
    vector = start + start.norm() / len(start) ** 0.5
    for _ in range(20):
        vector = curvature.product(vector / vector.norm())
    return 1.1 * float(vector.norm())


def _finite(v: Float[Tensor, " p"], what: str) -> Float[Tensor, " p"]:
    if not torch.isfinite(v).all():
        raise FloatingPointError(f"{what}, or the damping; it diverged")
    return v

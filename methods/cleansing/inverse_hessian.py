"""Ways to solve (H + damping I) v = u, H the Hessian of a network's mean training loss."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.chain import Chain
from bench.models.layers import Convolution, Layer, Pass
from bench.models.stack import at_a_time, unflatten
from bench.models.trajectory import Objective
from bench.tasks.base import Unsupported

Product = Callable[[Float[Tensor, "*q p"]], Float[Tensor, "*q p"]]

ROWS_AT_ONCE = 4096
"""Rows whose passes stay in memory from one Hessian product to the next."""

KEPT_BYTES = 2**30
"""Beyond it the passes of convolutions are made anew for each product, some rows at a time."""

TOGETHER_NUMBERS = 2**18
"""Inputs of all layers that go through a chain for the vectors of one product."""


@dataclass(frozen=True)
class Curvature:
    """H at the parameters `flat`, the penalty of training included."""

    objective: Objective
    flat: Float[Tensor, " p"]

    def product(
        self, vectors: Float[Tensor, "*q p"], rows: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "*q p"]:
        """H v for each, with H the mean over `rows` alone where they are given."""
        if rows is None:
            return self._whole(vectors)
        return hessian_product(self.objective, self.flat, rows)(vectors)

    @cached_property
    def _whole(self) -> Product:
        rows = torch.arange(len(self.objective.samples), device=self.flat.device)
        if len(rows) <= ROWS_AT_ONCE:
            return hessian_product(self.objective, self.flat, rows)

        def summed(vectors: Float[Tensor, "*q p"]) -> Float[Tensor, "*q p"]:
            total = torch.zeros_like(vectors)
            for some in rows.split(ROWS_AT_ONCE):
                part = hessian_product(self.objective, self.flat, some)(vectors)
                total += len(some) / len(rows) * part
            return total

        return summed


@dataclass(frozen=True)
class Systems:
    """(H + damping I) v = u for each of `q` dampings.

    Attributes
    ----------
    curvature : H. target : u.
    """

    curvature: Curvature
    target: Float[Tensor, " p"]
    dampings: Sequence[float]

    @property
    def column(self) -> Float[Tensor, "q 1"]:
        """The dampings, beside a v in each row."""
        return self.target.new_tensor(self.dampings)[:, None]


@runtime_checkable
class Solver(Protocol):
    """A frozen dataclass that solves `Systems`, more or less."""

    @property
    def remedy(self) -> str:
        """What to do where it diverges."""
        ...

    def solve(self, systems: Systems, *, rng: np.random.Generator) -> Float[Tensor, "q p"]:
        """v for each damping, not finite where it diverges."""
        ...


@dataclass(frozen=True)
class Exact:
    """H formed column by column and the system solved, whether H is positive or not.

    Parameters
    ----------
    largest : at most this many parameters: the matrix has their square of numbers.
    """

    largest: int = 5000

    remedy: ClassVar[str] = "give another damping"

    def solve(self, systems: Systems, *, rng: np.random.Generator) -> Float[Tensor, "q p"]:
        curvature, target = systems.curvature, systems.target
        p = len(target)
        if p > self.largest:
            raise Unsupported(f"{p} parameters: a Hessian is formed for {self.largest} at most")
        units = torch.eye(p, dtype=target.dtype, device=target.device)
        matrix = torch.stack([curvature.product(unit) for unit in units]).double()
        solved = [
            torch.linalg.solve(matrix + damping * units.double(), target.double())
            for damping in systems.dampings
        ]
        return torch.stack(solved).to(target.dtype)


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

    remedy: ClassVar[str] = "give another damping"

    def solve(self, systems: Systems, *, rng: np.random.Generator) -> Float[Tensor, "q p"]:
        return torch.stack([self._solved(systems, damping) for damping in systems.dampings])

    def _solved(self, systems: Systems, damping: float) -> Float[Tensor, " p"]:
        return conjugate_gradients(
            lambda v: systems.curvature.product(v) + damping * v,
            systems.target,
            first=1 / (damping or 1),
            iterations=self.iterations,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True)
class LiSSA:
    """v <- u + v - (H_S + damping I) v / scale, with a new batch S each time; then v / scale.

    A truncated Neumann series of the inverse. It converges where `scale` exceeds half of the
    largest eigenvalue, and diverges below. All dampings take the same batches.

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

    @property
    def remedy(self) -> str:
        return f"raise the scale of {self.scale:g}" if self.scale else "give a larger scale"

    def solve(self, systems: Systems, *, rng: np.random.Generator) -> Float[Tensor, "q p"]:
        curvature, target, damping = systems.curvature, systems.target, systems.column
        largest = self.scale or _largest_eigenvalues(curvature, target, damping)
        total = torch.zeros_like(damping * target)
        for _ in range(self.repeats):
            v = target.expand_as(total)
            for _ in range(self.depth):
                rows = _batch(curvature, self.batch_size, rng)
                v = target + v - (curvature.product(v, rows) + damping * v) / largest
            total += v / largest
        return total / self.repeats


@dataclass(frozen=True)
class MomentumSGD:
    """v = argmin v'(H + damping I) v / 2 - u'v by gradient descent with momentum.

    All dampings take the same batches.

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

    @property
    def remedy(self) -> str:
        return f"lower the rate of {self.learning_rate:g}"

    def solve(self, systems: Systems, *, rng: np.random.Generator) -> Float[Tensor, "q p"]:
        curvature, target, damping = systems.curvature, systems.target, systems.column
        step = torch.zeros_like(damping * target)
        v = target.expand_as(step) if self.start == "query" else step
        for _ in range(self.iterations):
            rows = _batch(curvature, self.batch_size, rng)
            step = self.momentum * step + curvature.product(v, rows) + damping * v - target
            v = v - self.learning_rate * step
        return v


def hessian_product(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"] | None = None
) -> Product:
    """v -> H v, with H the Hessian of the mean loss of `rows` (all by default) at `flat`.

    The passes over the rows are kept from one product to the next, where they fit.
    """
    every = torch.arange(len(objective.samples), device=flat.device)
    chosen = every if rows is None else rows
    if objective.chain is not None:
        return _of_chain(objective, flat, chosen, objective.chain)
    if objective.layers is not None:
        return _of_layers(objective, flat, chosen, objective.layers)
    return _by_autograd(objective, flat, chosen)


def _by_autograd(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"]
) -> Product:
    flats = flat.detach()[None].requires_grad_()
    mean = objective.losses(flats, rows).mean()
    (gradients,) = torch.autograd.grad(mean, flats, create_graph=True)
    return _one_by_one(
        lambda v: torch.autograd.grad(gradients[0] @ v, flats, retain_graph=True)[0][0]
    )


def _of_chain(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"], chain: Chain
) -> Product:
    """By R{}, all vectors at once where they are small: wide layers fill the cache by one."""
    inputs, targets = objective.inputs(rows), objective.samples.targets[rows]
    weights = flat.new_full((1, len(rows)), 1 / len(rows))
    tape = chain.tape(flat[None], inputs.flatten(1).T[None], targets[None], weights)
    numbers = len(rows) * sum(into for _, into in chain.sizes)
    together = max(1, TOGETHER_NUMBERS // numbers)
    objective.calls.forward += len(rows)
    objective.calls.backward += len(rows)

    def product(vectors: Float[Tensor, "*q p"]) -> Float[Tensor, "*q p"]:
        several = vectors.view(-1, vectors.shape[-1])
        objective.calls.backward += len(several) * len(rows)
        parts = several.split(together)
        curved = torch.cat([tape.expand(len(part)).product(part)[1] for part in parts])
        return curved.view_as(vectors).add_(vectors, alpha=objective.weight_decay)

    return product


def _of_layers(
    objective: Objective,
    flat: Float[Tensor, " p"],
    rows: Int[Tensor, " b"],
    layers: tuple[Layer, ...],
) -> Product:
    """By R{}, in half of autograd's time for convolutions."""
    own = list(unflatten(objective.module, flat).values())
    convolved = any(isinstance(layer, Convolution) for layer in layers)
    some = at_a_time(objective.samples.inputs) if convolved else max(len(rows), 1)

    def passed(part: Int[Tensor, " _"]) -> Pass:
        objective.calls.forward += len(part)
        objective.calls.backward += len(part)
        shares = flat.new_full((len(part),), 1 / len(rows))
        inputs, targets = objective.inputs(part), objective.samples.targets[part]
        return Pass.of(layers, own, inputs, targets, shares)

    first, *others = rows.split(some)
    known = [passed(first)]
    if known[0].bytes * (1 + len(others)) <= KEPT_BYTES:
        known += map(passed, others)
        others = []

    def product(vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        objective.calls.backward += len(rows)
        direction = list(unflatten(objective.module, vector).values())
        total = objective.weight_decay * vector
        for each in itertools.chain(known, map(passed, others)):
            total = total + each.product(direction)[1]
        return total

    return _one_by_one(product)


def _one_by_one(product: Product) -> Product:
    """`product` of one vector, of any number of them."""

    def products(vectors: Float[Tensor, "*q p"]) -> Float[Tensor, "*q p"]:
        several = vectors.view(-1, vectors.shape[-1])
        return torch.stack([product(vector) for vector in several]).view_as(vectors)

    return products


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


def _largest_eigenvalues(
    curvature: Curvature, start: Float[Tensor, " p"], damping: Float[Tensor, "q 1"]
) -> Float[Tensor, "q 1"]:
    """The largest of H + damping I in size, a little more than twenty power iterations find.

    They begin near `start`, whose own directions are those that must not diverge.
    """
    vectors = (start + start.norm() / len(start) ** 0.5).expand(len(damping), -1)
    for _ in range(20):
        units = vectors / vectors.norm(dim=1, keepdim=True)
        vectors = curvature.product(units) + damping * units
    largest: Tensor = vectors.norm(dim=1, keepdim=True)
    return 1.1 * largest

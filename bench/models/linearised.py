"""The steps of a run, each with the products by which a query is carried back through it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.models.chain import Chain, Tape
from bench.models.layers import Pass
from bench.models.optimiser import Before
from bench.models.stack import unflatten
from bench.models.trajectory import Objective, Schedule, Stretch, Trajectory

TAPE_NUMBERS = 2**22
"""Numbers that the forward and backward passes of many steps at once may take: 16 MiB."""


@runtime_checkable
class Linearised(Protocol):
    """One step: the mean loss of its rows around its parameters.

    Attributes
    ----------
    before : what the optimiser started from; its `gradient` is empty where `Optimiser.pull`
        doesn't look at it.
    rows : of the batch, for each of `m` runs where these have rows of their own. size : |S_t|.
    """

    @property
    def before(self) -> Before: ...

    @property
    def rows(self) -> Int[Tensor, "*m b"]: ...

    @property
    def size(self) -> int: ...

    def product(
        self, directions: Float[Tensor, "q p"]
    ) -> tuple[Float[Tensor, "q b"], Float[Tensor, "q p"]]:
        """(1 / |S_t|) <grad l_i, direction> of each row, and H_t direction."""
        ...

    def pushed(self, directions: Float[Tensor, "q p"]) -> Float[Tensor, "q b"]:
        """The first of `product` alone."""
        ...


def linearised(
    objective: Objective, trajectory: Trajectory, since: int = 0
) -> Iterator[Linearised]:
    """The steps of a run from the last back to `since`.

    Parameters
    ----------
    objective : the trajectory's, or one whose activations bend otherwise.
    """
    for stretch in trajectory.stretches(since):
        if objective.chain is not None and objective.augmentation is None:
            yield from chained((objective,), (trajectory,), (stretch,))
            continue
        kind = ByAutograd if objective.layers is None else OfLayers
        for offset in reversed(range(len(stretch))):
            yield kind.of(objective, trajectory, stretch, offset)


@dataclass(frozen=True)
class ByAutograd:
    """A step of any network, by weighted double backward.

    With weights c_i on the rows' losses, g = grad sum_i c_i l_i; differentiating <g, direction>
    by c gives the inner products, by theta (at c = 1 / b) the Hessian's product: no gradient
    of a single row is ever formed.
    """

    before: Before
    rows: Int[Tensor, " b"]
    flats: Float[Tensor, "1 p"]
    weights: Float[Tensor, " b"]
    gradient: Float[Tensor, "1 p"]

    @classmethod
    def of(
        cls, objective: Objective, trajectory: Trajectory, stretch: Stretch, offset: int
    ) -> "ByAutograd":
        schedule, t = trajectory.schedule, stretch.first + offset
        rows, flats = schedule.batch(t), stretch.thetas[offset : offset + 1]
        state, rate = stretch.states[offset : offset + 1], schedule.rates[t]
        leaf = flats.detach().requires_grad_()
        weights = flats.new_full((len(rows),), 1 / len(rows)).requires_grad_()
        total = objective.losses(leaf, rows, schedule.epoch(t))[0] @ weights
        (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
        before = Before(flats, state, gradient.detach(), rate, t)
        return cls(before, rows, leaf, weights, gradient)

    @property
    def size(self) -> int:
        return len(self.rows)

    def product(
        self, directions: Float[Tensor, "q p"]
    ) -> tuple[Float[Tensor, "q b"], Float[Tensor, "q p"]]:
        products, curved = zip(
            *(self._grads(d, (self.weights, self.flats)) for d in directions), strict=True
        )
        return torch.stack(products) / self.size, torch.cat(curved)

    def pushed(self, directions: Float[Tensor, "q p"]) -> Float[Tensor, "q b"]:
        products = [self._grads(d, (self.weights,))[0] for d in directions]
        return torch.stack(products) / self.size

    def _grads(
        self, direction: Float[Tensor, " p"], leaves: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.gradient[0] @ direction, leaves, retain_graph=True)


@dataclass(frozen=True)
class OfLayers:
    """A step of one run of a network of layers in sequence, by R{} written out.

    Attributes
    ----------
    passed : the step's forward and backward pass.
    """

    before: Before
    rows: Int[Tensor, " b"]
    objective: Objective
    passed: Pass

    @classmethod
    def of(
        cls, objective: Objective, trajectory: Trajectory, stretch: Stretch, offset: int
    ) -> "OfLayers":
        schedule, t = trajectory.schedule, stretch.first + offset
        rows, layers = schedule.batch(t), objective.layers
        flats = stretch.thetas[offset : offset + 1]
        assert layers is not None
        inputs = objective.inputs(rows, schedule.epoch(t))
        parameters = list(unflatten(objective.module, flats[0]).values())
        shares = flats.new_full((len(rows),), 1 / len(rows))
        passed = Pass.of(layers, parameters, inputs, objective.samples.targets[rows], shares)
        gradient = flats.new_zeros(1, 0)
        if not trajectory.optimiser.linear:
            gradient = passed.gradient()[None] + objective.weight_decay * flats
        state = stretch.states[offset : offset + 1]
        objective.calls.forward += len(rows)
        objective.calls.backward += 2 * len(rows)
        before = Before(flats, state, gradient, schedule.rates[t], t)
        return cls(before, rows, objective, passed)

    @property
    def size(self) -> int:
        return len(self.rows)

    def product(
        self, directions: Float[Tensor, "q p"]
    ) -> tuple[Float[Tensor, "q b"], Float[Tensor, "q p"]]:
        parts = [self.passed.product(self._shaped(direction)) for direction in directions]
        products, curved = (torch.stack(values) for values in zip(*parts, strict=True))
        curved = curved.add_(directions, alpha=self.objective.weight_decay)
        return self._penalised(products, directions), curved

    def pushed(self, directions: Float[Tensor, "q p"]) -> Float[Tensor, "q b"]:
        products = [self.passed.pushed(self._shaped(direction))[0] for direction in directions]
        return self._penalised(torch.stack(products), directions)

    def _shaped(self, direction: Float[Tensor, " p"]) -> list[Tensor]:
        return list(unflatten(self.objective.module, direction).values())

    def _penalised(
        self, products: Float[Tensor, "q b"], directions: Float[Tensor, "q p"]
    ) -> Float[Tensor, "q b"]:
        inner = directions @ self.before.theta[0]
        return products.add_(inner[:, None], alpha=self.objective.weight_decay) / self.size


@dataclass(frozen=True)
class OfChain:
    """A step of `m` runs of a chain of linear layers, from a tape made for many steps at once.

    Attributes
    ----------
    tape : of the runs. weights : 1 / |S_t| on rows, 0 on what fills up a smaller batch.
    decay : the penalty's, of each run; None where no run has one.
    """

    before: Before
    rows: Int[Tensor, "*m b"]
    size: int
    tape: Tape
    weights: Float[Tensor, "m b"]
    decay: Float[Tensor, "m 1"] | None

    def product(
        self, directions: Float[Tensor, "q p"]
    ) -> tuple[Float[Tensor, "q b"], Float[Tensor, "q p"]]:
        products, curved = self._tape(directions).product(directions)
        if self.decay is not None:
            curved = curved.addcmul_(directions, self.decay)
        return self._weighted(products, directions), curved

    def pushed(self, directions: Float[Tensor, "q p"]) -> Float[Tensor, "q b"]:
        return self._weighted(self._tape(directions).pushed(directions), directions)

    def _tape(self, directions: Float[Tensor, "q p"]) -> Tape:
        count = directions.shape[0]
        return self.tape if count == self.tape.flats.shape[0] else self.tape.expand(count)

    def _weighted(
        self, products: Float[Tensor, "q b"], directions: Float[Tensor, "q p"]
    ) -> Float[Tensor, "q b"]:
        if self.decay is not None:
            inner = (directions * self.tape.flats).sum(1, keepdim=True)
            products = products.addcmul_(inner, self.decay)
        return products * self.weights


def chained(
    objectives: Sequence[Objective],
    trajectories: Sequence[Trajectory],
    stretches: Sequence[Stretch],
) -> Iterator[OfChain]:
    """The steps of a stretch, from the last to the first, of several runs in step.

    The runs have networks, batch sizes and rates in common; rows, weight decay, order and start
    are their own.
    The forward and backward passes of many steps are one batch, for all parameters are known.
    """
    objective, schedule = objectives[0], trajectories[0].schedule
    chain, first, length = objective.chain, stretches[0].first, len(stretches[0])
    assert chain is not None
    steps = range(first, first + length)
    bounds = schedule.bounds[first : first + length + 1]
    batch = max(after - before for before, after in zip(bounds[:-1], bounds[1:], strict=True))
    numbers = objective.samples.inputs[0].numel() + 3 * sum(out for out, _ in chain.sizes)
    together = max(1, TAPE_NUMBERS // (len(objectives) * batch * numbers))
    for end in range(length, 0, -together):
        start = max(end - together, 0)
        yield from _tape_steps(chain, objectives, trajectories, stretches, steps[start:end], batch)


def _tape_steps(
    chain: Chain,
    objectives: Sequence[Objective],
    trajectories: Sequence[Trajectory],
    stretches: Sequence[Stretch],
    steps: range,
    batch: int,
) -> Iterator[OfChain]:
    runs, schedule, optimiser = len(objectives), trajectories[0].schedule, trajectories[0].optimiser
    here = slice(steps.start - stretches[0].first, steps.stop - stretches[0].first)
    flats = torch.stack([s.thetas[here] for s in stretches], dim=1)
    states = torch.stack([s.states[here] for s in stretches], dim=1)
    padded = [_padded(t.schedule, steps, batch) for t in trajectories]
    rows, there = torch.stack([r for r, _ in padded], dim=1), padded[0][1]
    inputs, targets = (
        torch.stack([value[rows[:, r]] for r, value in enumerate(values)], dim=1)
        for values in (
            [o.samples.inputs.flatten(1) for o in objectives],
            [o.samples.targets for o in objectives],
        )
    )
    decays = flats.new_tensor([o.weight_decay for o in objectives])[:, None]
    sizes = there.sum(1)
    weights = (there.to(flats.dtype) / sizes[:, None])[:, None].expand(-1, runs, -1)
    tape = chain.tape(
        flats.flatten(0, 1),
        inputs.flatten(0, 1).transpose(1, 2).contiguous(),
        targets.flatten(0, 1),
        weights.reshape(-1, batch),
    )
    gradients = flats.new_zeros(len(steps), runs, 0)
    if not optimiser.linear:
        gradients = tape.gradients().view_as(flats) + decays * flats
    for own in objectives:
        own.calls.forward += int(sizes.sum())
        own.calls.backward += 2 * int(sizes.sum())
    tapes, counts, decay = tape.split(runs), sizes.tolist(), decays if decays.any() else None
    for i in reversed(range(len(steps))):
        t = steps[i]
        before = Before(flats[i], states[i], gradients[i], schedule.rates[t], t)
        own_rows = rows[i] if runs > 1 else rows[i, 0]
        yield OfChain(before, own_rows, counts[i], tapes[i], weights[i], decay)


def _padded(
    schedule: Schedule, steps: range, batch: int
) -> tuple[Int[Tensor, "steps b"], Bool[Tensor, "steps b"]]:
    """The rows of each step, row 0 filling up the smaller batches, and which are rows."""
    order = schedule.order
    bounds = order.new_tensor(schedule.bounds[steps.start : steps.stop + 1])
    places = bounds[:-1, None] + torch.arange(batch, device=order.device)
    there = places < bounds[1:, None]
    return torch.where(there, order[places.clamp_max(len(order) - 1)], 0), there

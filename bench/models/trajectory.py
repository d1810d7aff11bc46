"""The recorded run of SGD that trained a model: replayed, walked back, run without rows.

Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 2-4.
"""

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.clock import Calls
from bench.data import Samples
from bench.models.augmentation import Augmentation
from bench.models.chain import Chain
from bench.models.chain_runs import ChainRuns, Step
from bench.models.layers import Layer, layers_of
from bench.models.losses import row_losses
from bench.models.optimiser import PLAIN, After, Before, Optimiser, Plain
from bench.models.same_bits import known, mean_gradient
from bench.models.stack import outputs, stackable

Loss = Callable[[Float[Tensor, "*m b k"], Tensor], Float[Tensor, "*m b"]]
"""(outputs of the module, targets) -> one loss a row."""

Checkpoints = Literal["every_step", "every_epoch", "sqrt"]
"""Which steps of a run are kept. `sqrt`: about the root of their number, equally far apart."""

CHUNK_NUMBERS = 2**18
"""Parameters of all models that are stepped together: few enough to stay in a core's cache."""

REPLAY_NUMBERS = 2**26
"""Parameters and states of one replayed stretch: 256 MiB in float32. A longer one is halved and
its halves replayed each for itself."""


@dataclass(frozen=True)
class Objective:
    """What training minimises: each row's loss plus weight_decay / 2 |theta|^2.

    A row's loss is its own: no other row of the batch changes it. Batch norm is thus fixed
    (`bench.models.fixed_norm`), its statistics being buffers of the module.

    Attributes
    ----------
    module : the architecture, in eval mode; its own weights don't matter.
    loss : one loss a row, without the penalty.
    samples : the training rows.
    weight_decay : of the penalty in each row's loss.
    augmentation, seed : what training does to its inputs, by epoch and row; nothing if None.
    calls : counts of the rows that went through any of the models.
    """

    module: nn.Module
    loss: Loss
    samples: Samples
    weight_decay: float = 0.0
    augmentation: Augmentation | None = None
    seed: int = 0
    calls: Calls = field(default_factory=Calls)

    def losses(
        self, flats: Float[Tensor, "m p"], rows: Tensor, epoch: int | None = None
    ) -> Float[Tensor, "m b"]:
        """The training losses of `rows` in each of `m` models, the penalty included.

        Parameters
        ----------
        epoch : inputs as they are seen in it; not augmented unless given.
        """
        penalties = self.weight_decay / 2 * flats.square().sum(1, keepdim=True)
        found = self.outputs(flats, self.inputs(rows, epoch))
        return self.loss(found, self.samples.targets[rows]) + penalties

    def inputs(self, rows: Tensor, epoch: int | None = None) -> Float[Tensor, "b *features"]:
        """Inputs of `rows`, as `losses` sees them."""
        inputs = self.samples.inputs.index_select(0, rows)
        if self.augmentation is not None and epoch is not None:
            inputs = self.augmentation(inputs, rows, epoch, self.seed)
        # Channels last in memory: convolutions and poolings of few channels take half the time.
        return inputs.movedim(1, 3).contiguous().movedim(3, 1) if inputs.ndim == 4 else inputs

    def to(self, device: str | torch.device) -> "Objective":
        """The same on that device; the module is copied."""
        module = copy.deepcopy(self.module).to(device)
        return replace(self, module=module, samples=self.samples.to(device))

    @cached_property
    def chain(self) -> Chain | None:
        """The network as a chain whose derivatives are written out, where it is one."""
        return Chain.of(self.module) if self.loss is row_losses else None

    @cached_property
    def _same_bits(self) -> Chain | None:
        """The chain where a step of training can be written out with autograd's bits."""
        found = self.chain is not None and known(self.chain, self.samples)
        return self.chain if found else None

    @cached_property
    def layers(self) -> tuple[Layer, ...] | None:
        """The network as layers whose derivatives are written out, where it is a sequence."""
        return layers_of(self.module) if self.loss is row_losses else None

    def gradients(
        self,
        flats: Float[Tensor, "m p"],
        rows: Tensor,
        epoch: int,
        keep: Bool[Tensor, "m n"] | None = None,
    ) -> Float[Tensor, "m p"]:
        """The sum of the kept rows' gradients over the number of all `rows`, for each model."""
        # Written out, convolutions would gain nothing: they take their time themselves.
        if keep is None and flats.shape[0] == 1 and self._same_bits is not None:
            return self._mean(self._same_bits, flats, rows, epoch)
        if keep is not None and self.chain is not None:
            shares = keep.index_select(1, rows).to(flats.dtype).div_(len(rows))
            found = self._written_out(flats, rows, epoch, shares)
            return found.addcmul_(flats, shares.sum(1, keepdim=True), value=self.weight_decay)
        flats = flats.detach().requires_grad_()
        with repeatable(flats):
            losses = self.losses(flats, rows, epoch)
            if keep is not None:
                losses = losses * keep[:, rows]
            (gradients,) = torch.autograd.grad(losses.sum() / len(rows), flats)
        return gradients

    def _mean(
        self, chain: Chain, flats: Float[Tensor, "1 p"], rows: Tensor, epoch: int
    ) -> Float[Tensor, "1 p"]:
        """The gradient of training and replay, with autograd's bits."""
        self.calls.forward += rows.shape[0]
        self.calls.backward += rows.shape[0]
        inputs, targets = self.inputs(rows, epoch), self.samples.targets.index_select(0, rows)
        return mean_gradient(chain, flats, inputs.flatten(1), targets, self.weight_decay)

    def _written_out(
        self, flats: Float[Tensor, "m p"], rows: Tensor, epoch: int, shares: Float[Tensor, "m b"]
    ) -> Float[Tensor, "m p"]:
        """Gradients of the sums of the rows' losses times `shares`, without the penalty."""
        self.calls.forward += shares.numel()
        self.calls.backward += shares.numel()
        assert self.chain is not None
        inputs, targets = self.inputs(rows, epoch), self.samples.targets.index_select(0, rows)
        one = inputs.flatten(1).T[None], targets[None], shares[None]
        return self.chain.gradients(flats[None], *one)[0]

    def steps(
        self, schedule: "Schedule", steps: range, keep: Bool[Tensor, "m n"]
    ) -> Iterator[Step]:
        """What runs in step see of the rows, counted."""
        for t in steps:
            rows = schedule.batch(t)
            inputs = self.inputs(rows, schedule.epoch(t)).flatten(1)
            targets = self.samples.targets.index_select(0, rows)
            self.calls.forward += keep.shape[0] * rows.shape[0]
            self.calls.backward += keep.shape[0] * rows.shape[0]
            kept = keep.index_select(1, rows).to(inputs.dtype)
            yield Step(inputs, targets, kept, schedule.rates[t])

    def outputs(
        self, flats: Float[Tensor, "m p"], inputs: Float[Tensor, "b *features"]
    ) -> Float[Tensor, "m b k"]:
        """Outputs of the `m` models with parameters `flats`, counted, differentiable."""
        found = outputs(self.module, flats, inputs)
        rows = found.shape[0] * found.shape[1]
        self.calls.forward += rows
        if found.requires_grad:
            found.register_hook(lambda _gradient: self._count_backward(rows))
        return found

    def _count_backward(self, rows: int) -> None:
        self.calls.backward += rows


@dataclass(frozen=True)
class Schedule:
    """Which rows SGD takes at which rate.

    Attributes
    ----------
    order : the rows of all steps one after the other (one tensor: a thousand small ones take
        long to be sent to another process).
    bounds : S_t is order[bounds[t] : bounds[t + 1]], for T steps.
    rates : the learning rate of each step.
    steps_per_epoch : a divisor of T.
    """

    order: Int[Tensor, " visits"]
    bounds: tuple[int, ...]
    rates: tuple[float, ...]
    steps_per_epoch: int

    @classmethod
    def of(
        cls, batches: Sequence[Int[Tensor, " _"]], rates: Sequence[float], steps_per_epoch: int
    ) -> "Schedule":
        """The schedule of these batches."""
        bounds = accumulate((len(rows) for rows in batches), initial=0)
        return cls(torch.cat(list(batches)), tuple(bounds), tuple(rates), steps_per_epoch)

    def __len__(self) -> int:
        return len(self.rates)

    def to(self, device: str | torch.device) -> "Schedule":
        """The same on that device."""
        return replace(self, order=self.order.to(device))

    def batch(self, t: int) -> Int[Tensor, " b"]:
        """S_t."""
        return self.order[self.bounds[t] : self.bounds[t + 1]]

    def epoch(self, t: int) -> int:
        """The epoch of step `t`, from 0."""
        return t // self.steps_per_epoch


@dataclass(frozen=True)
class Stretch:
    """A piece of a run, replayed: its first step and what stood before each step and after all.

    Attributes
    ----------
    first : the step that begins at `thetas[0]`.
    thetas, states : one more than there are steps.
    """

    first: int
    thetas: Float[Tensor, "length_plus_1 p"]
    states: Float[Tensor, "length_plus_1 slots p"]

    def __len__(self) -> int:
        return len(self.thetas) - 1


@dataclass(frozen=True)
class Trajectory:
    """A run of SGD: theta[t+1] = theta[t] - (rate_t / |S_t|) sum_{i in S_t} grad l_i(theta[t]),
    or the update of another optimiser with that mean gradient.

    l_i is the row's loss, penalty included. A row left out of training is left out of the sum,
    while the divisor stays |S_t| (the paper's counterfactual, Eq. 3).

    Attributes
    ----------
    objective : whose losses l_i are.
    schedule : S_t and rate_t.
    snapshots : theta[0], theta[stride], ..., theta[T], flat.
    stride : steps from one snapshot to the next (the last may be nearer); what lies between is
        replayed when wanted.
    optimiser : what the gradient does.
    states : what the optimiser remembered at each snapshot; None where it remembers nothing.
    digests : of theta[t + 1] for each step t, by which a replay is verified. Without them the
        snapshots alone verify it.
    fresh : whether this program has just run it, so that a replay would tell nothing.
    """

    objective: Objective
    schedule: Schedule
    snapshots: Float[Tensor, "kept p"]
    stride: int = 1
    optimiser: Optimiser = PLAIN
    states: Float[Tensor, "kept slots p"] | None = None
    digests: Int[Tensor, " steps"] | None = None
    fresh: bool = False

    @property
    def final(self) -> Float[Tensor, " p"]:
        """theta[T]."""
        return self.snapshots[-1]

    @property
    def bytes(self) -> int:
        """Size of what is kept of the run: snapshots, states, digests and the order of rows."""
        kept = [self.snapshots, self.states, self.digests, self.schedule.order.int()]
        return sum(value.nbytes for value in kept if value is not None)

    @property
    def last_epoch(self) -> int:
        """The step at which the last epoch begins."""
        return len(self.schedule) - self.schedule.steps_per_epoch

    def to(self, device: str | torch.device) -> "Trajectory":
        """The same training on that device: run again there, for another processor rounds
        otherwise, and a run is replayed bit by bit."""
        start = self.snapshots[0].to(device)
        # Not by its name: "cuda" is "cuda:0", too.
        if start.device == self.final.device:
            return self
        objective, schedule = self.objective.to(device), self.schedule.to(device)
        return run(objective, schedule, start, self.stride, self.optimiser)

    def verify(self) -> None:
        """Replay the run where every step of it is kept, so that nothing else would, once.

        With fewer snapshots every walk through the run replays it, and `stretches` raises.

        Raises
        ------
        ValueError
            where the replay isn't the recorded run, with the first step that differs.
        """
        if self.stride == 1 and not self.fresh and (where := self._difference()):
            raise ValueError(where)

    def stretches(self, since: int = 0) -> Iterator[Stretch]:
        """The run from its end back to step `since`, piece by piece, each replayed bit by bit.

        Raises
        ------
        ValueError
            where a replay isn't the recorded run, with the first step that differs.
        """
        if self.stride == 1:
            yield Stretch(since, self.snapshots[since:], self._states[since:])
            return
        for k in reversed(range(since // self.stride, len(self.snapshots) - 1)):
            first, last = k * self.stride, min((k + 1) * self.stride, len(self.schedule))
            passed = self._replay_back(self._kept(k), range(first, last))
            for stretch in passed:
                cut = max(since - stretch.first, 0)
                if cut >= len(stretch):
                    return
                yield Stretch(stretch.first + cut, stretch.thetas[cut:], stretch.states[cut:])

    def backwards(self) -> Iterator[tuple[Float[Tensor, " p"], Tensor, float]]:
        """(theta[t], S_t, rate_t) from the last step to the first; raises as `stretches`."""
        for stretch in self.stretches():
            for offset in reversed(range(len(stretch))):
                t = stretch.first + offset
                yield stretch.thetas[offset], self.schedule.batch(t), self.schedule.rates[t]

    def at(self, t: int) -> After:
        """theta[t] and the optimiser's state before step `t`, of one run: `1 p`, `1 slots p`."""
        if t == len(self.schedule):
            return self._kept(len(self.snapshots) - 1)
        start = t - t % self.stride
        return self._end(self._kept(start // self.stride), range(start, t))

    def retrain(
        self,
        keep: Bool[Tensor, "m n_train"],
        since: int = 0,
        until: int | None = None,
        end: int | None = None,
    ) -> Float[Tensor, "m p"]:
        """Final parameters of the runs on the kept rows alone: same start, order and rates.

        Parameters
        ----------
        keep : one run a row.
        since : the step up to which the recorded run is followed.
        until : the step from which all rows are seen again; never unless given.
        end : the step before which the runs stop; the recorded run's end unless given.
        """
        start, keep = self.at(since), keep.to(self.final.device)
        together = CHUNK_NUMBERS // len(self.final) if stackable(self.objective.module) else 1
        end = len(self.schedule) if end is None else end
        back = end if until is None else until
        finals = []
        for part in keep.split(max(together, 1)):
            starts = After(*(value.expand(len(part), *value.shape[1:]) for value in start))
            left = self._left(starts, range(since, back), part)
            finals.append(self._left(left, range(back, end), torch.ones_like(part)).theta)
        return torch.cat(finals)

    @property
    def _states(self) -> Float[Tensor, "kept slots p"]:
        if self.states is None:
            return self.snapshots.new_zeros(len(self.snapshots), 0, self.snapshots.shape[1])
        return self.states

    def _kept(self, k: int) -> After:
        return After(self.snapshots[k : k + 1], self._states[k : k + 1])

    def _end(
        self, start: After, steps: range, keep: Bool[Tensor, "m n_train"] | None = None
    ) -> After:
        """Where the runs from `start` are after `steps`."""
        passed = descend(self.objective, self.schedule, start, steps, keep, self.optimiser)
        return deque(passed, maxlen=1).pop() if steps else start

    def _left(self, start: After, steps: range, keep: Bool[Tensor, "m n_train"]) -> After:
        """Where the runs on the kept rows are after `steps`."""
        if not steps:
            return start
        objective, schedule = self.objective, self.schedule
        if objective.chain is not None and type(self.optimiser) is Plain:
            runs = ChainRuns.of(objective.chain, start.theta, objective.weight_decay)
            found = runs.descend(objective.steps(schedule, steps, keep))
            if finite(found):
                return After(found, start.state)
        # Once more, step by step, where one diverged: that tells where.
        return self._end(start, steps, keep)

    def _replay_back(self, start: After, steps: range) -> Iterator[Stretch]:
        """Stretches of `steps` from the last to the first, in pieces that fit the memory."""
        numbers = start.theta.numel() + start.state.numel()
        if len(steps) > 1 and len(steps) * numbers > REPLAY_NUMBERS:
            middle = len(steps) // 2
            yield from self._replay_back(self._end(start, steps[:middle]), steps[middle:])
            yield from self._replay_back(start, steps[:middle])
            return
        passed = descend(self.objective, self.schedule, start, steps, None, self.optimiser)
        thetas, states = zip(start, *passed, strict=True)
        stretch = Stretch(steps.start, torch.cat(thetas), torch.cat(states))
        if not self._verified(stretch):
            raise ValueError(self._difference() or "no two replays of the run are alike here")
        yield stretch

    def _verified(self, stretch: Stretch) -> bool:
        """Whether the stretch is the recorded run, as far as digests and snapshots tell."""
        end = stretch.first + len(stretch)
        if self.digests is not None:
            found = torch.stack([digest(theta) for theta in stretch.thetas[1:]])
            if not torch.equal(found, self.digests[stretch.first : end]):
                return False
        if end % self.stride and end < len(self.schedule):
            return True
        k = -(-end // self.stride)
        same_theta = torch.equal(stretch.thetas[-1], self.snapshots[k])
        return same_theta and torch.equal(stretch.states[-1], self._states[k])

    def _difference(self) -> str:
        """Where a replay of the whole run first leaves what was recorded; empty if nowhere."""
        steps, last = range(len(self.schedule)), len(self.schedule) - 1
        passed = descend(self.objective, self.schedule, self._kept(0), steps, None, self.optimiser)
        for t, after in zip(steps, passed, strict=True):
            here = f"the replay first differs from the recorded run at step {t}"
            if self.digests is not None and digest(after.theta[0]) != self.digests[t]:
                return f"{here}: {_WHY}"
            if (t + 1) % self.stride and t < last:
                continue
            k = -(-(t + 1) // self.stride)
            if not torch.equal(after.theta[0], self.snapshots[k]):
                first = (k - 1) * self.stride // self.schedule.steps_per_epoch
                epoch = f"replaying epoch {first} (counted from 0)"
                end = f"{epoch} doesn't end where the recorded run did"
                return f"{here if self.stride == 1 else end}: {_WHY}"
            if not torch.equal(after.state[0], self._states[k]):
                return f"{here}, in the optimiser's state: {_WHY}"
        return ""


_WHY = (
    "other data, another processor, number of threads or torch version; clear the cache's folder "
    "'models' to train again"
)


def repeatable(like: Tensor) -> AbstractContextManager[None]:
    """Where a GPU's convolutions come out the same to the last bit each time, in float32.

    By default they don't, so that no replay would meet its run, and they round inputs to eleven
    bits, which takes the parameters .5 % away within three epochs. Nothing changes on a CPU.
    """
    if not like.is_cuda:
        return nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def finite(values: Tensor) -> bool:
    """Whether all `values` are finite; their sum, where it is finite, says so in one pass."""
    return math.isfinite(values.sum()) or bool(torch.isfinite(values).all())


def digest(theta: Float[Tensor, " p"]) -> Int[Tensor, ""]:
    """A number that changes with any bit of `theta`, but for chance: a sum of its bits' words,
    each times an odd number of its own, modulo 2^64."""
    words = theta.view(torch.int64 if theta.dtype == torch.float64 else torch.int32).long()
    factors = torch.arange(1, 2 * len(words), 2, device=words.device) * 0x9E3779B97F4A7C1
    return (words * factors).sum()


def checkpoint_stride(policy: Checkpoints, schedule: Schedule) -> int:
    """Steps from one snapshot to the next under a policy."""
    if policy == "every_step":
        return 1
    if policy == "every_epoch":
        return schedule.steps_per_epoch
    return math.isqrt(max(len(schedule) - 1, 0)) + 1


def run(
    objective: Objective,
    schedule: Schedule,
    start: Float[Tensor, " p"],
    stride: int = 1,
    optimiser: Optimiser = PLAIN,
) -> Trajectory:
    """Train from `start`, keeping every `stride`-th step and the last.

    Raises
    ------
    ValueError
        with the step at which the parameters stopped being finite.
    """
    begin = After(start[None], start.new_zeros(1, optimiser.slots, len(start)))
    kept, digests, steps = [begin], [], range(len(schedule))
    passed = descend(objective, schedule, begin, steps, None, optimiser)
    for t, after in enumerate(passed, start=1):
        if t % stride == 0 or t == len(schedule):
            kept.append(after)
        if stride > 1:
            digests.append(digest(after.theta[0]))
    snapshots, states = (torch.cat(values) for values in zip(*kept, strict=True))
    return Trajectory(
        objective,
        schedule,
        snapshots,
        stride,
        optimiser,
        states if optimiser.slots else None,
        torch.stack(digests) if digests else None,
    )


def descend(
    objective: Objective,
    schedule: Schedule,
    start: After,
    steps: range,
    keep: Bool[Tensor, "m n_train"] | None = None,
    optimiser: Optimiser = PLAIN,
) -> Iterator[After]:
    """Parameters and state of `m` runs after each of `steps`: the loop of training and replay, and
    of retraining but for chains by plain SGD (`bench.models.chain_runs`).

    Parameters
    ----------
    start : where the runs begin, `m p` and `m slots p`.
    keep : the rows that each run may see; all, unless given.
    """
    flats, state = start
    for t in steps:
        rows, rate = schedule.batch(t), schedule.rates[t]
        gradients = objective.gradients(flats, rows, schedule.epoch(t), keep)
        flats, state = optimiser.update(Before(flats, state, gradients, rate, t))
        if not finite(flats):
            raise ValueError(
                f"training diverged at step {t} of {len(schedule)} (learning rate {rate:g}): "
                "lower the rate, or look for values in the inputs that aren't finite"
            )
        yield After(flats, state)

"""The recorded run of SGD that trained a model: replayed, walked back, run without rows.

Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 2-4.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.clock import Calls
from bench.data import Samples
from bench.models.stack import outputs, stackable

Loss = Callable[[Float[Tensor, "*m b k"], Tensor], Float[Tensor, "*m b"]]
"""(outputs of the module, targets) -> one loss a row."""

CHUNK_NUMBERS = 2**20
"""Parameters of all models that are stepped together: few enough to stay in a core's cache."""


@dataclass(frozen=True)
class Objective:
    """What training minimises: each row's loss plus weight_decay / 2 |theta|^2.

    Attributes
    ----------
    module : the architecture; its own weights don't matter.
    loss : one loss a row, without the penalty.
    samples : the training rows.
    weight_decay : of the penalty in each row's loss.
    calls : counts of the rows that went through any of the models.
    """

    module: nn.Module
    loss: Loss
    samples: Samples
    weight_decay: float = 0.0
    calls: Calls = field(default_factory=Calls)

    def losses(self, flats: Float[Tensor, "m p"], rows: Tensor) -> Float[Tensor, "m b"]:
        """The training losses of `rows` in each of `m` models, the penalty included."""
        penalties = self.weight_decay / 2 * flats.square().sum(1, keepdim=True)
        found = self.outputs(flats, self.samples.inputs[rows])
        return self.loss(found, self.samples.targets[rows]) + penalties

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

    def batch(self, t: int) -> Int[Tensor, " b"]:
        """S_t."""
        return self.order[self.bounds[t] : self.bounds[t + 1]]


@dataclass(frozen=True)
class Trajectory:
    """A run of SGD: theta[t+1] = theta[t] - (rate_t / |S_t|) sum_{i in S_t} grad l_i(theta[t]).

    l_i is the row's loss, penalty included. A row left out of training is left out of the sum,
    while the divisor stays |S_t| (the paper's counterfactual, Eq. 3).

    Attributes
    ----------
    objective : whose losses l_i are.
    schedule : S_t and rate_t.
    snapshots : theta[0], theta[stride], ..., theta[T], flat.
    stride : steps from one snapshot to the next; what lies between is replayed when wanted.
    """

    objective: Objective
    schedule: Schedule
    snapshots: Float[Tensor, "kept p"]
    stride: int = 1

    @property
    def final(self) -> Float[Tensor, " p"]:
        """theta[T]."""
        return self.snapshots[-1]

    @property
    def last_epoch(self) -> int:
        """The step at which the last epoch begins."""
        return len(self.schedule) - self.schedule.steps_per_epoch

    def backwards(self) -> Iterator[tuple[Float[Tensor, " p"], Tensor, float]]:
        """(theta[t], S_t, rate_t) from the last step to the first.

        Raises
        ------
        ValueError
            where a replay doesn't end bit by bit at the recorded snapshot.
        """
        for k in reversed(range(len(self.snapshots) - 1)):
            passed = self._replay(k)
            if not torch.equal(passed[-1], self.snapshots[k + 1]):
                raise ValueError(self._difference())
            for offset in reversed(range(self.stride)):
                t = k * self.stride + offset
                yield passed[offset], self.schedule.batch(t), self.schedule.rates[t]

    def retrain(self, keep: Bool[Tensor, "m n_train"], since: int = 0) -> Float[Tensor, "m p"]:
        """Final parameters of the runs on the kept rows alone: same start, order and rates.

        Parameters
        ----------
        keep : one run a row.
        since : the step up to which the recorded run is followed; one with a snapshot.
        """
        if since % self.stride:
            raise ValueError(f"no snapshot at step {since}: wanted a multiple of {self.stride}")
        start = self.snapshots[since // self.stride]
        together = CHUNK_NUMBERS // len(start) if stackable(self.objective.module) else 1
        steps = range(since, len(self.schedule))
        finals = []
        for part in keep.split(max(together, 1)):
            starts = start.expand(len(part), -1)
            passed = descend(self.objective, self.schedule, starts, steps, part)
            finals.append(deque(passed, maxlen=1).pop())
        return torch.cat(finals)

    def _replay(self, k: int) -> Float[Tensor, "stride_plus_1 p"]:
        """theta[k stride], ..., theta[(k + 1) stride]."""
        if self.stride == 1:
            return self.snapshots[k : k + 2]
        steps = range(k * self.stride, (k + 1) * self.stride)
        passed = descend(self.objective, self.schedule, self.snapshots[k : k + 1], steps)
        return torch.cat([self.snapshots[k : k + 1], *passed])

    def _difference(self) -> str:
        first = next(
            k
            for k in range(len(self.snapshots) - 1)
            if not torch.equal(self._replay(k)[-1], self.snapshots[k + 1])
        )
        epoch = first * self.stride // self.schedule.steps_per_epoch
        return (
            f"replaying epoch {epoch} (counted from 0) doesn't end where the recorded run did: "
            "other data, another processor, number of threads or torch version; train again"
        )


def run(
    objective: Objective, schedule: Schedule, start: Float[Tensor, " p"], stride: int = 1
) -> Trajectory:
    """Train from `start`, keeping every `stride`-th step.

    Raises
    ------
    ValueError
        with the step at which the parameters stopped being finite.
    """
    snapshots = [start[None]]
    steps = range(len(schedule))
    for t, flats in enumerate(descend(objective, schedule, start[None], steps), start=1):
        if t % stride == 0:
            snapshots.append(flats)
    return Trajectory(objective, schedule, torch.cat(snapshots), stride)


def descend(
    objective: Objective,
    schedule: Schedule,
    flats: Float[Tensor, "m p"],
    steps: range,
    keep: Bool[Tensor, "m n_train"] | None = None,
) -> Iterator[Float[Tensor, "m p"]]:
    """The parameters of `m` runs after each of `steps`: the one loop that training,
    replay and retraining share.

    Parameters
    ----------
    flats : where the runs begin.
    keep : the rows that each run may see; all, unless given.
    """
    for t in steps:
        rows, rate = schedule.batch(t), schedule.rates[t]
        flats = flats.detach().requires_grad_()
        losses = objective.losses(flats, rows)
        if keep is not None:
            losses = losses * keep[:, rows]
        (gradients,) = torch.autograd.grad(losses.sum() / len(rows), flats)
        flats = flats.detach() - rate * gradients
        if not torch.isfinite(flats).all():
            raise ValueError(
                f"training diverged at step {t} of {len(schedule)} (learning rate {rate:g}): "
                "lower the rate, or look for values in the inputs that aren't finite"
            )
        yield flats

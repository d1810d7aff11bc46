"""Many runs of one small network at once: an experiment over seeds pays Python's price once.

The runs have architecture, numbers of rows, batch sizes, rates and optimiser in common; data,
weight decay, start and order of rows are their own. Each answer is that of the run by itself, but
for round-off: `bench.models.trajectory.run`, `bench.models.influence.sgd_influence` and
`leave_one_out` are the same for one.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.chain import Chain
from bench.models.influence import Hessian, changes, first_step, walk_back, without_each
from bench.models.linearised import chained
from bench.models.optimiser import PLAIN, After, Before, Optimiser
from bench.models.smoothing import with_smoothed_kinks
from bench.models.trajectory import CHUNK_NUMBERS, Objective, Schedule, Trajectory, finite


@dataclass(frozen=True)
class Together:
    """Data and orders of `s` runs as arrays.

    Attributes
    ----------
    objectives : of the runs. chain : their network. schedule : the first run's, whose batch
        sizes and rates are those of all.
    inputs, targets : of all runs' rows, one after the other. order : row of each visit among them.
    """

    objectives: tuple[Objective, ...]
    chain: Chain
    schedule: Schedule
    inputs: Float[Tensor, "rows d"]
    targets: Tensor
    order: Int[Tensor, "s visits"]

    @classmethod
    def of(cls, objectives: Sequence[Objective], schedules: Sequence[Schedule]) -> "Together":
        """Raises `ValueError` where the runs can't be taken together."""
        first, schedule = objectives[0], schedules[0]
        chain, n = first.chain, len(first.samples)
        if chain is None:
            raise ValueError("runs are taken together where the network is a chain of layers")
        for objective, own in zip(objectives, schedules, strict=True):
            wanted = (chain.sizes, n, schedule.bounds, schedule.rates)
            sizes = objective.chain.sizes if objective.chain is not None else None
            found = (sizes, len(objective.samples), own.bounds, own.rates)
            if found != wanted or objective.augmentation:
                raise ValueError(
                    "runs taken together differ in data, weight decay, start and order alone"
                )
        orders = torch.stack([own.order for own in schedules])
        offsets = torch.arange(0, n * len(objectives), n, device=orders.device)[:, None]
        return cls(
            tuple(objectives),
            chain,
            schedule,
            torch.cat([objective.samples.inputs.flatten(1) for objective in objectives]),
            torch.cat([objective.samples.targets for objective in objectives]),
            orders + offsets,
        )

    def descend(
        self,
        start: After,
        optimiser: Optimiser,
        keep: Bool[Tensor, "s m n"] | None = None,
    ) -> Iterator[After]:
        """Parameters and states of `m` models a run, run after run, after each step."""
        flats, state = start
        runs = len(self.objectives)
        decays = flats.new_tensor([o.weight_decay for o in self.objectives])[:, None, None]
        kept = None if keep is None else keep.to(flats.dtype)
        every = torch.arange(runs, device=flats.device)[:, None]
        for t in range(len(self.schedule)):
            rate, places = self.schedule.rates[t], self._batch(t)
            grouped, b = flats.view(runs, -1, flats.shape[-1]), places.shape[1]
            if kept is None:
                shares = flats.new_full((runs, 1, b), 1 / b)
            else:
                rows = places - every * kept.shape[2]
                shares = kept[every, :, rows].transpose(1, 2) / b
            inputs = self.inputs[places].transpose(1, 2)
            found = self.chain.gradients(grouped, inputs, self.targets[places], shares)
            found = found.addcmul_(grouped, shares.sum(2, keepdim=True) * decays)
            before = Before(flats, state, found.view_as(flats), rate, t)
            flats, state = optimiser.update(before)
            if not finite(flats):
                raise ValueError(
                    f"training diverged at step {t} of {len(self.schedule)} (learning rate "
                    f"{rate:g}) in one of {runs} runs: take them one by one to see in which"
                )
            for objective in self.objectives:
                objective.calls.forward += b * grouped.shape[1]
                objective.calls.backward += b * grouped.shape[1]
            yield After(flats, state)

    def _batch(self, t: int) -> Int[Tensor, "s b"]:
        bounds = self.schedule.bounds
        return self.order[:, bounds[t] : bounds[t + 1]]


def run_many(
    objectives: Sequence[Objective],
    schedules: Sequence[Schedule],
    starts: Float[Tensor, "s p"],
    optimiser: Optimiser = PLAIN,
) -> list[Trajectory]:
    """Train all runs, keeping every step."""
    together = Together.of(objectives, schedules)
    state = starts.new_zeros(len(starts), optimiser.slots, starts.shape[1])
    passed = [After(starts, state), *together.descend(After(starts, state), optimiser)]
    snapshots, states = (torch.stack(values, dim=1) for values in zip(*passed, strict=True))
    return [
        Trajectory(o, s, flats, 1, optimiser, own if optimiser.slots else None)
        for o, s, flats, own in zip(objectives, schedules, snapshots, states, strict=True)
    ]


def influences(
    trajectories: Sequence[Trajectory],
    queries: Float[Tensor, "s p"],
    hessian: Hessian = "exact",
    *,
    epochs: int | None = None,
    kink_smoothing: float | None = None,
) -> Float[Tensor, "s n_train"]:
    """`sgd_influence` of each run with its own query, all runs walked back in step."""
    together = _together(trajectories)
    objectives, n = list(together.objectives), len(trajectories[0].objective.samples)
    if kink_smoothing is not None:
        module = with_smoothed_kinks(objectives[0].module, kink_smoothing)
        objectives = [replace(objective, module=module) for objective in objectives]
    values, since = queries.new_zeros(queries.shape[0], n), first_step(trajectories[0], epochs)
    walks = [trajectory.stretches(since) for trajectory in trajectories]
    steps = (
        step
        for stretches in zip(*walks, strict=True)
        for step in chained(objectives, trajectories, stretches)
    )
    for step, products in walk_back(steps, trajectories[0].optimiser, queries, hessian):
        rows = step.rows if step.rows.ndim == 2 else step.rows[None]
        values.scatter_add_(1, rows, -products)
    return values


def retrain_many(
    trajectories: Sequence[Trajectory], keep: Bool[Tensor, "s m n_train"]
) -> Float[Tensor, "s m p"]:
    """`Trajectory.retrain` of each run, as many at once as stay in a core's cache."""
    runs, models, _ = keep.shape
    numbers = len(trajectories[0].final)
    some = min(models, max(1, CHUNK_NUMBERS // numbers))
    at_once = max(1, CHUNK_NUMBERS // (numbers * some))
    finals = []
    for s in range(0, runs, at_once):
        part = trajectories[s : s + at_once]
        blocks = keep[s : s + at_once].split(some, dim=1)
        finals.append(torch.cat([_retrained(part, block) for block in blocks], dim=1))
    return torch.cat(finals)


def leave_one_outs(
    trajectories: Sequence[Trajectory], samples: Sequence[Samples]
) -> Float[Tensor, "s n_train"]:
    """`leave_one_out` of each run, its loss taken on its own `samples`."""
    n = len(trajectories[0].objective.samples)
    keep = without_each(torch.arange(n), n)
    finals = retrain_many(trajectories, keep.expand(len(trajectories), -1, -1))
    runs = zip(trajectories, finals, samples, strict=True)
    return torch.stack([changes(run.objective, flats, own) for run, flats, own in runs])


def _together(trajectories: Sequence[Trajectory]) -> Together:
    if len({(run.optimiser, run.stride) for run in trajectories}) > 1:
        raise ValueError("runs taken together have one optimiser and keep the same steps")
    objectives = [trajectory.objective for trajectory in trajectories]
    return Together.of(objectives, [trajectory.schedule for trajectory in trajectories])


def _retrained(
    trajectories: Sequence[Trajectory], keep: Bool[Tensor, "s m n"]
) -> Float[Tensor, "s m p"]:
    together, models = _together(trajectories), keep.shape[1]
    starts = torch.cat([run.snapshots[:1].expand(models, -1) for run in trajectories])
    optimiser = trajectories[0].optimiser
    state = starts.new_zeros(len(starts), optimiser.slots, starts.shape[1])
    passed = together.descend(After(starts, state), optimiser, keep)
    return deque(passed, maxlen=1).pop().theta.view(len(trajectories), models, -1)

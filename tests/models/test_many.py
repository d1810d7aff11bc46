from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.augmentation import CropFlip
from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.many import influences, leave_one_outs, retrain_many, run_many
from bench.models.network import CNN, MLP, initial
from bench.models.optimiser import PLAIN, Adam, Decoupled, Momentum
from bench.models.sgd import row_losses
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, run

N, SEEDS = 11, 4
OPTIMISERS = [PLAIN, Momentum(0.8), Momentum(0.8, nesterov=True), Decoupled(Adam(), 0.1)]


def parts(architecture=MLP((4, 3), "tanh"), n_classes=3, shape=(5,)):  # noqa: B008
    """Objective, schedule, start and held-out rows of each seed; batches of 4, 4 and 3.

    Each has a weight decay of its own, the first none.
    """
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        inputs = torch.tensor(rng.normal(size=(N + 6, *shape)))
        targets = torch.tensor(rng.integers(max(n_classes, 2), size=N + 6))
        if not n_classes:
            targets = torch.tensor(rng.normal(size=N + 6))
        module = initial(architecture, torch.Size(shape), max(n_classes, 1), rng=rng).double()
        samples = Samples(inputs, targets, n_classes)
        batches = [torch.tensor(b) for _ in range(3) for b in np.array_split(rng.permutation(N), 3)]
        schedule = Schedule.of(batches, [0.2 / (1 + t) for t in range(9)], 3)
        objective = Objective(module, row_losses, samples.rows(np.arange(N)), 0.02 * seed)
        found.append((objective, schedule, flatten(module), samples.rows(np.arange(N, N + 6))))
    return found


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("architecture", [MLP(), MLP((4, 3), "tanh"), MLP((4,))])
def test_many_runs_are_the_runs_one_by_one(architecture, n_classes, optimiser):
    """Training, influence and leave-one-out of four seeds, in float64 to 1e-10."""
    objectives, schedules, starts, held = zip(*parts(architecture, n_classes), strict=True)
    together = run_many(objectives, schedules, torch.stack(starts), optimiser)
    alone = [
        run(objective, schedule, start, 1, optimiser)
        for objective, schedule, start in zip(objectives, schedules, starts, strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        close(one.snapshots, other.snapshots)
        if optimiser.slots:
            close(one.states, other.states)
    queries = [query_gradient(t.objective, t.final, h) for t, h in zip(alone, held, strict=True)]
    close(
        influences(together, torch.stack(queries)),
        torch.stack([sgd_influence(t, q) for t, q in zip(alone, queries, strict=True)]),
    )
    close(
        leave_one_outs(together, held),
        torch.stack([leave_one_out(t, h) for t, h in zip(alone, held, strict=True)]),
    )


@pytest.mark.parametrize(
    "options",
    [{"hessian": "none"}, {"hessian": "divided_by_batch"}, {"epochs": 2}, {"kink_smoothing": 5.0}],
)
@pytest.mark.parametrize("stride", [1, 3])
def test_influences_have_the_options_of_one_run(options, stride):
    """Each option, on runs that are kept or replayed."""
    runs = [run(o, s, start, stride) for o, s, start, _ in parts(MLP((4,)))]
    queries = torch.randn(SEEDS, len(runs[0].final), dtype=torch.float64)
    expected = [sgd_influence(t, q, **options) for t, q in zip(runs, queries, strict=True)]
    close(influences(runs, queries, **options), torch.stack(expected))


@pytest.mark.parametrize("numbers", [1, 200, 10**6])
def test_chunks_change_nothing(numbers, monkeypatch):
    """However many models share a batch, each is the model retrained by itself."""
    runs = [run(o, s, start) for o, s, start, _ in parts()]
    keep = torch.rand(SEEDS, 5, N, generator=torch.Generator().manual_seed(0)) < 0.7
    expected = torch.stack([t.retrain(k) for t, k in zip(runs, keep, strict=True)])
    monkeypatch.setattr("bench.models.many.CHUNK_NUMBERS", numbers)
    close(retrain_many(runs, keep), expected)


def test_one_run_alone():
    """A single seed is a batch of one."""
    objective, schedule, start, held = parts()[0]
    (found,) = run_many([objective], [schedule], start[None])
    query = query_gradient(objective, found.final, held)
    close(influences([found], query[None])[0], sgd_influence(found, query))


def test_runs_that_differ_are_refused():
    """In rates, in size, in optimiser, or of a network that is no chain."""
    (objective, schedule, start, _), (other, *_), *_ = parts()
    slower = replace(schedule, rates=(0.1,) * 9)
    starts = torch.stack([start, start])
    with pytest.raises(ValueError, match="differ in data, weight decay, start and order alone"):
        run_many([objective, other], [schedule, slower], starts)
    augmented = replace(objective, augmentation=CropFlip())
    with pytest.raises(ValueError, match="differ in data, weight decay, start and order alone"):
        run_many([objective, augmented], [schedule, schedule], starts)
    runs = [run(objective, schedule, start, stride) for stride in (1, 3)]
    with pytest.raises(ValueError, match="one optimiser and keep the same steps"):
        influences(runs, starts)
    conv, schedule, start, _ = parts(CNN((2,), 3), 2, (1, 4, 4))[0]
    with pytest.raises(ValueError, match="a chain of layers"):
        run_many([conv], [schedule], start[None])
    wild = replace(objective, weight_decay=1e300)
    with pytest.raises(ValueError, match="training diverged at step [012] of 9"):
        run_many([wild], [schedule], starts[:1])

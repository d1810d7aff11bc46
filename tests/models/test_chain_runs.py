"""Runs of a chain moved where they lie are the runs of the one loop that all training shares."""

from dataclasses import replace

import pytest
import torch

from bench.data import Samples
from bench.models.losses import row_losses
from bench.models.network import MLP
from bench.models.optimiser import After
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, descend, run

ACTIVATIONS = ["relu", "gelu", "softplus", "tanh"]


def training(widths, activation, n_outputs, weight_decay):
    """Of 20 random rows in batches of 6 and 2, at falling rates, in double precision."""
    torch.manual_seed(1)
    module = MLP(widths, activation).build(torch.Size([3]), max(n_outputs, 1)).double()
    inputs = torch.randn(20, 3, dtype=torch.float64)
    numbers, classes = torch.randn(20).double(), torch.randint(max(n_outputs, 2), (20,))
    samples = Samples(inputs, classes if n_outputs else numbers, max(n_outputs, 2))
    batches = [rows for _ in range(3) for rows in torch.randperm(20).split(6)]
    rates = [0.3 / (1 + t) for t in range(len(batches))]
    return Objective(module, row_losses, samples, weight_decay), Schedule.of(batches, rates, 4)


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
@pytest.mark.parametrize("n_outputs", [0, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(), (4,), (5, 1), (1, 4)])
def test_runs_are_the_one_loops(widths, activation, n_outputs, weight_decay):
    """On random rows each, until a step from which all rows are seen again, and counted alike."""
    objective, schedule = training(widths, activation, n_outputs, weight_decay)
    trajectory = run(objective, schedule, flatten(objective.module))
    keep = torch.rand(5, 20) < 0.6
    before = objective.calls.copy()
    found = trajectory.retrain(keep, since=2, until=7)
    counted = objective.calls.since(before)
    flats = trajectory.snapshots[2].expand(5, -1)
    passed, before = After(flats, flats.new_zeros(5, 0, flats.shape[1])), objective.calls.copy()
    for steps, rows in ((range(2, 7), keep), (range(7, 12), torch.ones_like(keep))):
        *_, passed = descend(objective, schedule, passed, steps, rows)
    torch.testing.assert_close(found, passed.theta, rtol=1e-11, atol=1e-12)
    assert counted == objective.calls.since(before)


def test_the_recorded_run_stays_what_it_was():
    """What is moved is a copy."""
    objective, schedule = training((4,), "relu", 3, 0.1)
    trajectory = run(objective, schedule, flatten(objective.module))
    before = trajectory.snapshots.clone()
    trajectory.retrain(torch.rand(3, 20) < 0.5, since=4)
    assert torch.equal(trajectory.snapshots, before)


def test_a_run_that_diverges_names_its_step():
    """Where a row's numbers are too large, and not where it is left out."""
    objective, schedule = training((), "relu", 0, 0.0)
    trajectory = run(objective, schedule, flatten(objective.module))
    inputs = objective.samples.inputs.clone()
    bad = int(schedule.batch(5)[0])
    inputs[bad] = 1e200
    samples = replace(objective.samples, inputs=inputs)
    broken = replace(trajectory, objective=replace(objective, samples=samples))
    keep = torch.ones(2, 20, dtype=torch.bool)
    keep[:, bad] = False
    assert torch.isfinite(broken.retrain(keep)).all()
    keep[1, bad] = True
    first = next(t for t in range(4) if bad in schedule.batch(t).tolist())
    with pytest.raises(ValueError, match=f"training diverged at step {first} of 12"):
        broken.retrain(keep)

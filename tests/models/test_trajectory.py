import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.network import CNN, MLP, initial
from bench.models.sgd import row_losses
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, run

N, EPOCHS, PER_EPOCH = 12, 3, 4
NETWORK = MLP((4,))


def small(architecture=NETWORK, shape=(3,), n_outputs=3, dtype=torch.float64, weight_decay=0.01):
    """An objective on random rows, a schedule of 3 epochs of 4 steps, and a start."""
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(N, *shape)), dtype=dtype)
    targets = torch.tensor(rng.integers(max(n_outputs, 2), size=N))
    module = initial(architecture, torch.Size(shape), n_outputs, rng=rng).to(dtype)
    batches = tuple(
        torch.tensor(rows)
        for _ in range(EPOCHS)
        for rows in np.array_split(rng.permutation(N), PER_EPOCH)
    )
    rates = tuple(0.3 / (1 + t) ** 0.5 for t in range(len(batches)))
    objective = Objective(
        module, row_losses, Samples(inputs, targets, max(n_outputs, 2)), weight_decay
    )
    return objective, Schedule.of(batches, rates, PER_EPOCH), flatten(module)


def literal_sgd(objective, schedule, start, keep, since=0):
    """The paper's Eq. 3 by torch's own backward on a plain module, one row at a time."""
    module = objective.module
    torch.nn.utils.vector_to_parameters(start.clone(), module.parameters())
    parameters = list(module.parameters())
    for t in range(since, len(schedule)):
        rows, rate = schedule.batch(t), schedule.rates[t]
        total = torch.zeros((), dtype=start.dtype)
        for i in rows.tolist():
            if keep[i]:
                output = module(objective.samples.inputs[i : i + 1])
                total = total + row_losses(output, objective.samples.targets[i : i + 1])[0]
                total = total + objective.weight_decay / 2 * sum(
                    p.square().sum() for p in parameters
                )
        gradients = (
            torch.autograd.grad(total, parameters, allow_unused=True)
            if (total.requires_grad)
            else [torch.zeros_like(p) for p in parameters]
        )
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= rate / len(rows) * gradient
    return flatten(module)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_training_is_literal_sgd(n_outputs):
    """The recorded run ends where a plain loop over steps and rows ends."""
    objective, schedule, start = small(n_outputs=n_outputs)
    trajectory = run(objective, schedule, start)
    expected = literal_sgd(objective, schedule, start, torch.ones(N, dtype=torch.bool))
    torch.testing.assert_close(trajectory.final, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("since", [0, EPOCHS * PER_EPOCH - PER_EPOCH])
def test_retraining_is_literal_sgd_without_the_rows(since):
    """Left-out rows are left out of the sum, the divisor stays; from the start or later."""
    objective, schedule, start = small()
    trajectory = run(objective, schedule, start)
    keep = torch.rand(6, N, generator=torch.Generator().manual_seed(0)) < 0.7
    for kept, final in zip(keep, trajectory.retrain(keep, since), strict=True):
        expected = literal_sgd(objective, schedule, trajectory.snapshots[since], kept, since)
        torch.testing.assert_close(final, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_keeping_all_rows_is_the_run_itself(dtype, tolerance):
    """Training and retraining are one program: with all rows kept they agree."""
    trajectory = run(*small(dtype=dtype))
    finals = trajectory.retrain(torch.ones(5, N, dtype=torch.bool))
    assert (finals - trajectory.final).abs().max() < tolerance


def test_a_batch_of_retrainings_is_the_retrainings_one_by_one(monkeypatch):
    """How many runs share a batch changes nothing, whatever the chunk."""
    trajectory = run(*small())
    keep = ~torch.eye(N, dtype=torch.bool)
    together = trajectory.retrain(keep)
    alone = torch.cat([trajectory.retrain(row[None]) for row in keep])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)
    monkeypatch.setattr("bench.models.trajectory.CHUNK_NUMBERS", 5 * len(trajectory.final))
    torch.testing.assert_close(trajectory.retrain(keep), together, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("architecture", "shape"), [(MLP((4,)), (3,)), (CNN((2, 2), 3), (1, 4, 4))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_replay_is_the_run_bit_by_bit(architecture, shape, dtype):
    """A run kept by epochs, walked back, gives every step of the run kept by steps."""
    whole = run(*small(architecture, shape, dtype=dtype))
    sparse = run(*small(architecture, shape, dtype=dtype), stride=PER_EPOCH)
    assert len(sparse.snapshots) == EPOCHS + 1
    for (theta, rows, rate), (other, other_rows, other_rate) in zip(
        whole.backwards(), sparse.backwards(), strict=True
    ):
        assert torch.equal(theta, other)
        assert torch.equal(rows, other_rows)
        assert rate == other_rate


def test_a_replay_that_ends_elsewhere_names_the_first_epoch():
    """One changed bit in a snapshot is found, and the error says where it begins."""
    trajectory = run(*small(), stride=PER_EPOCH)
    snapshots = trajectory.snapshots.clone()
    snapshots[2, 0] = torch.nextafter(snapshots[2, 0], torch.tensor(9.0).double())
    with pytest.raises(ValueError, match=r"replaying epoch 1 \(counted from 0\)"):
        list(replace(trajectory, snapshots=snapshots).backwards())


def test_no_snapshot_to_retrain_from():
    """A start between two snapshots is refused."""
    trajectory = run(*small(), stride=PER_EPOCH)
    with pytest.raises(ValueError, match="no snapshot at step 3: wanted a multiple of 4"):
        trajectory.retrain(torch.ones(1, N, dtype=torch.bool), since=3)


def test_divergence_names_the_step():
    """Parameters that stop being finite stop the training at once."""
    objective, schedule, start = small(dtype=torch.float32, weight_decay=1e30)
    with pytest.raises(ValueError, match="training diverged at step [12] of 12"):
        run(objective, schedule, start)


def test_rows_are_counted():
    """Forward: rows times models. Backward the same where a gradient is taken."""
    objective, schedule, start = small()
    trajectory = run(objective, schedule, start)
    before = objective.calls.copy()
    trajectory.retrain(torch.ones(5, N, dtype=torch.bool))
    passed = objective.calls.since(before)
    assert passed.forward == passed.backward == 5 * N * EPOCHS


def test_a_run_is_small_when_pickled():
    """A problem goes to a file for each cell: the run takes its own numbers and little more."""
    trajectory = run(*small())
    assert len(pickle.dumps(trajectory)) < 10_000 + trajectory.snapshots.numel() * 8
    again = pickle.loads(pickle.dumps(trajectory))
    assert torch.equal(again.schedule.batch(5), trajectory.schedule.batch(5))

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.network import CNN, MLP, initial
from bench.models.optimiser import Adam, Before, Decoupled, Momentum, Plain
from bench.models.sgd import row_losses
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, checkpoint_stride, digest, run

OPTIMISERS = [
    Plain(),
    Momentum(0.8),
    Momentum(0.8, nesterov=True),
    Adam(),
    Decoupled(Adam(), 0.1),
    Decoupled(Plain(), 0.1),
]
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


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("stride", [4, 5])
@pytest.mark.parametrize("numbers", [1, 2**26])
def test_any_stretch_is_replayed_bit_by_bit(optimiser, stride, numbers, monkeypatch):
    """Any optimiser, an uneven last stretch, pieces of any length: parameters and states."""
    monkeypatch.setattr("bench.models.trajectory.REPLAY_NUMBERS", numbers)
    whole = run(*small(), optimiser=optimiser)
    sparse = run(*small(), stride=stride, optimiser=optimiser)
    assert len(sparse.snapshots) == -(-len(whole.schedule) // stride) + 1
    for since in (0, 6):
        (expected,) = whole.stretches(since)
        pieces = list(sparse.stretches(since))
        for piece in pieces:
            places = slice(piece.first - since, piece.first - since + len(piece) + 1)
            assert torch.equal(piece.thetas, expected.thetas[places])
            assert torch.equal(piece.states, expected.states[places])
        assert sum(len(piece) for piece in pieces) == len(expected)


def test_a_replay_that_differs_names_the_first_step():
    """Rates changed from step 6 on: the walk back meets the end first, the error the beginning."""
    trajectory = run(*small(), stride=PER_EPOCH)
    rates = list(trajectory.schedule.rates)
    rates[6:] = [rate * (1 + 1e-12) for rate in rates[6:]]
    schedule = replace(trajectory.schedule, rates=tuple(rates))
    with pytest.raises(ValueError, match="first differs from the recorded run at step 6"):
        list(replace(trajectory, schedule=schedule).backwards())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_run_that_keeps_every_step_is_replayed_once(optimiser):
    """One bit of one snapshot or state is found, and the step that should have ended there."""
    trajectory = run(*small(), optimiser=optimiser)
    trajectory.verify()
    for t in (1, 7, len(trajectory.schedule)):
        for name in ("snapshots", "states")[: 1 + bool(optimiser.slots)]:
            changed = getattr(trajectory, name).clone()
            entry = changed[t].reshape(-1)
            entry[0] = torch.nextafter(entry[0], torch.tensor(9.0).double())
            told = {"snapshots": "", "states": ", in the optimiser's state"}[name]
            where = f"recorded run at step {t - 1}{told}: other data"
            with pytest.raises(ValueError, match=where):
                replace(trajectory, **{name: changed}).verify()


def test_a_digest_sees_each_bit_and_place():
    """Any entry moved by one bit, or two of them exchanged, gives another number."""
    theta = torch.randn(50, generator=torch.Generator().manual_seed(0))
    seen = {int(digest(theta))}
    for i in range(50):
        moved = theta.clone()
        moved[i] = torch.nextafter(theta[i], torch.tensor(9.0))
        exchanged = theta.clone()
        exchanged[[i, i - 1]] = theta[[i - 1, i]]
        seen |= {int(digest(moved)), int(digest(exchanged))}
    assert len(seen) == 101


def test_policies_of_checkpoints():
    """Each policy keeps what its name says."""
    _, schedule, _ = small()
    assert checkpoint_stride("every_step", schedule) == 1
    assert checkpoint_stride("every_epoch", schedule) == PER_EPOCH
    assert checkpoint_stride("sqrt", schedule) == 4


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_retraining_with_any_optimiser_is_training_on_the_rows_alone(optimiser):
    """In a batch or one by one, from the start or later: one run without the rows' losses."""
    objective, schedule, start = small()
    trajectory = run(objective, schedule, start, optimiser=optimiser)
    keep = ~torch.eye(N, dtype=torch.bool)
    finals = trajectory.retrain(keep)
    for kept, final in zip(keep, finals, strict=True):
        left = replace(objective, loss=lambda *asked: row_losses(*asked), weight_decay=0.0)
        theta, state = start[None], torch.zeros(1, optimiser.slots, len(start)).double()
        for t, rate in enumerate(schedule.rates):
            rows, flats = schedule.batch(t), theta.clone().requires_grad_()
            there = kept[rows].double()
            total = left.losses(flats, rows)[0] @ there + 0.005 * flats.square().sum() * there.sum()
            (gradient,) = torch.autograd.grad(total / len(rows), flats)
            theta, state = optimiser.update(Before(theta, state, gradient, rate, t))
        torch.testing.assert_close(final, theta[0], rtol=0, atol=1e-12)
    later = trajectory.retrain(torch.ones(2, N, dtype=torch.bool), since=5)
    torch.testing.assert_close(later, trajectory.final.expand(2, -1), rtol=0, atol=1e-12)


def test_a_replay_that_ends_elsewhere_names_the_first_epoch():
    """Without digests, one changed bit in a snapshot is found, and the epoch it ends is named."""
    trajectory = replace(run(*small(), stride=PER_EPOCH), digests=None)
    snapshots = trajectory.snapshots.clone()
    snapshots[2, 0] = torch.nextafter(snapshots[2, 0], torch.tensor(9.0).double())
    with pytest.raises(ValueError, match=r"replaying epoch 1 \(counted from 0\)"):
        list(replace(trajectory, snapshots=snapshots).backwards())


@pytest.mark.parametrize("stride", [4, 5])
def test_retraining_from_between_two_snapshots(stride):
    """Where no snapshot is, the run is followed up to the step: the same bits."""
    whole, sparse = run(*small()), run(*small(), stride=stride)
    keep = torch.rand(3, N, generator=torch.Generator().manual_seed(0)) < 0.7
    for since in (0, 3, 8, 12):
        assert torch.equal(sparse.retrain(keep, since), whole.retrain(keep, since))
        assert torch.equal(sparse.at(since).theta[0], whole.snapshots[since])


def test_retraining_stops_where_it_is_told():
    """On all rows it is then where the recorded run was; a removed row counts until then."""
    trajectory = run(*small())
    keep = torch.ones(2, N, dtype=torch.bool)
    keep[1, trajectory.schedule.batch(3)[0]] = False
    for end in (4, 9):
        whole, without = trajectory.retrain(keep, 3, end=end)
        torch.testing.assert_close(whole, trajectory.snapshots[end], rtol=0, atol=1e-13)
        assert (without - whole).abs().max() > 1e-6


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


@pytest.mark.parametrize(
    ("architecture", "shape"), [(MLP((4,)), (3,)), (CNN((2, 2), 3), (1, 4, 4))]
)
def test_a_run_is_small_when_pickled(architecture, shape):
    """A problem goes to a file for each cell: the run takes its own numbers and little more."""
    trajectory = run(*small(architecture, shape))
    trajectory.retrain(torch.ones(2, N, dtype=torch.bool))
    assert len(pickle.dumps(trajectory)) < 10_000 + trajectory.snapshots.numel() * 8
    again = pickle.loads(pickle.dumps(trajectory))
    assert torch.equal(again.schedule.batch(5), trajectory.schedule.batch(5))

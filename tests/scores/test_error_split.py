"""The parts of SGD-influence's error against slow retrainings."""

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.scores.error_split import PARTS, split_error


def trained(epochs, activation="gelu", rate=0.3):
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(40, 3))).float()
    samples = Samples(inputs, (inputs[:, 0] + inputs[:, 1] ** 2 > 0.5).long(), 2)
    recipe = SGD(MLP((6,), activation), epochs=epochs, batch_size=10, learning_rate=rate)
    run = recipe.fit(samples.rows(np.arange(24)), rng=rng).trajectory
    return run, samples.rows(np.arange(24, 40))


def test_each_step_of_the_split():
    """Truth, read-out and sums over epochs, each by a run of its own."""
    run, query = trained(3)
    split = split_error(run, query)
    u = query_gradient(run.objective, run.final, query)
    np.testing.assert_allclose(split.truth, leave_one_out(run, query).numpy(), atol=1e-7)
    np.testing.assert_allclose(split.linear, sgd_influence(run, u).numpy(), atol=1e-7)
    per_epoch, steps = run.schedule.steps_per_epoch, len(run.schedule)
    for j in (0, 7):
        keep = torch.ones(1, 24, dtype=torch.bool)
        keep[0, j] = False
        whole = (run.retrain(keep)[0] - run.final) @ u
        assert split.read_out[j] == pytest.approx(float(whole), abs=1e-6)
        by_epoch = 0.0
        for start in range(0, steps, per_epoch):
            # Step by step: without the row in this epoch, with all rows else.
            theta = run.at(start).theta
            for t in range(start, steps):
                seen = keep if t < start + per_epoch else torch.ones_like(keep)
                rows = run.schedule.batch(t)
                gradient = run.objective.gradients(theta, rows, run.schedule.epoch(t), seen)
                theta = theta - run.schedule.rates[t] * gradient
            by_epoch += float((theta[0] - run.final) @ u)
        assert split.by_epoch[j] == pytest.approx(by_epoch, abs=1e-6)


def test_some_rows_are_some_of_all():
    """The rows asked for, in their order, with the values that they have among all."""
    run, query = trained(2)
    whole, some = split_error(run, query), split_error(run, query, np.array([3, 20]))
    for name in ("truth", "read_out", "by_epoch", "linear", "flat"):
        np.testing.assert_allclose(getattr(some, name), getattr(whole, name)[[3, 20]], atol=1e-6)


def test_one_epoch_has_nothing_across_epochs():
    """A row is visited once, so that leaving it out of the epoch is leaving it out."""
    split = split_error(*trained(1))
    np.testing.assert_array_equal(split.read_out, split.by_epoch)
    assert split.parts()["cross_epoch"] == 0
    assert set(split.parts()) == set(PARTS)


def test_kinks_are_in_the_step():
    """A ReLU's jumps are what a linear step misses; they outweigh what GELU's step misses."""
    kinks = split_error(*trained(8, "relu")).parts_of_linear()
    smooth = split_error(*trained(8, "gelu")).parts_of_linear()
    assert kinks["step"] > smooth["step"]

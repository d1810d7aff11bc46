import math

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.models.smoothness import Smoothness, smoothness

RNG = np.random.default_rng


def checked(activation, rate, values=None, count=15):
    """The check of influence, or of other values, on a network of sixty rows."""
    inputs = torch.tensor(RNG(0).normal(size=(90, 4))).float()
    samples = Samples(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long(), 2)
    train, query = samples.rows(np.arange(60)), samples.rows(np.arange(60, 90))
    recipe = SGD(MLP((8, 8), activation), epochs=15, batch_size=10, learning_rate=rate)
    run = recipe.fit(train, rng=RNG(1)).trajectory
    if values is None:
        values = sgd_influence(run, query_gradient(run.objective, run.final, query)).numpy()
    return run, query, smoothness(run, query, values, rng=RNG(2), count=count)


def test_changes_are_the_true_ones():
    """Of rows drawn without looking at the values; all rows where more are asked than there are."""
    run, query, found = checked("gelu", 0.1)
    truth = leave_one_out(run, query).numpy()
    assert len(set(found.rows)) == 15
    np.testing.assert_allclose(found.changes, truth[found.rows], atol=1e-6)
    _, _, other = checked("gelu", 0.1, values=np.arange(60.0))
    assert np.array_equal(other.rows, found.rows)
    assert np.array_equal(other.estimates, found.rows)
    assert len(checked("gelu", 0.1, count=100)[2].rows) == 60


def test_a_truth_that_is_known_is_not_found_again(monkeypatch):
    """The same rows with the changes that are given; nothing is trained."""
    run, query, found = checked("gelu", 0.1)
    monkeypatch.setattr("bench.models.smoothness.removal_changes", None)
    known = smoothness(run, query, np.zeros(60), rng=RNG(2), truth=np.arange(60.0))
    assert np.array_equal(known.rows, found.rows)
    assert np.array_equal(known.changes, found.rows)


def test_smooth_networks_pass_and_kinks_show():
    """GELU at a low rate is nearly linear; ReLU at a high one isn't."""
    smooth, rough = checked("gelu", 0.05)[2], checked("relu", 0.8)[2]
    assert smooth.relative_error < 0.3
    assert smooth.correlation > 0.95
    assert rough.relative_error > 2 * smooth.relative_error
    assert str(smooth).startswith("15 rows removed one by one: correlation 1.00, relative")


def test_numbers_of_the_check():
    """The truth has no error, zeros all of it; equal values correlate with nothing."""
    changes = np.array([1.0, -2.0, 2.0])
    assert Smoothness(np.arange(3), changes, changes).relative_error == 0
    nothing = Smoothness(np.arange(3), np.zeros(3), changes)
    assert nothing.relative_error == 1
    assert math.isnan(nothing.correlation)
    assert Smoothness(np.arange(3), 2 * changes, changes).correlation == pytest.approx(1)

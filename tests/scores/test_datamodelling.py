"""Sums of values against the removal of many rows."""

import numpy as np
import torch

from bench.data import Samples
from bench.models.influence import mean_losses
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.scores.datamodelling import Subsets


def test_changes_are_those_of_training_again():
    """Each set's change by a run of its own; the score is Spearman's and blind to scale."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(50, 3))).float()
    samples = Samples(inputs, (inputs[:, 0] > 0).long(), 2)
    train, query = samples.rows(np.arange(40)), samples.rows(np.arange(40, 50))
    run = SGD(MLP((4,)), epochs=2, batch_size=8).fit(train, rng=rng).trajectory
    found = Subsets.drawn(run, query, 10, 5, rng=rng)
    assert (found.removed.sum(axis=1) == 4).all()
    assert len(np.unique(found.removed, axis=0)) == 5
    whole = mean_losses(run.objective, run.final[None], query)
    for removed, change in zip(found.removed, found.changes, strict=True):
        left = run.retrain(torch.from_numpy(~removed)[None])
        expected = mean_losses(run.objective, left, query) - whole
        np.testing.assert_allclose(change, expected.detach().numpy()[0], atol=1e-6)
    values = rng.normal(size=40)
    assert found.score(values) == found.score(3 * values)
    assert found.score(values) == -found.score(-values)
    assert np.isnan(found.score(np.zeros(40)))


def test_one_row_at_least():
    """Half a percent of forty rows is one row, not none."""
    rng = np.random.default_rng(0)
    samples = Samples(torch.from_numpy(rng.normal(size=(40, 2))).float(), torch.arange(40) % 2, 2)
    run = SGD(MLP(()), epochs=1, batch_size=8).fit(samples, rng=rng).trajectory
    assert (Subsets.drawn(run, samples, 0.5, 3, rng=rng).removed.sum(axis=1) == 1).all()

"""Runs kept in the cache are those that would be trained again."""

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models import retrained as module
from bench.models import trajectory
from bench.models.chain_runs import ChainRuns
from bench.models.network import MLP
from bench.models.optimiser import PLAIN, Momentum
from bench.models.retrained import retrained
from bench.models.sgd import SGD
from bench.models.trajectory import Trajectory, descend

move = ChainRuns.move


def trained(seed=0, optimiser=PLAIN):
    rng = np.random.default_rng(seed)
    inputs = torch.from_numpy(rng.normal(size=(24, 3))).float()
    samples = Samples(inputs, (inputs[:, 0] > 0).long(), 2)
    recipe = SGD(MLP((4,)), epochs=2, batch_size=8, optimiser=optimiser)
    return recipe.fit(samples, rng=rng).trajectory


def test_a_run_is_trained_once(monkeypatch, tmp_path):
    """What is kept answers for the same rows of the same run from the same step, and no other."""
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "WORTH_KEEPING", 0)
    asked = []
    train = Trajectory.retrain

    def counted(self, keep, since=0, until=None, end=None):
        if end is None:
            asked.append(1)
        return train(self, keep, since, until, end)

    monkeypatch.setattr(Trajectory, "retrain", counted)
    run, keep = trained(), ~torch.eye(24, dtype=torch.bool)[:3]
    first = retrained(run, keep)
    assert torch.equal(first, train(run, keep))
    assert torch.equal(retrained(run, keep), first)
    assert len(asked) == 3
    assert torch.equal(retrained(run, keep, run.last_epoch), train(run, keep, run.last_epoch))
    assert torch.equal(retrained(run, keep[:2]), train(run, keep[:2]))
    assert torch.equal(retrained(trained(1), keep), train(trained(1), keep))
    assert len(asked) == 9


@pytest.mark.parametrize("optimiser", [PLAIN, Momentum()])
def test_another_arithmetic_finds_no_file(optimiser, monkeypatch, tmp_path):
    """One that rounds the first step otherwise trains anew; the old one finds its own again."""
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "WORTH_KEEPING", 0)
    run, keep = trained(optimiser=optimiser), ~torch.eye(24, dtype=torch.bool)[:1]
    for since in (0, run.last_epoch):
        first = retrained(run, keep, since)
        with monkeypatch.context() as other:
            other.setattr(trajectory, "descend", rounding_otherwise)
            other.setattr(ChainRuns, "move", moved_otherwise)
            anew = retrained(run, keep, since)
            assert torch.equal(anew, run.retrain(keep, since))
        assert not torch.equal(anew, first)
        assert torch.equal(retrained(run, keep, since), first)


def rounding_otherwise(*asked):
    """`descend`, whose last bit is another."""
    for step in descend(*asked):
        yield step._replace(theta=torch.nextafter(step.theta, torch.tensor(torch.inf)))


def moved_otherwise(runs, step):
    """`ChainRuns.move`, whose last bit is another."""
    move(runs, step)
    runs.biases[0].copy_(torch.nextafter(runs.biases[0], torch.tensor(torch.inf)))


def test_a_short_run_is_not_kept(monkeypatch, tmp_path):
    """No file for what takes a millisecond."""
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path))
    retrained(trained(), torch.ones(1, 24, dtype=torch.bool))
    assert not list(tmp_path.rglob("*.npz"))

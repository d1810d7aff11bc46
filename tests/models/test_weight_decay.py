"""The weight decay that training rows choose for themselves."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegressionCV

from bench.data import Samples
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.models.weight_decay import CrossValidated


def samples(n_classes=2, n=60, signal=1.0):
    """Three inputs, of which the first says something of the class."""
    rng = np.random.default_rng(3)
    targets = np.arange(n) % n_classes
    inputs = rng.normal(size=(n, 3))
    inputs[:, 0] += signal * targets
    return Samples(torch.tensor(inputs).float(), torch.tensor(targets), n_classes)


RECIPE = SGD(MLP(), epochs=3, batch_size=8, weight_decay=CrossValidated())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_the_one_of_scikit_learn(n_classes):
    """1 / (C n) with the C of LogisticRegressionCV(cv=5, fit_intercept=False)."""
    rows = samples(n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegressionCV(cv=5, fit_intercept=False)
        model.fit(rows.inputs.double().numpy(), rows.targets.numpy())
    (c,) = set(np.ravel(model.C_))
    assert CrossValidated().chosen(rows) == pytest.approx(1 / (c * len(rows)))


def test_limits():
    """Where all C are equally good the smallest is taken; where one is tried, it is that one."""
    separable = samples(signal=1e6)
    assert CrossValidated().chosen(separable) == pytest.approx(1 / (1e-4 * 60))
    assert CrossValidated(grid=1).chosen(samples()) == pytest.approx(1 / (1e-4 * 60))


def test_no_warning_is_given():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CrossValidated().chosen(samples())


@pytest.mark.parametrize("single_logit", [False, True])
def test_the_network_is_that_with_the_value_given(single_logit):
    """Chosen at fit, it is any other weight decay: the same run bit by bit."""
    rows, recipe = samples(), replace(RECIPE, single_logit=single_logit)
    alpha = CrossValidated().chosen(rows)
    chosen = recipe.fit(rows, rng=np.random.default_rng(0)).trajectory
    given = replace(recipe, weight_decay=alpha).fit(rows, rng=np.random.default_rng(0)).trajectory
    assert chosen.objective.weight_decay == alpha
    assert torch.equal(chosen.snapshots, given.snapshots)


@pytest.mark.parametrize("record", [True, False])
def test_it_is_kept_with_the_arrays(record, monkeypatch):
    """Restoring chooses nothing anew, whatever the rows would say."""
    rows, recipe = samples(), replace(RECIPE, record=record)
    network = recipe.fit(rows, rng=np.random.default_rng(0))
    arrays = recipe.arrays(network)
    monkeypatch.setattr(CrossValidated, "chosen", lambda *_: pytest.fail("chosen again"))
    restored = recipe.restore(arrays, rows)
    assert torch.equal(restored.margins(rows.inputs), network.margins(rows.inputs))
    if record:
        alpha = network.trajectory.objective.weight_decay
        assert restored.trajectory.objective.weight_decay == alpha
    assert ("weight_decay" in arrays) == record
    assert "weight_decay" not in replace(RECIPE, weight_decay=0.1).arrays(network)


def test_refusals():
    """Fewer rows of a class than folds, one class, a regression; too few folds."""
    rows = samples(3, n=12)
    with pytest.raises(ValueError, match="wants 5 training rows.*0: 4, 1: 4, 2: 4"):
        CrossValidated().chosen(rows)
    CrossValidated(folds=4).chosen(rows)
    with pytest.raises(ValueError, match="two classes or more; of each class there are 0: 60"):
        CrossValidated().chosen(replace(samples(), targets=torch.zeros(60).long()))
    with pytest.raises(ValueError, match="wants classes, not a regression"):
        CrossValidated().chosen(replace(samples(), targets=torch.zeros(60), n_classes=0))
    with pytest.raises(ValueError, match="folds=1: wanted at least 2"):
        CrossValidated(folds=1)
    with pytest.raises(ValueError, match="grid=0: wanted at least 1"):
        CrossValidated(grid=0)

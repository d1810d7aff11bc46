from dataclasses import replace

import numpy as np
import pytest
import torch
from earnest.methods.cleansing.sgd_influence import SGDInfluence
from scipy.stats import kendalltau

from bench.data import Samples
from bench.models.influence import leave_one_out
from bench.models.network import MLP
from bench.models.optimiser import Adam, Decoupled, Momentum
from bench.models.sgd import SGD
from bench.tasks.cleansing import CleansingProblem

RNG = np.random.default_rng
RECIPE = SGD(MLP((6,), "tanh"), epochs=10, batch_size=10, single_logit=True)


def problem(recipe, n=60):
    """Noisy linear classes, the first five training labels wrong."""
    rng = RNG(0)
    inputs = torch.tensor(rng.normal(size=(2 * n, 3))).float()
    targets = (inputs.sum(1) + 0.3 * torch.tensor(rng.normal(size=2 * n)) > 0).long()
    targets[:5] = 1 - targets[:5]
    samples = Samples(inputs, targets, 2)
    train = samples.rows(np.arange(n))
    return CleansingProblem(recipe.fit(train, rng=RNG(1)), train, samples.rows(np.arange(n, 2 * n)))


@pytest.mark.parametrize(
    ("optimiser", "rate"),
    [
        (Momentum(0.9), 0.02),
        (Momentum(0.9, nesterov=True), 0.02),
        (Adam(eps=1e-3), 0.01),
        (Decoupled(Adam(eps=1e-3), 0.01), 0.01),
    ],
)
def test_influence_follows_the_truth_with_any_optimiser(optimiser, rate):
    """On a smooth network the ranking is nearly that of the true leave-one-out."""
    asked = problem(replace(RECIPE, optimiser=optimiser, learning_rate=rate))
    truth = leave_one_out(asked.trajectory, asked.validation).numpy()
    values = SGDInfluence().explain(asked, rng=RNG(0)).values
    assert kendalltau(values, truth).statistic > 0.9
    assert values[:5].mean() < 0 < values[5:].mean()


def test_fewer_epochs_are_another_answer():
    """The last epoch's sum is a part of the whole; all epochs named are the whole."""
    asked = problem(RECIPE)
    whole = SGDInfluence().explain(asked, rng=RNG(0)).values
    assert np.array_equal(SGDInfluence(epochs=10).explain(asked, rng=RNG(0)).values, whole)
    last = SGDInfluence(epochs=1).explain(asked, rng=RNG(0)).values
    assert np.abs(last).sum() < np.abs(whole).sum()


def test_dividing_the_hessian_once_more_brings_it_near_to_none():
    """A tenth of the curvature: between the exact recursion and the one without."""
    asked = problem(replace(RECIPE, learning_rate=0.3))
    exact, none, divided = (
        SGDInfluence(hessian).explain(asked, rng=RNG(0)).values
        for hessian in ("exact", "none", "divided_by_batch")
    )
    assert np.abs(divided - none).max() < np.abs(divided - exact).max() / 3


def test_an_overflow_is_told(ask):
    """A run whose every step stretches the query a thousandfold: no value is better than NaN."""
    asked = ask(SGD(MLP(), epochs=10, batch_size=10, single_logit=True))
    schedule = asked.trajectory.schedule
    steep = replace(asked.trajectory, schedule=replace(schedule, rates=(1e4,) * len(schedule)))
    asked = replace(asked, model=replace(asked.model, trajectory=steep))
    with pytest.raises(FloatingPointError, match="train for fewer epochs"):
        SGDInfluence().explain(asked, rng=RNG(0))


def test_wrong_numbers_are_refused():
    """No epochs, or a negative softness, are named."""
    with pytest.raises(ValueError, match="epochs=0: wanted more than 0, or nothing"):
        SGDInfluence(epochs=0)
    with pytest.raises(ValueError, match="kink_smoothing=-1.0"):
        SGDInfluence(kink_smoothing=-1.0)

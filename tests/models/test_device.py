"""A run on a GPU: replayed to the last bit, and the CPU's but for round-off."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.augmentation import CropFlip
from bench.models.influence import leave_one_out, query_gradient, sgd_influence
from bench.models.network import CNN, MLP
from bench.models.optimiser import Adam, Momentum
from bench.models.sgd import SGD
from bench.scores.retraining import removal_curves
from bench.tasks.cleansing import CleansingProblem

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
PICTURES = SGD(
    CNN(channels=(4, 4), hidden=8),
    epochs=3,
    batch_size=8,
    learning_rate=0.05,
    checkpoints="every_epoch",
    augmentation=CropFlip(padding=1),
)
NUMBERS = SGD(MLP((6,), "tanh"), epochs=3, batch_size=8, weight_decay=0.01)
RECIPES = [
    pytest.param(PICTURES, id="pictures"),
    pytest.param(NUMBERS, id="chain"),
    pytest.param(replace(PICTURES, optimiser=Momentum(0.8)), id="pictures-momentum"),
    pytest.param(replace(NUMBERS, optimiser=Adam(), learning_rate=0.01), id="chain-adam"),
]


def problem(recipe: SGD) -> CleansingProblem:
    """Forty pictures or rows of three classes, ten of them the query."""
    rng = np.random.default_rng(0)
    shape = (1, 8, 8) if recipe.augmentation else (5,)
    targets = np.arange(40) % 3
    inputs = rng.normal(size=(40, *shape)) + targets.reshape(-1, *(1 for _ in shape))
    samples = Samples(torch.tensor(inputs).float(), torch.tensor(targets), 3)
    train, query = samples.rows(np.arange(30)), samples.rows(np.arange(30, 40))
    return CleansingProblem(recipe.fit(train, rng=np.random.default_rng(1)), train, query)


def influence(asked: CleansingProblem) -> np.ndarray:
    """By SGD-influence, the run replayed and verified on the way."""
    run = asked.trajectory
    direction = query_gradient(run.objective, run.final, asked.validation)
    return sgd_influence(run, direction).cpu().numpy()


def test_where_it_is_already_nothing_runs_again():
    asked = problem(PICTURES)
    assert asked.to("cpu").trajectory is asked.trajectory
    assert problem(replace(PICTURES, record=False)).to("cpu").model.trajectory is None


@gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_influence_is_the_cpus(recipe: SGD):
    asked = problem(recipe)
    found, wanted = influence(asked.to("cuda")), influence(asked)
    assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


@gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_training_on_a_gpu_is_moving_there(recipe: SGD):
    asked = problem(recipe)
    moved = asked.to("cuda").trajectory
    trained = recipe.fit(asked.train.to("cuda"), rng=np.random.default_rng(1)).trajectory
    assert torch.equal(moved.final, trained.final)
    assert torch.equal(moved.snapshots, trained.snapshots)


@gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_leave_one_out_is_the_cpus(recipe: SGD):
    asked = problem(recipe)
    there = asked.to("cuda")
    found = leave_one_out(there.trajectory, there.validation).cpu()
    wanted = leave_one_out(asked.trajectory, asked.validation)
    assert (found - wanted).abs().max() <= 1e-2 * wanted.abs().max()


@gpu
def test_a_model_goes_to_a_gpu_and_back_by_its_arrays():
    asked = problem(PICTURES).to("cuda")
    restored = PICTURES.restore(PICTURES.arrays(asked.model), asked.train)
    assert torch.equal(restored.trajectory.final, asked.trajectory.final)
    assert influence(replace(asked, model=restored)).tolist() == influence(asked).tolist()


@gpu
def test_removal_is_scored_on_a_gpu():
    asked = problem(PICTURES).to("cuda")
    assert asked.to("cuda").trajectory is asked.trajectory
    order, held = np.arange(30), (asked.validation, asked.validation)
    (curve,) = removal_curves(asked.trajectory, (order,), (0, 3), *held)
    assert np.isfinite(curve.test.loss).all()

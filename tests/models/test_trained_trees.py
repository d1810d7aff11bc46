"""What all boosted trees keep to, whoever trained them."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.adaboost import AdaBoost
from bench.models.base import Model, Recipe
from bench.models.boosting import Boosting
from bench.models.xgboost import XGBoost

XGBOOST = pytest.mark.skipif(find_spec("xgboost") is None, reason="no xgboost")
RECIPES = pytest.mark.parametrize(
    "recipe",
    [
        AdaBoost(trees=15, depth=4),
        Boosting(rounds=12, leaves=7, min_leaf=5),
        pytest.param(XGBoost(rounds=8), marks=XGBOOST),
    ],
    ids=lambda recipe: type(recipe).__name__,
)


def samples(n_classes: int) -> Samples:
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(300, 5))).float()
    edges = torch.tensor(np.quantile(inputs[:, 0].numpy(), np.arange(1, n_classes) / n_classes))
    return Samples(inputs, torch.bucketize(inputs[:, 0].double(), edges), n_classes)


@RECIPES
def test_arrays_make_the_same_trees_again_and_train_again(recipe: Any):
    """Through npz-ready arrays without objects; kept rows are trained on with the same seed."""
    data = samples(3)
    model = recipe.fit(data, rng=np.random.default_rng(5))
    arrays = recipe.arrays(model)
    assert all(array.dtype != object for array in arrays.values())
    again = recipe.restore(arrays, data)
    assert torch.equal(model.margins(data.inputs), again.margins(data.inputs))
    keep = torch.rand((2, 300), generator=torch.Generator().manual_seed(0)) < 0.8
    for rows, trained in zip(keep, again.retrain(keep), strict=True):
        alone = recipe.grow(data.rows(rows), seed=model.seed)
        assert torch.equal(trained.margins(data.inputs), alone.margins(data.inputs))


@RECIPES
def test_it_is_a_black_box_that_counts_its_rows(recipe: Any):
    """It fits the protocols, has no gradient, and takes images and no rows at all."""
    model = recipe.fit(samples(2), rng=np.random.default_rng(0))
    assert isinstance(recipe, Recipe)
    assert isinstance(model, Model)
    assert recipe.capabilities == {"black_box", "retrain"}
    assert model.margins(torch.zeros((0, 5))).shape == (0, 2)
    model.margins(torch.zeros((7, 5)))
    assert model.calls.forward == 7
    pixels = Samples(torch.rand((50, 1, 3, 3)), torch.arange(50) % 2, 2)
    assert recipe.grow(pixels, 0).margins(pixels.inputs).shape == (50, 2)

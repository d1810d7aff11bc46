import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.base import Model, Recipe
from bench.models.forest import Forest


def samples(n_classes: int, n: int = 300) -> Samples:
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(n, 5))).float()
    signal = inputs[:, 0] + inputs[:, 1] * inputs[:, 2]
    if not n_classes:
        return Samples(inputs, signal, 0)
    edges = torch.tensor(np.quantile(signal.numpy(), np.arange(1, n_classes) / n_classes))
    return Samples(inputs, torch.bucketize(signal.double(), edges), n_classes)


SMALL = Forest(trees=12, depth=6, min_split=5)


def by_sklearn(data: Samples, seed: int):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    cls = RandomForestClassifier if data.n_classes else RandomForestRegressor
    forest = cls(n_estimators=12, max_depth=6, min_samples_split=5, random_state=seed)
    return forest.fit(data.inputs.numpy(), data.targets.numpy())


@pytest.mark.parametrize("n_classes", [2, 3, 0])
def test_the_walk_through_plain_arrays_is_scikit_learns_prediction(n_classes: int):
    """The softmax of the margins is `predict_proba`, on rows that were not in the training."""
    data = samples(n_classes)
    model = SMALL.grow(data, seed=3)
    new = torch.randn((400, 5), generator=torch.Generator().manual_seed(1))
    reference = by_sklearn(data, 3)
    if n_classes:
        expected, found = reference.predict_proba(new.numpy()), model.margins(new).softmax(1)
    else:
        expected, found = reference.predict(new.numpy())[:, None], model.margins(new)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-14, rtol=1e-13)


def test_a_class_without_training_rows_has_probability_zero():
    """Columns are classes of the data set, not of the rows that were seen."""
    data = samples(3)
    model = SMALL.grow(data.rows((data.targets != 1).numpy()), seed=0)
    probabilities = model.margins(data.inputs).softmax(1)
    assert probabilities.shape == (300, 3)
    assert probabilities[:, 1].max() < 1e-15


def test_arrays_make_the_same_forest_again():
    """Through npz-ready arrays without objects: equal margins, and equal when trained again."""
    data = samples(2)
    model = SMALL.fit(data, rng=np.random.default_rng(5))
    arrays = SMALL.arrays(model)
    assert all(array.dtype != object for array in arrays.values())
    again = SMALL.restore(arrays, data)
    assert torch.equal(model.margins(data.inputs), again.margins(data.inputs))
    keep = torch.ones((1, 300), dtype=torch.bool)
    assert torch.equal(again.retrain(keep)[0].margins(data.inputs), model.margins(data.inputs))


def test_training_again_on_kept_rows_is_training_on_them_with_the_same_seed():
    """`retrain` gives one model a row of `keep`."""
    data = samples(2)
    model = SMALL.grow(data, seed=9)
    keep = torch.rand((2, 300), generator=torch.Generator().manual_seed(0)) < 0.8
    for rows, trained in zip(keep, model.retrain(keep), strict=True):
        alone = SMALL.grow(data.rows(rows), seed=9)
        assert torch.equal(trained.margins(data.inputs), alone.margins(data.inputs))


def test_the_same_rng_grows_the_same_forest_and_global_randomness_is_left_alone():
    """Another seed grows another."""
    data = samples(2)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, three = (
        SMALL.fit(data, rng=np.random.default_rng(s)).margins(data.inputs) for s in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_a_forest_is_a_black_box_that_counts_its_rows():
    """It fits the protocols, has no gradient, and takes images and no rows at all."""
    model = SMALL.fit(samples(2), rng=np.random.default_rng(0))
    assert isinstance(SMALL, Recipe)
    assert isinstance(model, Model)
    assert SMALL.capabilities == {"black_box", "retrain"}
    assert model.margins(torch.zeros((0, 5))).shape == (0, 2)
    model.margins(torch.zeros((7, 5)))
    assert model.calls.forward == 7
    pixels = Samples(torch.rand((50, 1, 3, 3)), torch.arange(50) % 2, 2)
    images = SMALL.fit(pixels, rng=np.random.default_rng(0))
    assert images.margins(pixels.inputs).shape == (50, 2)


def test_one_class_alone_grows_a_forest_of_leaves():
    """A tree that is its own leaf: nothing to walk."""
    data = Samples(torch.rand((20, 2)), torch.ones(20, dtype=torch.int64), 2)
    margins = SMALL.grow(data, seed=0).margins(data.inputs)
    assert (margins.softmax(1)[:, 0] < 1e-15).all()


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="trees=0: wanted at least 1"):
        Forest(trees=0)

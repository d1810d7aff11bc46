"""AdaBoost against scikit-learn's own predictions."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from bench.data import Samples
from bench.models.adaboost import AdaBoost

SMALL = AdaBoost(trees=15, depth=4)


def samples(n_classes: int, n: int = 300) -> Samples:
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(n, 5))).float()
    signal = inputs[:, 0] + inputs[:, 1] * inputs[:, 2]
    edges = torch.tensor(np.quantile(signal.numpy(), np.arange(1, n_classes) / n_classes))
    return Samples(inputs, torch.bucketize(signal.double(), edges), n_classes)


def by_sklearn(data: Samples, recipe: AdaBoost, seed: int) -> AdaBoostClassifier:
    tree = DecisionTreeClassifier(max_depth=recipe.depth, min_samples_split=recipe.min_split)
    boosted = AdaBoostClassifier(tree, n_estimators=recipe.trees, random_state=seed)
    return boosted.fit(data.inputs.numpy(), data.targets.numpy())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("depth", [1, 4])
def test_the_walk_through_plain_arrays_is_scikit_learns_prediction(n_classes: int, depth: int):
    """The softmax of the margins is `predict_proba`, the largest margin `predict`, on rows that
    were not in the training."""
    data, recipe = samples(n_classes), AdaBoost(trees=15, depth=depth)
    model, theirs = recipe.grow(data, seed=3), by_sklearn(data, recipe, 3)
    new = torch.randn((400, 5), generator=torch.Generator().manual_seed(1))
    margins = model.margins(new)
    assert margins.dtype == torch.float64
    np.testing.assert_allclose(margins.softmax(1), theirs.predict_proba(new.numpy()), atol=1e-13)
    np.testing.assert_array_equal(margins.argmax(1), theirs.predict(new.numpy()))


def test_weights_and_votes_are_those_of_samme():
    """Algorithm 2 of Zhu and others written out: log((1 - err)/err) + log(K - 1) for each tree,
    rows that it errs on weighted up by its exponential."""
    data, recipe = samples(3), AdaBoost(trees=4, depth=2)
    inputs, targets = data.inputs.numpy(), data.targets.numpy()
    weights, alphas, votes = np.full(len(data), 1 / len(data)), [], np.zeros((len(data), 3))
    for tree in by_sklearn(data, recipe, 0).estimators_:
        predicted = tree.predict(inputs).astype(int)
        error = weights[predicted != targets].sum() / weights.sum()
        alphas.append(np.log((1 - error) / error) + np.log(2))
        weights = weights * np.exp(alphas[-1] * (predicted != targets))
        votes += alphas[-1] * np.where(np.arange(3) == predicted[:, None], 1, -1 / 2)
    expected = votes / np.sum(alphas) / 2
    found = recipe.grow(data, 0).margins(data.inputs)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_tree_without_errors_ends_the_boosting():
    """Split down to single rows, the first tree is all there is; `min_split` keeps it from that."""
    data = samples(2)
    assert len(AdaBoost(depth=30, min_split=2).grow(data, 0).trees.roots) == 1
    assert len(AdaBoost(trees=20, depth=30, min_split=30).grow(data, 0).trees.roots) == 20


@pytest.mark.parametrize("kept", [(0, 2), (2,)])
def test_classes_without_training_rows_have_probability_zero(kept: tuple[int, ...]):
    """Columns are classes of the data set, not of the rows that were seen."""
    data = samples(3)
    rows = np.isin(data.targets.numpy(), kept)
    probabilities = SMALL.grow(data.rows(rows), seed=0).margins(data.inputs).softmax(1)
    lacking = [k for k in range(3) if k not in kept]
    assert probabilities[:, lacking].max() < 1e-15
    seen = data.targets[torch.from_numpy(rows)]
    assert (probabilities[torch.from_numpy(rows)].argmax(1) == seen).double().mean() > 0.9


def test_numbers_are_no_classes():
    """The error names models that predict numbers."""
    data = Samples(torch.rand((20, 2)), torch.rand(20), 0)
    with pytest.raises(ValueError, match="model=gradient_boosting"):
        SMALL.grow(data, 0)


def test_rows_too_few_to_split_are_named():
    """Ten rows of two even classes under 12 to split: a leaf, no better than chance."""
    data = Samples(torch.rand((10, 2)), torch.arange(10) % 2, 2)
    with pytest.raises(ValueError, match="10 rows, min_split=12"):
        SMALL.grow(data, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"trees": 0}, "trees=0"), ({"min_split": 1}, "min_split=1"), ({"learning_rate": 0.0}, "0")],
)
def test_parameters_out_of_range_are_refused(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        AdaBoost(**fields)

"""Gradient boosting against scikit-learn's own predictions."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from bench.data import Samples
from bench.models.boosting import Boosting

SMALL = Boosting(rounds=12, leaves=7, min_leaf=5)


def samples(n_classes: int, n: int = 300) -> Samples:
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(n, 5))).float()
    signal = inputs[:, 0] + inputs[:, 1] * inputs[:, 2]
    if not n_classes:
        return Samples(inputs, signal, 0)
    edges = torch.tensor(np.quantile(signal.numpy(), np.arange(1, n_classes) / n_classes))
    return Samples(inputs, torch.bucketize(signal.double(), edges), n_classes)


@pytest.mark.parametrize("n_classes", [2, 3, 0])
def test_the_walk_through_plain_arrays_is_scikit_learns_prediction(n_classes: int):
    """The softmax of the margins is `predict_proba`, on rows that were not in the training."""
    data = samples(n_classes)
    model = SMALL.grow(data, seed=3)
    cls = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    theirs = cls(
        max_iter=12, max_leaf_nodes=7, min_samples_leaf=5, early_stopping=False, random_state=3
    ).fit(data.inputs.double().numpy(), data.targets.numpy())
    new = torch.randn((400, 5), generator=torch.Generator().manual_seed(1))
    if n_classes:
        expected = theirs.predict_proba(new.double().numpy())
        found = model.margins(new).softmax(1)
    else:
        expected, found = theirs.predict(new.double().numpy())[:, None], model.margins(new)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("kept", [(0, 2), (2,)])
def test_classes_without_training_rows_have_probability_zero(kept: tuple[int, ...]):
    """Columns are classes of the data set; of a single class nothing is told apart."""
    data = samples(3)
    rows = np.isin(data.targets.numpy(), kept)
    probabilities = SMALL.grow(data.rows(rows), seed=0).margins(data.inputs).softmax(1)
    lacking = [k for k in range(3) if k not in kept]
    assert probabilities[:, lacking].max() < 1e-13
    if len(kept) == 2:
        seen = data.targets[torch.from_numpy(rows)]
        assert (probabilities[torch.from_numpy(rows)].argmax(1) == seen).double().mean() > 0.9


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"rounds": 0}, "rounds=0"), ({"leaves": 1}, "leaves=1"), ({"learning_rate": 0.0}, "more")],
)
def test_parameters_out_of_range_are_refused(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Boosting(**fields)

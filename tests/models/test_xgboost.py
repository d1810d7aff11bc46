"""Our walk through XGBoost's trees against the package's own predictions."""

import sys

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.isolation import Unsupported
from bench.models.xgboost import XGBoost

xgboost = pytest.importorskip("xgboost")

SMALL = XGBoost(rounds=8)


def samples(n_classes: int, n: int = 300) -> Samples:
    """Inputs of two digits, so that many rows lie on a threshold."""
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(n, 5)).round(1)).float()
    signal = inputs[:, 0] + inputs[:, 1] * inputs[:, 2]
    if not n_classes:
        return Samples(inputs, signal, 0)
    edges = torch.tensor(np.quantile(signal.numpy(), np.arange(1, n_classes) / n_classes))
    return Samples(inputs, torch.bucketize(signal.double(), edges), n_classes)


@pytest.mark.parametrize("split", ["exact", "hist"])
@pytest.mark.parametrize("n_classes", [2, 3, 0])
def test_the_walk_through_plain_arrays_is_the_packages_prediction(n_classes: int, split: str):
    """To 1e-6, single precision, on rows that were not in the training."""
    data = samples(n_classes)
    model = XGBoost(split=split).grow(data, seed=3)
    cls = xgboost.XGBClassifier if n_classes else xgboost.XGBRegressor
    theirs = cls(
        n_estimators=20,
        max_depth=3,
        learning_rate=0.08,
        min_child_weight=2,
        tree_method=split,
        base_score=0.5 if n_classes == 2 else 0.0,
        n_jobs=1,
    ).fit(data.inputs.numpy(), data.targets.numpy())
    new = torch.randn((2000, 5), generator=torch.Generator().manual_seed(1)).round(decimals=1)
    if n_classes:
        expected, found = theirs.predict_proba(new.numpy()), model.margins(new).softmax(1)
    else:
        expected, found = theirs.predict(new.numpy())[:, None], model.margins(new)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_the_first_tree_is_a_newton_step_from_even_odds():
    """One split: leaves are -G / (H + 1) by the rate, with G = sum(.5 - y) and H = n / 4."""
    inputs = torch.tensor([0.0] * 12 + [1.0] * 28)[:, None]
    targets = torch.tensor([1] * 10 + [0] * 2 + [1] * 7 + [0] * 21)
    model = XGBoost(rounds=1, depth=1).grow(Samples(inputs, targets, 2), seed=0)
    found = model.margins(torch.tensor([[0.0], [1.0]]))
    expected = [0.08 * 4 / (12 / 4 + 1), -0.08 * 7 / (28 / 4 + 1)]
    np.testing.assert_allclose(found, [[0, expected[0]], [0, expected[1]]], atol=1e-7)


@pytest.mark.parametrize("kept", [(0, 2), (2,)])
def test_classes_without_training_rows_have_probability_zero(kept: tuple[int, ...]):
    """Columns are classes of the data set; of a single class nothing is told apart."""
    data = samples(3)
    rows = np.isin(data.targets.numpy(), kept)
    probabilities = SMALL.grow(data.rows(rows), seed=0).margins(data.inputs).softmax(1)
    lacking = [k for k in range(3) if k not in kept]
    assert probabilities[:, lacking].max() < 1e-15
    seen = data.targets[torch.from_numpy(rows)]
    assert (probabilities[torch.from_numpy(rows)].argmax(1) == seen).double().mean() > 0.9


def test_no_rows_are_named():
    pixels = Samples(torch.rand((50, 1, 3, 3)), torch.arange(50) % 2, 2)
    with pytest.raises(ValueError, match="no rows"):
        SMALL.grow(pixels.rows(np.arange(0)), 0)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """An answer with a reason, never a crash."""
    monkeypatch.setitem(sys.modules, "xgboost", None)  # then importing it fails
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[xgboost\]'"):
        SMALL.grow(samples(2), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"rounds": 0}, "rounds=0"), ({"depth": 0}, "depth=0"), ({"learning_rate": 0.0}, "more")],
)
def test_parameters_out_of_range_are_refused(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        XGBoost(**fields)

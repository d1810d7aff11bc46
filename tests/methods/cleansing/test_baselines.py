"""Methods that compare rows or labels, each against its definition."""

import sys
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from earnest.methods.cleansing import knn_shapley
from earnest.methods.cleansing.autoencoder import AutoencoderOutliers
from earnest.methods.cleansing.confident_learning import (
    ConfidentLearning,
    even_folds,
    out_of_sample,
)
from earnest.methods.cleansing.data_oob import DataOOB
from earnest.methods.cleansing.isolation_forest import IsolationForestOutliers
from earnest.methods.cleansing.knn_shapley import KNNShapley
from earnest.methods.cleansing.margin import Margin
from earnest.methods.cleansing.representer_points import RepresenterPoints, refit
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from bench.data import Samples
from bench.models.given import BlackBox
from bench.models.network import MLP, with_parameters
from bench.models.representation import penultimate
from bench.models.sgd import SGD
from bench.scores.rank_agreement import auc
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem

RNG = np.random.default_rng
NETWORK = SGD(MLP((5,), "gelu"), epochs=4, batch_size=10)


def values(method, problem, seed=0):
    return method.explain(problem, rng=RNG(seed)).values


@pytest.mark.parametrize(("neighbours", "n"), [(1, 6), (2, 6), (3, 7), (9, 6)])
def test_knn_shapley_by_all_subsets(neighbours, n):
    """The Shapley value by its definition: the share of the K nearest of a set that are right."""
    rng = RNG(3)
    train = Samples(torch.tensor(rng.normal(size=(n, 2))).float(), torch.arange(n) % 3, 3)
    query = Samples(torch.tensor(rng.normal(size=(4, 2))).float(), torch.arange(4) % 3, 3)
    near = torch.cdist(query.inputs, train.inputs).argsort(1).numpy()
    right = (train.targets[None] == query.targets[:, None]).numpy()

    def worth(rows):
        found = [[row for row in near[q] if row in rows][:neighbours] for q in range(4)]
        return np.mean([right[q, kept].sum() / neighbours for q, kept in enumerate(found)])

    expected = np.zeros(n)
    for row in range(n):
        others = [other for other in range(n) if other != row]
        for size in range(n):
            for some in combinations(others, size):
                gain = worth({*some, row}) - worth(set(some))
                expected[row] += gain / (n * comb(n - 1, size))
    model = BlackBox(lambda inputs: torch.zeros(len(inputs), 3).double(), 3)
    problem = CleansingProblem(model, train, query)
    np.testing.assert_allclose(values(KNNShapley(neighbours), problem), expected, atol=1e-12)


def test_knn_shapley_in_chunks_and_in_the_networks_features(ask, monkeypatch):
    """Few query rows at a time change nothing; values add up to what all rows are worth."""
    problem = ask(NETWORK)
    for method in (KNNShapley(), KNNShapley(3, "features")):
        whole = values(method, problem)
        with monkeypatch.context() as patch:
            patch.setattr(knn_shapley, "CHUNK_NUMBERS", 7 * 60)
            np.testing.assert_allclose(values(method, problem), whole, atol=1e-12)
    hidden = [
        torch.nn.functional.gelu(samples.inputs @ weight.T + bias)
        for samples in (problem.train, problem.validation)
        for weight, bias in [list(problem.model.module.parameters())[:2]]
    ]
    near = torch.cdist(hidden[1].double(), hidden[0].double()).argsort(1)[:, :3]
    right = problem.train.targets[near] == problem.validation.targets[:, None]
    assert whole.sum() == pytest.approx(right.double().mean().item())


def test_representer_points_give_the_scores_back():
    """At the minimum the scores are the sum of the rows' terms (Theorem 3.1), and the minimum is
    scikit-learn's for the same penalty."""
    rng = RNG(0)
    rows, targets = rng.normal(size=(40, 3)), np.arange(40) % 3
    weights = refit(rows, targets, 3, damping=0.05)
    scores = rows @ weights.T
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    alphas = -(probabilities - np.eye(3)[targets]) / (2 * 0.05 * 40)
    np.testing.assert_allclose(alphas.T @ rows, weights, atol=1e-6)
    theirs = LogisticRegression(C=1 / (2 * 0.05 * 40), fit_intercept=False, tol=1e-10)
    np.testing.assert_allclose(theirs.fit(rows, targets).coef_, weights, atol=1e-5)


def test_representer_values_are_changes_of_the_loss(ask):
    """A row's term taken from the query's scores changes its loss by the value, to first order:
    a thousandth of the term by a thousandth of the value."""
    problem = ask(NETWORK, n_classes=3)
    found = values(RepresenterPoints(0.05), problem)
    train, query = (
        np.c_[penultimate(problem.model.module, s.inputs).double().numpy(), np.ones(60)]
        for s in (problem.train, problem.validation)
    )
    targets, asked = problem.train.targets.numpy(), problem.validation.targets.numpy()
    weights = refit(train, targets, 3, 0.05)

    def loss(scores):
        return -np.log(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))[
            np.arange(60), asked
        ].mean()

    scores = train @ weights.T
    residuals = np.exp(scores) / np.exp(scores).sum(1, keepdims=True) - np.eye(3)[targets]
    for row in (0, 13, 41):
        term = -np.outer(query @ train[row], residuals[row]) / (2 * 0.05 * 60)
        change = loss(query @ weights.T - 1e-3 * term) - loss(query @ weights.T)
        assert found[row] == pytest.approx(1e3 * change, rel=1e-2, abs=1e-6)


def test_margins_row_by_row(ask):
    """Own score minus the best other; the mean over epochs is that of the models at their ends."""
    problem = ask(NETWORK, n_classes=3)
    scores = problem.model.margins(problem.train.inputs).detach().numpy()
    expected = [
        row[y] - np.delete(row, y).max()
        for row, y in zip(scores, problem.train.targets.tolist(), strict=True)
    ]
    np.testing.assert_allclose(values(Margin(), problem), expected)
    ends = [problem.trajectory.at(6 * epoch).theta[0] for epoch in (1, 2, 3, 4)]
    modules = [with_parameters(problem.model.module, flat) for flat in ends]
    models = [replace(problem.model, module=module) for module in modules]
    parts = [values(Margin(), replace(problem, model=model)) for model in models]
    np.testing.assert_allclose(values(Margin("epochs"), problem), np.mean(parts, 0), atol=1e-5)


def two_clouds(wrong=4, n=80):
    """Classes far apart, the first labels wrong, and one row of its class far from all."""
    rng = RNG(0)
    truth = np.arange(2 * n) % 2
    inputs = rng.normal(size=(2 * n, 3)) + 6 * (truth[:, None] - 0.5)
    labels = np.where(np.arange(2 * n) < wrong, 1 - truth, truth)
    samples = Samples(torch.tensor(inputs).float(), torch.tensor(labels), 2)
    train, query = samples.rows(np.arange(n)), samples.rows(np.arange(n, 2 * n))
    return CleansingProblem(NETWORK.fit(train, rng=RNG(1)), train, query)


@pytest.mark.parametrize(
    "method",
    [
        DataOOB(trees=100),
        DataOOB(trees=100, space="features"),
        IsolationForestOutliers(space="inputs"),
        IsolationForestOutliers(space="inputs", reference="train"),
        AutoencoderOutliers(steps=200),
        ConfidentLearning(),
        ConfidentLearning(quality="normalized_margin"),
        KNNShapley(),
        Margin("epochs"),
        RepresenterPoints(),
    ],
)
def test_wrong_labels_come_first(method):
    """Where classes are far apart, the four wrong labels have the smallest values."""
    if isinstance(method, ConfidentLearning):
        pytest.importorskip("cleanlab")
    assert auc(-values(method, two_clouds()), np.arange(80) < 4) > 0.99


@pytest.mark.parametrize(
    "method",
    [
        IsolationForestOutliers(space="inputs", by_class=False),
        AutoencoderOutliers(steps=300, by_class=False),
        AutoencoderOutliers(steps=300, reference="train", code=1, by_class=False),
    ],
)
def test_pooled_outliers_see_inputs_alone(method):
    """A row far from all comes first whatever its label, and labels change nothing."""
    problem = two_clouds(wrong=0)
    moved = problem.train.inputs.clone()
    moved[11] = torch.tensor([30.0, -30.0, 0.0])
    far = replace(problem, train=Samples(moved, problem.train.targets, 2))
    found = values(method, far)
    assert found.argmin() == 11
    swapped = replace(far, train=Samples(moved, 1 - problem.train.targets, 2))
    np.testing.assert_array_equal(values(method, swapped), found)


def test_a_class_that_the_query_lacks_is_compared_with_all_of_it():
    """No reference rows of the label: the whole query stands for them."""
    problem = two_clouds(wrong=0)
    zeros = np.flatnonzero(problem.validation.targets == 0)
    only = replace(problem, validation=problem.validation.rows(zeros))
    method = IsolationForestOutliers(space="inputs")
    pooled = values(replace(method, by_class=False), only)
    np.testing.assert_array_equal(values(method, only), pooled)


def test_data_oob_by_its_bags():
    """Trees of the same draws, one row and one tree at a time; rows in every bag get the mean."""
    problem = two_clouds()
    inputs, targets = problem.train.inputs.numpy(), problem.train.targets.numpy()
    rng = RNG(5)
    right = [[] for _ in range(80)]
    for draws in rng.multinomial(80, np.full(80, 1 / 80), size=3):
        bag = np.repeat(np.arange(80), draws)
        tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31)))
        tree.fit(inputs[bag], targets[bag])
        for row in set(range(80)) - set(bag):
            right[row].append(float(tree.predict(inputs[row][None])[0] == targets[row]))
    shares = np.array([np.mean(found) if found else np.nan for found in right])
    expected = np.where(np.isnan(shares), np.nanmean(shares), shares)
    assert np.isnan(shares).any()
    np.testing.assert_allclose(values(DataOOB(trees=3), problem, seed=5), expected)


def test_folds_are_even_and_models_never_saw_their_rows(ask):
    """Each class is dealt evenly; probabilities are those of the run without the fold."""
    problem = ask(NETWORK, n_classes=3)
    labels = problem.train.targets.numpy()
    fold = even_folds(labels, 4, RNG(0))
    for target in range(3):
        counts = np.bincount(fold[labels == target], minlength=4)
        assert np.ptp(counts) <= 1
    found = out_of_sample(problem, fold)
    (model,) = problem.model.retrain(torch.from_numpy(fold != 2)[None])
    expected = model.margins(problem.train.inputs).softmax(1).detach().numpy()
    np.testing.assert_allclose(found[fold == 2], expected[fold == 2], atol=1e-5)


def test_confident_learning_marks_by_cleanlabs_rule(ask):
    """Rows that cleanlab calls wrong lie below all others; the order inside is its quality."""
    cleanlab = pytest.importorskip("cleanlab")
    problem = two_clouds()
    found = values(ConfidentLearning(), problem)
    labels = problem.train.targets.numpy()
    probabilities = out_of_sample(problem, even_folds(labels, 5, RNG(0)))
    wrong = cleanlab.filter.find_label_issues(labels, probabilities, n_jobs=1)
    assert wrong.any()
    assert found[wrong].max() < found[~wrong].min()
    np.testing.assert_allclose(found + wrong, probabilities[np.arange(80), labels], atol=1e-6)


def test_without_the_package_it_is_unsupported(monkeypatch):
    """The reason names the extra."""
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[cleanlab\]'"):
        values(ConfidentLearning(), two_clouds())


def test_an_autoencoder_gives_a_plane_back():
    """Rows of a plane pass a code of two; a row off the plane doesn't."""
    rng = RNG(0)
    plane = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6))
    method = AutoencoderOutliers(code=2, steps=1500)
    trained = method._trained(torch.tensor(plane).float(), RNG(1))
    off = torch.tensor(plane[:5] + rng.normal(size=(5, 6))).float()
    with torch.no_grad():
        given, error = torch.tensor(plane).float(), (trained(off) - off).square().mean()
        assert (trained(given) - given).square().mean() < 0.1 * error


@pytest.mark.parametrize(
    "make",
    [
        lambda: KNNShapley(0),
        lambda: DataOOB(0),
        lambda: RepresenterPoints(0.0),
        lambda: ConfidentLearning(1),
    ],
)
def test_impossible_numbers_are_refused(make):
    """The error names the value met and the value wanted."""
    with pytest.raises(ValueError, match="wanted"):
        make()

from dataclasses import replace

import numpy as np
import pytest
from earnest.methods.companion.selective_classification import (
    SelectiveClassification,
    Surest,
    _regressed,
    _thresholds,
)

from bench.rules import Partner


def everything(problem, tiers: int = 10) -> Surest:
    """All tiers, whatever the objective says."""
    weights, offsets, labels = _regressed(problem, 1.0)
    whole = Surest(weights, offsets, labels, ())
    confidence = whole.chances(problem.train.literals.values).max(axis=1)
    return replace(whole, thresholds=_thresholds(confidence, tiers))


@pytest.mark.parametrize("n_labels", [2, 3])
def test_probabilities_are_those_of_scikit_learn(random_problem, n_labels: int):
    from sklearn.linear_model import LogisticRegression

    problem = random_problem(0, n=200, n_labels=n_labels)
    values, labels = problem.train.literals.values, problem.train.labels
    fitted = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(values[:, ::2], labels)
    expected = fitted.predict_proba(values[:, ::2])
    np.testing.assert_allclose(everything(problem).chances(values), expected, atol=1e-12)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_surest_rows_come_first(random_problem, n_labels: int):
    """Tiers fall in confidence, hold their share of the rows up to ties, and cover all; each row
    gets its most probable label."""
    for seed in range(3):
        problem = random_problem(seed, n=300, n_labels=n_labels)
        values = problem.train.literals.values
        partner = everything(problem, tiers=5)
        tier, confidence = partner.decided_by(values), partner.chances(values).max(axis=1)
        assert (tier >= 0).all()
        for earlier in range(len(partner) - 1):
            assert confidence[tier <= earlier].min() > confidence[tier > earlier].max()
        largest_tie = np.unique(confidence.round(9), return_counts=True)[1].max()
        shares = [(tier <= k).sum() for k in range(len(partner))]
        if len(partner) == 5:
            assert all(0 <= n - 60 * (k + 1) < largest_tie for k, n in enumerate(shares))
        said = np.array(partner.labels)[partner.chances(values).argmax(axis=1)]
        np.testing.assert_array_equal(partner.predict(values), said)


def test_thresholds_by_hand():
    """Two tiers of four values, three of which tie; more tiers than values."""
    assert _thresholds(np.array([0.9, 0.5, 0.7, 0.6]), 2) == pytest.approx((0.65, 0.0))
    assert _thresholds(np.array([0.9, 0.9, 0.9, 0.6]), 2) == pytest.approx((0.75, 0.0))
    assert _thresholds(np.array([0.9, 0.6]), 10) == pytest.approx((0.75, 0.0))
    assert _thresholds(np.full(4, 0.8), 3) == (0.0,)


def test_rows_below_the_last_threshold_are_left():
    """A literal that holds says label 1 with the probability of its weight's sigmoid."""
    partner = Surest(np.array([[0.0, 2.0], [0.0, 0.0]]), np.zeros(2), (0, 1), (0.8,))
    values = np.array([[True, False], [False, True]])
    assert partner.decided_by(values).tolist() == [0, -1]
    assert partner.predict(values).tolist() == [1, -1]
    assert partner.literals == (0,)
    assert partner.texts(("a", "b"), ("no", "yes")) == ["confidence >= 0.8"]
    assert isinstance(partner, Partner)


def test_the_objective_chooses_the_tiers(random_problem):
    """No other number of them is better."""
    for seed in range(4):
        problem = random_problem(seed, n=200, objective="autac")
        found = SelectiveClassification().explain(problem, rng=np.random.default_rng(0))
        whole = everything(problem)
        values = [
            problem.value(replace(whole, thresholds=whole.thresholds[:m]))
            for m in range(len(whole) + 1)
        ]
        assert problem.value(found) == max(values)


def test_one_label_alone_is_answered(random_problem):
    """Nothing to regress: the label with certainty."""
    problem = random_problem(0, objective="autac")
    ones = np.ones(len(problem.train), dtype=int)
    flat = replace(problem, train=replace(problem.train, labels=ones))
    found = SelectiveClassification().explain(flat, rng=np.random.default_rng(0))
    assert found.labels == (1,)
    assert set(found.predict(flat.train.literals.values).tolist()) == {1}


@pytest.mark.parametrize("name", ["tiers", "strength"])
def test_numbers_that_make_no_sense_are_refused(name: str):
    with pytest.raises(ValueError, match=f"{name}=0: wanted more than 0"):
        SelectiveClassification(**{name: 0})

"""Fairness measures against their definitions, row by row."""

import math

import numpy as np
import pytest

from bench.rules.fairness import two_groups
from bench.scores.disparity import MEASURES, disparity


def share(of: list[bool], among: list[bool]) -> float:
    """P(of | among), NaN where there is none among."""
    chosen = [a for a, given in zip(of, among, strict=True) if given]
    return sum(chosen) / len(chosen) if chosen else math.nan


def literal(measure, predicted, groups, truth):
    """The parts' gaps, as the definitions say them."""
    rows = list(zip(predicted, groups, truth, strict=True))

    def gap(of, among):
        shares = [
            share([of(c, b) for c, _, b in rows], [g == group and among(c, b) for c, g, b in rows])
            for group in (0, 1)
        ]
        return shares[1] - shares[0]

    parity = [gap(lambda c, b: c == 1, lambda c, b: True)]
    false_alarm = [gap(lambda c, b: c == 1, lambda c, b: b == 0)]
    hit = [gap(lambda c, b: c == 1, lambda c, b: b == 1)]
    precision = [gap(lambda c, b: b == 1, lambda c, b: c == 1)]
    omission = [gap(lambda c, b: b == 0, lambda c, b: c == 0)]
    joint = [sum(c * (g == 1) for c, g, _ in rows) - sum(c * (g == 0) for c, g, _ in rows)]
    return {
        "demographic_parity": parity,
        "joint_demographic_parity": [joint[0] / len(rows)],
        "predictive_equality": false_alarm,
        "equal_opportunity": hit,
        "equalized_odds": false_alarm + hit,
        "predictive_parity": precision,
        "conditional_use_accuracy_equality": precision + omission,
    }[measure]


def rows(seed: int, n: int = 40):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (6, n)), rng.integers(-1, 2, n), rng.integers(0, 2, n)


@pytest.mark.parametrize("measure", MEASURES)
def test_gaps_are_those_of_the_definition(measure: str):
    """Many prediction vectors at once, rows of neither group among them."""
    for seed in range(10):
        predicted, groups, truth = rows(seed)
        found = disparity(measure, predicted, groups, truth)
        want = np.array([literal(measure, one, groups, truth) for one in predicted])
        np.testing.assert_allclose(found.gaps, want, atol=1e-12)
        np.testing.assert_allclose(found.absolute, np.abs(want).max(axis=1), atol=1e-12)
        np.testing.assert_array_equal(np.abs(found.signed), found.absolute)
        one = disparity(measure, predicted[0], groups, truth)
        assert one.absolute == found.absolute[0]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_groups_exchanged_change_the_sign(measure: str):
    """Who is called group 1 decides the sign alone."""
    predicted, groups, truth = rows(3)
    other = np.where(groups == -1, -1, 1 - groups)
    one, two = (disparity(measure, predicted, g, truth) for g in (groups, other))
    np.testing.assert_allclose(one.gaps, -two.gaps)


def test_a_prediction_that_repeats_the_truth():
    """No gap but the base rates', by which demographic parity judges."""
    _, groups, truth = rows(1)
    for measure in MEASURES:
        gap = disparity(measure, truth, groups, truth).absolute
        assert (gap > 0.01) if "demographic" in measure else (gap == 0)


def test_a_missing_group_or_label_is_named():
    """Which group, which label: the definition has a zero denominator for any prediction."""
    predicted, groups, truth = rows(0)
    with pytest.raises(ValueError, match="group 1 has no rows"):
        disparity("demographic_parity", predicted, np.where(groups == 1, -1, groups), truth)
    positives = np.where(groups == 0, 0, truth)
    for measure in ("equal_opportunity", "equalized_odds"):
        with pytest.raises(ValueError, match="group 0 has no row whose label is 1"):
            disparity(measure, predicted, groups, positives)
    for measure in ("predictive_equality", "demographic_parity", "predictive_parity"):
        assert np.isfinite(disparity(measure, predicted, groups, positives).gaps).all()


def test_nan_where_nothing_is_predicted_that_makes_the_denominator():
    """With a note that says which group lacks which prediction."""
    predicted, groups, truth = rows(0)
    predicted[2] *= groups != 1
    found = disparity("predictive_parity", predicted, groups, truth)
    assert np.isnan(found.absolute).tolist() == [False, False, True, False, False, False]
    assert found.note == "no row of group 1 is predicted 1"
    always = disparity("conditional_use_accuracy_equality", np.ones(40), groups, truth)
    assert math.isnan(always.absolute)
    assert always.note == "no row of group 0 is predicted 0; no row of group 1 is predicted 0"
    assert disparity("equalized_odds", predicted, groups, truth).note == ""


def test_what_is_no_label_or_no_group_is_refused():
    """Probabilities, three groups, an unknown measure: the value met and the way out."""
    predicted, groups, truth = rows(0)
    with pytest.raises(ValueError, match=r"there is 0\.3: cut probabilities"):
        disparity("demographic_parity", np.full(40, 0.3), groups, truth)
    with pytest.raises(ValueError, match="there is 2: two_groups"):
        disparity("demographic_parity", predicted, groups + 1, truth)
    with pytest.raises(ValueError, match="no measure 'parity': there are demographic_parity"):
        disparity("parity", predicted, groups, truth)


def test_two_of_three_groups():
    """A pair leaves the third out; against the rest everyone counts."""
    codes = np.array([0, 1, 2, 2])
    assert two_groups(codes, 2).tolist() == [0, 0, 1, 1]
    assert two_groups(codes, 2, 0).tolist() == [0, -1, 1, 1]

import numpy as np
import pytest

from bench.rules import Rule, RuleList
from bench.scores.autac import (
    TransparencyCurve,
    accuracy_at,
    autac,
    autac_normalised,
    completed,
    doubled_area,
    transparency_curve,
)


def literal_points(rules, values, labels, black_box) -> list[tuple[float, float]]:
    """(T_m, A_m) of each depth, as the paper defines them, one user and one row at a time."""
    points = []
    for depth in range(len(rules) + 1):
        covered = right = 0
        for row, label, box in zip(values, labels, black_box, strict=True):
            answer = box
            for rule, said in list(zip(rules.rules, rules.labels, strict=True))[:depth]:
                if all(row[condition] for condition in rule.conditions):
                    answer, covered = said, covered + 1
                    break
            right += answer == label
        points.append((covered / len(labels), right / len(labels)))
    return points


def literal_autac(points: list[tuple[float, float]]) -> float:
    pairs = zip(points, points[1:], strict=False)
    return sum((a1 + a0) * (t1 - t0) for (t0, a0), (t1, a1) in pairs) / 2


def drawn(seed: int, n: int = 57):
    rng = np.random.default_rng(seed)
    values = rng.random((n, 6)) < 0.4
    labels, black_box = rng.integers(0, 2, n), rng.integers(0, 2, n)
    picked = [Rule(tuple(rng.permutation(6)[: rng.integers(1, 3)].tolist())) for _ in range(4)]
    return RuleList(tuple(picked), tuple(rng.integers(0, 2, 4).tolist())), values, labels, black_box


def curve_of(rules, values, labels, black_box) -> TransparencyCurve:
    decided = rules.decided_by(values)
    return transparency_curve(decided, rules.predict(values), labels, black_box, len(rules))


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_and_its_area_follow_the_definition(seed: int):
    """Each depth evaluated by itself, row by row; 2 N^2 AUTAC is whole and exact."""
    rules, values, labels, black_box = drawn(seed)
    points = literal_points(rules, values, labels, black_box)
    curve = curve_of(rules, values, labels, black_box)
    np.testing.assert_allclose(np.column_stack([curve.transparency, curve.accuracy]), points)
    assert autac(curve) == pytest.approx(literal_autac(points), abs=1e-12)
    assert doubled_area(curve) == round(2 * 57**2 * literal_autac(points))


@pytest.mark.parametrize("seed", range(20))
def test_a_gain_early_is_worth_more(seed: int):
    """AUTAC = A_0 T_M + sum_m g_m (T_M - (T_m-1 + T_m) / 2), g_m the gain of rule m."""
    curve = curve_of(*drawn(seed))
    t, gains = curve.transparency, np.diff(curve.accuracy)
    other = curve.accuracy[0] * t[-1] + np.sum(gains * (t[-1] - (t[:-1] + t[1:]) / 2))
    assert autac(curve) == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("default", [0, 1])
def test_the_completed_curve_is_that_of_a_last_rule_for_all(default: int):
    """The default rule as a rule without conditions, through the literal evaluator."""
    rules, values, labels, black_box = drawn(3)
    left = rules.decided_by(values) < 0
    by_default = int((labels[left] == default).sum())
    by_box = int((labels[left] == black_box[left]).sum())
    curve = completed(curve_of(rules, values, labels, black_box), by_default, by_box)
    longer = RuleList((*rules.rules, Rule(())), (*rules.labels, default))
    points = literal_points(longer, values, labels, black_box)
    np.testing.assert_allclose(np.column_stack([curve.transparency, curve.accuracy]), points)


def test_an_empty_list():
    """No area, no coverage: normalised it is the black box's accuracy."""
    labels, black_box = np.array([0, 1, 1, 1]), np.array([0, 1, 0, 1])
    curve = curve_of(RuleList((), ()), np.zeros((4, 2), dtype=bool), labels, black_box)
    assert autac(curve) == 0
    assert autac_normalised(curve) == 0.75
    assert autac(completed(curve, 3, 3)) == 0.75


def test_a_list_that_covers_everything():
    """All three variants are one; a rule that always agrees with the box has A_0 for area."""
    black_box, labels = np.ones(4, dtype=int), np.array([1, 1, 1, 0])
    curve = curve_of(RuleList((Rule(()),), (1,)), np.zeros((4, 2), dtype=bool), labels, black_box)
    assert autac(curve) == autac_normalised(curve) == autac(completed(curve, 0, 0)) == 0.75


def test_a_perfect_pair_has_area_one():
    """The upper end of the range; the lower is a pair that is always wrong."""
    values, labels = np.zeros((4, 1), dtype=bool), np.ones(4, dtype=int)
    assert autac(curve_of(RuleList((Rule(()),), (1,)), values, labels, labels)) == 1
    assert autac(curve_of(RuleList((Rule(()),), (0,)), values, labels, 1 - labels)) == 0


def test_the_height_between_two_depths_is_linear():
    """Half-way between T = .5 and T = 1; beyond the end there is none."""
    curve = TransparencyCurve(np.array([0, 5]), np.array([8, 10]), 10)
    assert accuracy_at(curve, 0.25) == pytest.approx(0.9)
    assert accuracy_at(curve, 0.0) == pytest.approx(0.8)
    assert np.isnan(accuracy_at(curve, 0.75))


@pytest.mark.parametrize("seed", range(20))
def test_the_normalised_area_is_the_area_over_the_coverage(seed: int):
    """Lists that leave rows to the box: the literal area over T_M < 1."""
    points = literal_points(*drawn(seed, n=200))
    reach = points[-1][0]
    assert 0 < reach < 1
    found = autac_normalised(curve_of(*drawn(seed, n=200)))
    assert found == pytest.approx(literal_autac(points) / reach, abs=1e-12)

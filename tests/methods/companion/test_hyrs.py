from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from earnest.methods.companion.hyrs import GOALS, Board, HyRS, board_of, listed

from bench.rules import RuleList
from bench.tasks.companion import CompanionProblem


def decided(problem: CompanionProblem, board: Board, rules: tuple[int, ...]) -> np.ndarray:
    """Row by row: the largest label among the rules that cover it, else the black box's."""
    values, answers = problem.train.literals.values, problem.train.black_box.copy()
    for row in range(len(answers)):
        at = slice(row, row + 1)
        said = [
            int(board.label[rule])
            for rule in rules
            if problem.pool.rules[rule].covers(values[at])[0]
        ]
        answers[row] = max(said, default=answers[row])
    return answers


def literal(problem: CompanionProblem, board: Board, rules: tuple[int, ...]) -> float:
    """The paper's objective: error + theta_1 rules - theta_2 transparency."""
    wrong = (decided(problem, board, rules) != problem.train.labels).mean()
    values = problem.train.literals.values
    covered = np.any([problem.pool.rules[rule].covers(values) for rule in rules], axis=0)
    return float(wrong + board.penalty * len(rules) - board.reward * covered.mean())


@pytest.mark.parametrize("n_labels", [2, 3])
def test_objective_of_a_rule_set(random_problem, n_labels: int):
    """Packed and by definition."""
    for seed in range(5):
        problem = random_problem(seed, n=150, rules=8, n_labels=n_labels)
        board = board_of(problem, 0.01, 0.2)
        rng = np.random.default_rng(seed)
        for length in range(6):
            rules = tuple(rng.permutation(len(problem.pool.rules))[:length].tolist())
            expected = literal(problem, board, rules)
            assert board.hybrid(rules).objective == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_steps_do_what_they_are_for(random_problem, n_labels: int):
    """Their objectives are those of the sets that they make; a step towards fewer wrong rows
    mends one, towards fewer rules removes one, towards more transparency covers a row more."""
    seen = dict.fromkeys(GOALS, 0)
    for seed in range(10):
        problem = random_problem(seed, n=60, rules=8, n_labels=n_labels)
        board = board_of(problem, 0.01, 0.2)
        rng = np.random.default_rng(seed)
        hybrid = board.hybrid(rng.permutation(len(problem.pool.rules))[:3].tolist())
        right = decided(problem, board, hybrid.rules) == problem.train.labels
        covered = board.covers[list(hybrid.rules)].any(axis=0)
        for goal in GOALS:
            for option in board.options(hybrid, goal, rng):
                seen[goal] += 1
                new = tuple(sorted(option.rules))
                assert len(set(new)) == len(new)
                assert option.objective == pytest.approx(literal(problem, board, new), abs=1e-12)
                if goal == "fewer wrong" and len(new) > len(hybrid.rules):
                    now = decided(problem, board, new) == problem.train.labels
                    assert (now & ~right).any()
                elif goal == "fewer wrong":
                    (gone,) = set(hybrid.rules) - set(new)
                    assert (board.covers[gone] & ~right).any()
                elif goal == "fewer rules":
                    assert len(new) == len(hybrid.rules) - 1
                else:
                    assert (board.covers[list(new)].any(axis=0) & ~covered).any()
    assert min(seen.values()) > 5


def test_search_finds_the_best_of_all_rule_sets(random_problem):
    """By enumeration of all subsets of seven rules, at several rewards."""
    method = HyRS(sweeps=60)
    for seed in range(3):
        problem = random_problem(seed, rules=5, at_most=7)
        for reward in (0.0, 0.05, 0.5):
            board = board_of(problem, 0.004, reward)
            best = min(
                board.hybrid(rules).objective
                for length in range(8)
                for rules in combinations(range(7), length)
            )
            found = method._search(board, np.random.default_rng(seed))
            assert found.objective == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_whole_list_is_the_hybrid(random_problem, n_labels: int):
    """On each training row, whatever the order of the rules; all of them are in it."""
    for seed in range(5):
        problem = random_problem(seed, n=150, rules=8, n_labels=n_labels)
        board = board_of(problem, 0.001, 0.1)
        rules = np.random.default_rng(seed).permutation(len(problem.pool.rules))[:6].tolist()
        found = listed(problem, board, rules)
        predicted = found.predict(problem.train.literals.values)
        predicted = np.where(predicted < 0, problem.train.black_box, predicted)
        np.testing.assert_array_equal(predicted, decided(problem, board, tuple(rules)))
        assert set(found.rules) == {problem.pool.rules[rule] for rule in rules}


def test_what_gains_most_comes_first(random_problem):
    """Of rules that share no row the gain rates fall."""
    problem = random_problem(0, n=400, rules=20)
    board = board_of(problem, 0.001, 0.1)
    rules: list[int] = []
    for rule in range(len(problem.pool.rules)):
        if not (board.covers[rules] & board.covers[rule]).any():
            rules.append(rule)
    assert len(rules) > 2
    train, rates = problem.train, []
    for rule, label in zip(*vars(listed(problem, board, rules)).values(), strict=True):
        rows = rule.covers(train.literals.values)
        gain = (train.labels[rows] == label).sum() - (train.labels == train.black_box)[rows].sum()
        rates.append(gain / rows.sum())
    assert rates == sorted(rates, reverse=True)


def test_a_reward_buys_transparency(random_problem):
    """Beside a black box that is always right rules are bought by the reward alone, and what is
    asked of them is the problem's objective."""
    problem = random_problem(3, n=200, rules=10)
    labels = problem.train.labels
    problem = replace(problem, train=replace(problem.train, black_box=labels))

    def found(*rewards: float) -> RuleList:
        return HyRS(rewards=rewards).explain(problem, rng=np.random.default_rng(0))

    assert len(found(0.0005)) == 0
    assert (found(1.0).decided_by(problem.train.literals.values) >= 0).mean() > 0.9
    assert problem.value(found(1.0, 0.0005)) >= problem.value(found(1.0))


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="wanted one or more"):
        HyRS(rewards=())
    with pytest.raises(ValueError, match="penalty=0"):
        HyRS(penalty=0)

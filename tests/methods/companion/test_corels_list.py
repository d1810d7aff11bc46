from importlib.util import find_spec
from itertools import permutations

import numpy as np
import pytest
from earnest.methods.companion.corels_list import CorelsList, least_error, without_box

from bench.tasks.companion import CompanionProblem

ENGINES = [False] if find_spec("numba") is None else [False, True]


def penalised_error(problem: CompanionProblem, places: tuple[int, ...], penalty: float) -> float:
    """The paper's eq. 3, by the task's own evaluation of lists."""
    rules = problem.listed(places)
    predicted = rules.predict(problem.train.literals.values)
    predicted = np.where(predicted < 0, problem.default(rules), predicted)
    return float((predicted != problem.train.labels).mean()) + penalty * len(places)


def least_of_all(problem: CompanionProblem, penalty: float, longest: int) -> float:
    """Every list of distinct rules of the pool."""
    return min(
        penalised_error(problem, places, penalty)
        for length in range(longest + 1)
        for places in permutations(range(len(problem.pool.rules)), length)
    )


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("penalty", [0.0, 0.005, 0.03])
def test_optimum_of_all_lists(random_problem, n_labels: int, penalty: float):
    """By enumeration, on random pools of five rules, and it is proved; with numba and without."""
    for seed in range(4):
        problem = random_problem(seed, n=70, n_labels=n_labels, at_most=5)
        least = least_of_all(problem, penalty, 5)
        for compiled in ENGINES:
            found = least_error(without_box(problem), penalty, compiled=compiled)
            assert found.value == pytest.approx(least, abs=1e-12)
            assert found.value == pytest.approx(penalised_error(problem, found.rules, penalty))
            assert found.bound == pytest.approx(found.value, abs=1e-12)


def test_optimum_of_short_lists(random_problem):
    """`longest` cuts the enumeration, too: larger pools, lists of at most two rules, or none."""
    for seed in range(3):
        problem = random_problem(seed, n=150, rules=12)
        ground = without_box(problem)
        for longest in (0, 1, 2):
            found = least_error(ground, 0.0, longest=longest)
            assert len(found.rules) <= longest
            assert found.value == pytest.approx(least_of_all(problem, 0.0, longest), abs=1e-12)


def test_bound_of_a_search_that_is_cut_off(random_problem, monkeypatch: pytest.MonkeyPatch):
    """However few steps there was time for, no list is below the bound, which more steps raise,
    and the value is that of the list."""
    module = "earnest.methods.companion.corels_list"
    monkeypatch.setattr(f"{module}._TOGETHER", 1)
    for seed in range(3):
        problem = random_problem(seed, rules=5, at_most=5)
        ground, least = without_box(problem), least_of_all(problem, 0.02, 5)
        bounds = []
        for steps in range(1, 120, 7):
            ticks = iter([0.0] * steps)
            with monkeypatch.context() as patch:
                patch.setattr(f"{module}.process_time", lambda ticks=ticks: next(ticks, 9.0))
                found = least_error(ground, 0.02, seconds=1.0)
            assert found.bound <= least + 1e-12
            assert least - 1e-12 <= found.value
            assert found.value == pytest.approx(penalised_error(problem, found.rules, 0.02))
            bounds.append(found.bound)
        assert (np.diff(bounds) > -1e-12).all()
        assert bounds[0] + 1e-6 < bounds[-1]


def test_a_rule_that_mends_less_than_it_costs_stays_out(random_problem):
    """With a penalty above the default rule's error no rule is worth it."""
    problem = random_problem(0)
    found = least_error(without_box(problem), 0.6)
    assert found.rules == ()
    assert found.bound == found.value == least_of_all(problem, 0.6, 0)


def test_the_black_box_has_no_say_in_the_optimum(random_problem):
    """Another black box, the same optima."""
    problem = random_problem(1)
    train = problem.train
    other = type(problem)(
        type(train)(train.literals, train.labels, 1 - train.black_box),
        problem.confidence,
        problem.pool,
        problem.class_names,
        problem.objective,
        problem.alpha,
    )
    one, two = (least_error(without_box(each), 0.005) for each in (problem, other))
    assert one == two


def test_the_objective_chooses_among_the_penalties(random_problem):
    """The companion is the best of the single optima."""
    for seed in range(3):
        problem = random_problem(seed, rules=8, objective="autac")
        rng = np.random.default_rng(0)
        alone = [CorelsList(penalties=(p,)).explain(problem, rng=rng) for p in (0.05, 0.01, 0.002)]
        found = CorelsList(penalties=(0.05, 0.01, 0.002)).explain(problem, rng=rng)
        assert problem.value(found) == max(map(problem.value, alone))


@pytest.mark.parametrize("penalties", [(), (0.01, -0.1)])
def test_penalties_that_make_no_sense_are_refused(penalties: tuple[float, ...]):
    with pytest.raises(ValueError, match="wanted one or more, none below 0"):
        CorelsList(penalties=penalties)

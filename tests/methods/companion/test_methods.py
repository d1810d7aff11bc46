import time
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from earnest.methods.companion.beam_list import BeamList
from earnest.methods.companion.cart_leaves import CartLeaves, _needed
from earnest.methods.companion.companion_annealing import CompanionAnnealing
from earnest.methods.companion.exact_list import ExactList
from earnest.methods.companion.greedy_list import GreedyList
from earnest.methods.companion.random_rules import RandomRules

from bench.components import Shelf, build
from bench.rules import Literals, RuleList, mine
from bench.tasks.base import Unsupported
from bench.tasks.companion import Companion, CompanionProblem, Rows

TINY = Companion().tiny()
EXACT = ExactList(GreedyList())
LONG = CompanionAnnealing(restarts=12, sweeps=100, temperature=0.01)


def problem(
    seed: int,
    n: int = 80,
    rules: int = 3,
    objective: str = "autac_completed",
    alpha: float = 0.003,
) -> CompanionProblem:
    """Random literals; labels and a black box that have a little to do with them."""
    rng = np.random.default_rng(seed)
    holds = rng.random((n, 5)) < 0.5
    values = np.stack([holds, ~holds], axis=2).reshape(n, 10)
    labels = np.where(rng.random(n) < 0.7, holds[:, 0] & holds[:, 1], rng.random(n) < 0.5)
    black_box = np.where(rng.random(n) < rng.choice([0.3, 0.6]), labels, rng.random(n) < 0.5)
    literals = Literals(values, tuple("aAbBcCdDeE"))
    train = Rows(literals, labels.astype(int), black_box.astype(int))
    pool = mine(literals, train.labels, min_support=0.05, max_conditions=2, per_label=rules)
    return CompanionProblem(train, np.ones(n), pool, ("no", "yes"), objective, alpha)


def best_of_all_lists(given: CompanionProblem) -> float:
    """Every list of distinct rules of the pool, evaluated by the task."""
    pool = given.pool.rules
    return max(
        given.value(given.labelled(rules))
        for length in range(len(pool) + 1)
        for rules in permutations(pool, length)
    )


OBJECTIVES = pytest.mark.parametrize("objective", ["autac", "autac_completed"])


@OBJECTIVES
@pytest.mark.parametrize("alpha", [0.0, 0.003, 0.03])
def test_annealing_finds_the_best_of_all_lists_of_a_tiny_pool(objective: str, alpha: float):
    """The optimum over every list, by enumeration, on random pools of up to five rules."""
    for seed in range(4):
        given = problem(seed, rules=2 + seed % 2, objective=objective, alpha=alpha)
        pool = given.pool.rules[:5]
        given = replace(
            given, pool=replace(given.pool, rules=pool, captures=given.pool.captures[:5])
        )
        found = given.value(LONG.explain(given, rng=np.random.default_rng(seed)))
        assert found == pytest.approx(best_of_all_lists(given), abs=1e-12)


def test_the_paper_s_schedule():
    """T_n = C0 / log(2 + n), 50,000 steps for 400 rules, three rules to start with."""
    paper = build(Shelf().config("method/companion", "companion_annealing_paper"))
    drawn = paper._draws(400, np.random.default_rng(0))
    assert len(drawn.moves) == 50_000
    assert len(drawn.start) == 3
    rates = np.bincount(drawn.moves) / 50_000
    np.testing.assert_allclose(rates, 0.25, atol=0.01)
    temperatures = 0.001 / np.log(2 + np.arange(50_000))
    ratios = -drawn.floors / temperatures
    # An exponential variable: the mean of 50,000 is 1 within .0045 standard errors.
    assert ratios.mean() == pytest.approx(1, abs=0.03)


def test_geometric_cooling_ends_at_a_hundredth():
    temperatures = CompanionAnnealing(temperature=0.01)._temperatures(100)
    assert temperatures[0] == pytest.approx(0.01)
    assert temperatures[-1] == pytest.approx(0.0001)


def tiny_pool(seed: int, objective: str) -> CompanionProblem:
    """At most five rules."""
    given = problem(seed, rules=2 + seed % 2, objective=objective)
    rules, captures = given.pool.rules[:5], given.pool.captures[:5]
    return replace(given, pool=replace(given.pool, rules=rules, captures=captures))


@OBJECTIVES
def test_the_exact_list_is_the_best_of_all(objective: str):
    """By enumeration over every list of small pools; a start that isn't of the pool may be
    better, and is then the answer."""
    for seed in range(4):
        given = tiny_pool(seed, objective)
        rng = np.random.default_rng(seed)
        found = given.value(ExactList(GreedyList()).explain(given, rng=rng))
        best = best_of_all_lists(given)
        assert found == pytest.approx(best, abs=1e-9)
        start = given.value(RandomRules().explain(given, rng=np.random.default_rng(seed)))
        found = given.value(
            ExactList(RandomRules()).explain(given, rng=np.random.default_rng(seed))
        )
        assert found == pytest.approx(max(start, best), abs=1e-9)


def literal_beam(given: CompanionProblem, width: int) -> float:
    """The best list met, each list evaluated by the task; kept are those that would be worth
    most with a default rule, one of those that leave the same rows."""
    free = replace(given, objective="autac_completed", alpha=0.0)
    best, beam = given.value(given.labelled([])), [()]
    for _ in range(len(given.pool.rules)):
        longer: dict[bytes, tuple[float, tuple[int, ...]]] = {}
        for rules, rule in product(beam, range(len(given.pool.rules))):
            found = given.listed([*rules, rule])
            decided = found.decided_by(given.train.literals.values)
            if (decided == len(rules)).any():
                entry = (free.value(found), (*rules, rule))
                left = (decided < 0).tobytes()
                longer[left] = max(longer.get(left, entry), entry, key=lambda pair: pair[0])
        kept = sorted(longer.values(), key=lambda pair: -pair[0])[:width]
        beam = [rules for _, rules in kept]
        best = max([best, *(given.value(given.listed(rules)) for rules in beam)])
    return best


@OBJECTIVES
@pytest.mark.parametrize("width", [1, 3, 120])
def test_the_beam_is_the_literal_one(objective: str, width: int):
    for seed in range(4):
        given = tiny_pool(seed, objective)
        found = BeamList(width, polish=False).explain(given, rng=np.random.default_rng(0))
        assert given.value(found) == pytest.approx(literal_beam(given, width), abs=1e-9)


def test_a_time_limit_ends_the_search():
    """No chain begins after it, and one is always run."""
    given = problem(0, n=300, rules=20)
    for seconds in (0.0, 0.2):
        method = CompanionAnnealing(seconds=seconds, sweeps=5, compiled=False)
        began = time.process_time()
        found = method.explain(given, rng=np.random.default_rng(0))
        assert given.value(found) > given.value(RuleList((), ())) - 1e-12
        assert time.process_time() - began < 30


def literal_greedy(given: CompanionProblem) -> RuleList:
    chosen: list = []
    while True:
        longer = [[*chosen, rule] for rule in given.pool.rules]
        best = max(longer, key=lambda rules: given.value(given.labelled(rules)))
        if given.value(given.labelled(best)) <= given.value(given.labelled(chosen)):
            return given.labelled(chosen)
        chosen = best


@OBJECTIVES
def test_the_greedy_list_is_the_literal_one(objective: str):
    """All rules tried one by one through the task's objective."""
    for seed in range(5):
        given = problem(seed, n=100, rules=10, objective=objective)
        found = GreedyList().explain(given, rng=np.random.default_rng(0))
        expected = literal_greedy(given)
        assert given.value(found) == pytest.approx(given.value(expected), abs=1e-12)
        assert len(found) == len(expected)


def test_leaves_share_no_row_and_stand_in_their_best_order():
    """No other order of the same leaves is better: Smith's rule, by enumeration."""
    for seed in range(4):
        given = problem(seed, n=200, objective="autac", alpha=0.0)
        found = CartLeaves(leaves=(5,)).explain(given, rng=np.random.default_rng(0))
        covers = np.stack([rule.covers(given.train.literals.values) for rule in found.rules])
        assert (covers.sum(axis=0) <= 1).all()
        orders = [given.value(given.labelled(rules)) for rules in permutations(found.rules)]
        assert given.value(found) == pytest.approx(max(orders), abs=1e-12)


def test_leaves_are_those_of_scikit_learn():
    """The rows of each rule are the rows of a leaf."""
    from sklearn.tree import DecisionTreeClassifier

    given = problem(1, n=200, objective="autac", alpha=0.0)
    rng = np.random.default_rng(3)
    found = CartLeaves(leaves=(4,)).explain(given, rng=rng)
    seed = int(np.random.default_rng(3).integers(2**31))
    values = given.train.literals.values
    tree = DecisionTreeClassifier(max_leaf_nodes=4, min_samples_leaf=0.01, random_state=seed)
    leaf = tree.fit(values[:, ::2], given.train.labels).apply(values[:, ::2])
    expected = {(leaf == node).tobytes() for node in np.unique(leaf)}
    assert {rule.covers(values).tobytes() for rule in found.rules} == expected


def test_conditions_that_others_imply_are_dropped():
    """x > 3 says x > 1; the covered rows stay the same."""
    x = np.arange(6)
    values = np.stack([x > 1, x <= 1, x > 3, x <= 3, x % 2 == 0, x % 2 == 1], axis=1)
    assert _needed((0, 2, 4), values) == (2, 4)
    assert _needed((0, 3), values) == (0, 3)
    assert _needed((), values) == ()


@pytest.mark.parametrize(
    "method",
    [CompanionAnnealing(), GreedyList(), BeamList(), EXACT, CartLeaves(), RandomRules()],
)
def test_constant_labels_and_a_perfect_box_are_answered(method):
    """Nothing to gain: any list, even none, has the black box's accuracy, and no error."""
    ones = np.ones(64, dtype=int)
    flat = replace(TINY, train=replace(TINY.train, labels=ones, black_box=ones))
    found = method.explain(flat, rng=np.random.default_rng(0))
    decided = found.decided_by(flat.train.literals.values)
    assert {found.labels[place] for place in decided[decided >= 0]} <= {1}
    assert flat.value(found) <= 1


@pytest.mark.parametrize(
    "method", [CompanionAnnealing(), GreedyList(), BeamList(), EXACT, CartLeaves()]
)
def test_the_search_beats_random_rules(method):
    """By the training objective, which is what a search can answer for."""
    for seed in range(3):
        given = problem(seed, n=300, rules=20)
        rng = np.random.default_rng(seed)
        chance = given.value(RandomRules().explain(given, rng=rng))
        assert given.value(method.explain(given, rng=rng)) > chance


def test_random_rules_know_no_labels():
    """The same conditions whatever the labels are."""
    other = replace(TINY, train=replace(TINY.train, labels=1 - TINY.train.labels))
    one, two = (RandomRules().explain(p, rng=np.random.default_rng(0)) for p in (TINY, other))
    assert one.rules == two.rules
    assert len(one) == 8


def test_numba_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    module = "earnest.methods.companion.companion_annealing.find_spec"
    monkeypatch.setattr(module, lambda _name: None)
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[fast\]'"):
        CompanionAnnealing(compiled=True).explain(TINY, rng=np.random.default_rng(0))

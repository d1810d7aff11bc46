from dataclasses import replace
from importlib.util import find_spec
from itertools import permutations

import numpy as np
import pytest
from earnest.methods.companion.cart_leaves import CartLeaves, _needed
from earnest.methods.companion.chain import (
    ADD,
    REMOVE,
    REPLACE,
    SWAP,
    Draws,
    _propose,
    best_of_chain,
)
from earnest.methods.companion.companion_annealing import CompanionAnnealing
from earnest.methods.companion.greedy_list import GreedyList
from earnest.methods.companion.random_rules import RandomRules

from bench.rules import Literals, RuleList, mine
from bench.tasks.base import Unsupported
from bench.tasks.companion import Companion, CompanionProblem, Rows

TINY = Companion().tiny()
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
ENGINES = pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(find_spec("numba") is None, reason="no numba")),
    ],
)


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


def draws(given: CompanionProblem, steps: int, seed: int, temperature: float = 0.003) -> Draws:
    return CompanionAnnealing(
        sweeps=-(-steps // len(given.pool.rules)), temperature=temperature
    )._draws(len(given.pool.rules), np.random.default_rng(seed))


def literal_chain(given: CompanionProblem, drawn: Draws, longest: int) -> tuple[float, list[int]]:
    """The chain with whole lists, each evaluated from its first rule on by the task."""

    def value(rules: list[int]) -> float:
        return given.value(given.labelled([given.pool.rules[rule] for rule in rules]))

    rules = drawn.start.tolist()
    current = best_value = value(rules)
    best = rules
    for move, rule, place, other, floor in zip(
        drawn.moves, drawn.rules, drawn.places, drawn.others, drawn.floors, strict=True
    ):
        new, n = list(rules), len(rules)
        if move == ADD and n < longest:
            new.insert(int(place * (n + 1)), int(rule))
        elif move == REMOVE and n:
            del new[int(place * n)]
        elif move == SWAP and n > 1:
            at, rest = int(place * n), [k for k in range(n) if k != int(place * n)]
            second = rest[int(other * (n - 1))]
            new[at], new[second] = new[second], new[at]
        elif move == REPLACE and n:
            new[int(place * n)] = int(rule)
        else:
            continue
        if value(new) - current >= floor:
            rules, current = new, value(new)
        if current > best_value:
            best, best_value = rules, current
    return best_value, best


@ENGINES
@OBJECTIVES
def test_the_chain_is_the_literal_one(objective: str, compiled: bool):
    """Evaluation from the first changed rule on is evaluation of the whole list, in each step:
    one wrong number would send the two chains apart. Sets over several words; hot and cold."""
    for seed, temperature in enumerate([0.1, 0.003, 1e-9]):
        given = problem(seed, n=150, rules=12, objective=objective)
        drawn = draws(given, 250, seed, temperature)
        value, best = best_of_chain(given, drawn, longest=6, compiled=compiled)
        expected, expected_list = literal_chain(given, drawn, 6)
        assert best == expected_list
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.skipif(find_spec("numba") is None, reason="no numba")
def test_compiled_and_interpreted_chains_give_one_answer():
    """Bit for bit, on a longer run than the literal chain can follow."""
    given = problem(7, n=500, rules=40)
    drawn = draws(given, 5000, 7)
    one, two = (best_of_chain(given, drawn, longest=20, compiled=c) for c in (False, True))
    assert one == two


def test_moves_of_the_paper():
    """Add, remove, swap, replace; from the first changed place on, -1 where there is none."""
    rules = [5, 6, 7, 0]

    def after(move: int, place: float, other: float = 0.0, length: int = 3):
        new = [None] * 4
        at, longer = _propose(move, 9, place, other, rules, length, new)
        return at, rules[: max(at, 0)] + new[max(at, 0) : longer] if at >= 0 else None

    assert after(ADD, 0.0) == (0, [9, 5, 6, 7])
    assert after(ADD, 0.99) == (3, [5, 6, 7, 9])
    assert after(REMOVE, 0.4) == (1, [5, 7])
    assert after(REPLACE, 0.99) == (2, [5, 6, 9])
    assert after(SWAP, 0.99, 0.0) == (0, [7, 6, 5])
    assert after(SWAP, 0.0, 0.0) == (0, [6, 5, 7])
    assert after(ADD, 0.5, length=4) == after(SWAP, 0.5, length=1) == (-1, None)
    assert after(REMOVE, 0.5, length=0) == after(REPLACE, 0.5, length=0) == (-1, None)


def test_the_paper_s_schedule():
    """T_n = C0 / log(2 + n), 50,000 steps for 400 rules, three rules to start with."""
    paper = CompanionAnnealing(1, 125, 0.001, "log", 19)
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
    "method", [CompanionAnnealing(), GreedyList(), CartLeaves(), RandomRules()]
)
def test_constant_labels_and_a_perfect_box_are_answered(method):
    """Nothing to gain: any list, even none, has the black box's accuracy, and no error."""
    ones = np.ones(64, dtype=int)
    flat = replace(TINY, train=replace(TINY.train, labels=ones, black_box=ones))
    found = method.explain(flat, rng=np.random.default_rng(0))
    decided = found.decided_by(flat.train.literals.values)
    assert {found.labels[place] for place in decided[decided >= 0]} <= {1}
    assert flat.value(found) <= 1


@pytest.mark.parametrize("method", [CompanionAnnealing(), GreedyList(), CartLeaves()])
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

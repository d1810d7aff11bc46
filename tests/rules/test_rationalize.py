"""Fair rule lists against all lists of small instances, each evaluated row by row."""

import time
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import permutations, product

import numpy as np
import pytest

from bench.rules import fair_kernels, fair_search
from bench.rules.exact import Limits
from bench.rules.fair_search import Goal, Space
from bench.rules.fairness import LINEAR, MEASURES
from bench.rules.lawler import best_lists
from bench.rules.patterns import MOST_COLUMNS, collapse
from bench.rules.rationalize import Infeasible, Suing, evaluate, predict, rationalize

NUMBA = find_spec("numba") is not None
ENGINES = pytest.mark.parametrize(
    "compiled",
    [False, pytest.param(True, marks=pytest.mark.skipif(not NUMBA, reason="no numba"))],
)
CLOSE = 2 * fair_search.EXACT
BETAS = (0.0, 0.1, 0.2, 0.5, 0.8, 1.0)


def suing(seed: int, columns: int | None = None) -> Suing:
    """Random rows; groups that are a column, that no column tells, that leave rows out; black
    boxes that columns explain, and that nothing does. Each group has both labels."""
    rng = np.random.default_rng(seed)
    d = columns or int(rng.integers(2, 5))
    n = int(rng.integers(15, 60))
    values = rng.random((n, d)) < rng.uniform(0.2, 0.8, d)
    if rng.random() < 0.3:
        values[:, -1] = ~values[:, 0]
    groups = [rng.integers(-1, 2, n), rng.integers(0, 2, n), values[:, 0].astype(int)]
    told = (values[:, :2].sum(axis=1) + (rng.random(n) < 0.3) > 0).astype(int)
    labels = told if rng.random() < 0.5 else rng.integers(0, 2, n)
    group = groups[rng.integers(3)].copy()
    group[:4], labels[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
    if rng.random() < 0.5:
        return Suing(values, labels, group)
    truth = np.where(rng.random(n) < 0.7, labels, rng.integers(0, 2, n))
    truth[:4] = [0, 1, 0, 1]
    return Suing(values, labels, group, truth)


@cache
def all_lists(columns: int, longest: int) -> list[tuple[tuple[tuple[int, int], ...], int]]:
    """Every list of at most so many rules."""
    return [
        (tuple(zip(chosen, labels, strict=True)), default)
        for length in range(longest + 1)
        for chosen in permutations(range(columns), length)
        for labels in product((0, 1), repeat=length)
        for default in (0, 1)
    ]


@cache
def evaluated(seed: int, measure: str, columns: int | None = None) -> tuple[np.ndarray, ...]:
    """(errors, unfairness, rules) of every list of any length; of distinct predictions the
    shortest, for no goal tells them apart but by their length."""
    given = suing(seed, columns)
    shortest: dict[bytes, tuple[int, tuple, int]] = {}
    for rules, default in all_lists(given.values.shape[1], given.values.shape[1]):
        key = predict(rules, default, given.values).tobytes()
        shortest.setdefault(key, (len(rules), rules, default))
    told = [
        (evaluate(rules, default, given, Goal(measure)), length)
        for length, rules, default in shortest.values()
    ]
    wrong = np.array([1 - one.fidelity for one, _ in told])
    unfair = np.array([one.unfairness for one, _ in told])
    return wrong, unfair, np.array([length for _, length in told])


def best_of_all(seed: int, goal: Goal, columns: int | None = None) -> float:
    """The least objective of all lists; infinite where none is fair enough."""
    wrong, unfair, length = evaluated(seed, goal.measure, columns)
    allowed = unfair <= goal.tau + 1e-12
    if goal.longest is not None:
        allowed &= length <= goal.longest
    values = (1 - goal.beta) * wrong + goal.beta * unfair + goal.price * length
    return float(values[allowed].min(initial=np.inf))


def goals(rng: np.random.Generator, measure: str) -> list[Goal]:
    """Some of penalties, constraints and both; with caps and without."""
    beta = rng.choice(BETAS, 4)
    price = rng.choice([0.0, 0.005, 0.02], 4)
    tau = [np.inf, np.inf, *rng.choice([0.0, 0.02, 0.1, 0.3], 2)]
    longest = [None, int(rng.integers(0, 4)), None, int(rng.integers(0, 4))]
    beta[2] = 0.0
    return [
        Goal(measure, float(b), float(p), float(t), cap)
        for b, p, t, cap in zip(beta, price, tau, longest, strict=True)
    ]


def objective(given: Suing, goal: Goal, compiled: bool) -> float:
    """Of the proved best list, infinite where there is none; what it says of itself is checked."""
    try:
        found = rationalize(given, goal, compiled=compiled)
    except Infeasible:
        return np.inf
    told = evaluate(found.rules, found.default, given, goal)
    assert found.proved
    assert found.bound == pytest.approx(found.objective, abs=CLOSE)
    assert (found.objective, found.unfairness) == (told.objective, told.unfairness)
    agree = found.predict(given.values) == given.black_box
    assert found.fidelity == pytest.approx(np.mean(agree), abs=1e-12)
    assert found.unfairness <= goal.tau + 1e-12
    assert goal.longest is None or len(found.rules) <= goal.longest
    return found.objective


@ENGINES
@pytest.mark.parametrize("measure", MEASURES)
def test_the_best_of_all_lists(measure: str, compiled: bool):
    """Every measure on instances of its own, 504 of them in all: every beta, lists of any length
    and of up to four; and constraints, caps and prices by chance."""
    for place in range(72 if compiled else 8):
        seed = 1000 * MEASURES.index(measure) + place
        given, rng = suing(seed), np.random.default_rng(seed)
        each_beta = [Goal(measure, beta, 0.005, longest=cap) for beta in BETAS for cap in (None, 4)]
        for goal in [*each_beta, *goals(rng, measure)]:
            want = best_of_all(seed, goal)
            assert objective(given, goal, compiled) == pytest.approx(want, abs=CLOSE), (seed, goal)


@ENGINES
@pytest.mark.parametrize("measure", MEASURES)
def test_the_best_of_five_columns(measure: str, compiled: bool):
    """Lists of up to five rules, all there are, and of up to four."""
    for seed in range(2):
        given = suing(seed, 5)
        for beta in (0.0, 0.1, 0.5, 0.8):
            for cap in (None, 4):
                goal = Goal(measure, beta, 0.005, longest=cap)
                want = best_of_all(seed, goal, 5)
                assert objective(given, goal, compiled) == pytest.approx(want, abs=CLOSE)


@ENGINES
def test_bounds_hold_where_a_limit_ends_the_search(compiled: bool, monkeypatch: pytest.MonkeyPatch):
    """Never above the best of all lists; prefixes are extended one by one, so that the limits
    strike anywhere."""
    monkeypatch.setattr(fair_search, "_CHUNK", 1)
    stopped = 0
    for seed in range(25 if compiled else 10):
        given = suing(seed, 4)
        measure = MEASURES[seed % len(MEASURES)]
        for nodes in (0, 1, 3, 10):
            goal = Goal(measure, 0.2, 0.005)
            found = rationalize(given, goal, limits=Limits(nodes=nodes), compiled=compiled)
            want = best_of_all(seed, goal, 4)
            assert found.bound <= want + CLOSE
            assert found.objective >= want - CLOSE
            assert found.gap >= 0
            assert not found.proved or found.objective == pytest.approx(want, abs=CLOSE)
            stopped += not found.proved
    assert stopped > 10


def middling(measure: str = "demographic_parity", n: int = 1500, columns: int = 14) -> Suing:
    """Some columns, half of them the others' negations, and a box that four of them make."""
    rng = np.random.default_rng(0)
    half = rng.random((n, columns // 2)) < rng.uniform(0.2, 0.6, columns // 2)
    values = np.hstack([half, ~half])
    labels = (half[:, :4].sum(axis=1) + rng.random(n) > 2).astype(int)
    return Suing(values, labels, (half[:, 0] ^ (rng.random(n) < 0.3)).astype(int))


@pytest.mark.skipif(not NUMBA, reason="no numba")
@pytest.mark.parametrize("measure", ["equal_opportunity", "equalized_odds", "predictive_parity"])
def test_compiled_kernels_are_the_plain_ones(measure: str, monkeypatch: pytest.MonkeyPatch):
    """Every call of a search, answered by both, up to rounding."""
    plain, compiled = fair_kernels.fair_kernels(False), fair_kernels.fair_kernels(True)
    calls = {"extended": 0, "compared": 0}

    class Both:
        def extended(self, prefixes, terms, limits, margin, last):
            # Without limits, both keep all.
            far = np.full(len(limits), np.inf)
            (one, first, least), (other, second, least2) = (
                kernel.extended(prefixes, terms, far, -1e9, last) for kernel in (plain, compiled)
            )
            for part in ("keys", "parents", "rules", "sets"):
                np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
            for part in ("costs", "sums", "lowest", "highest", "bounds"):
                np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-12)
            np.testing.assert_array_equal(first.parents, second.parents)
            np.testing.assert_allclose(first.values, second.values, atol=1e-12)
            assert least == pytest.approx(least2, abs=1e-12)
            calls["extended"] += len(one.keys)
            return plain.extended(prefixes, terms, limits, margin, last)

        def undominated(self, prefixes, earlier, terms):
            one, other = (k.undominated(prefixes, earlier, terms) for k in (plain, compiled))
            np.testing.assert_array_equal(one, other)
            calls["compared"] += len(one)
            return one

        def minimal(self, keys, numbers):
            one, other = (kernel.minimal(keys, numbers) for kernel in (plain, compiled))
            np.testing.assert_array_equal(one, other)
            calls["compared"] += len(one)
            return one

    monkeypatch.setattr(fair_search, "fair_kernels", lambda _: Both())
    for tau in (np.inf, 0.05):
        given, goal = middling(n=400, columns=10), Goal(measure, 0.2, 0.005, tau, longest=3)
        rationalize(given, goal)
        best_lists(given, goal, 5)
    assert calls["extended"] > 200
    assert calls["compared"] > 50 or measure == "predictive_parity"


@ENGINES
@pytest.mark.parametrize(
    ("measure", "beta", "tau"),
    [
        ("demographic_parity", 0.3, np.inf),
        ("demographic_parity", 0.0, 0.1),
        ("demographic_parity", 0.0, np.inf),
        ("equalized_odds", 0.0, 0.1),
    ],
)
def test_sorting_drops_what_pairs_drop(measure: str, beta: float, tau: float, compiled: bool):
    """One is dropped if and only if another that stays is as good."""
    rng = np.random.default_rng(0)
    goal = Goal(measure, beta, tau=tau)
    terms = Space.of(middling(n=400, columns=6).patterns, goal).terms
    run = fair_search.Levels(terms, Goal(), fair_kernels.fair_kernels(compiled), np.inf, 10)
    keys, zeros = np.sort(rng.integers(0, 3, 300)), np.zeros(300, dtype=np.int64)
    entries = terms.multipliers.shape[1]
    costs = rng.uniform(0, 0.1, 300).round(2)
    sums = rng.uniform(-0.2, 0.2, (300, entries)).round(2)
    ends = np.repeat(np.array([0.05, 0.1, 0.3])[keys, None], entries, axis=1)
    every = fair_kernels.Prefixes(
        keys, costs, sums, -ends, ends, costs, np.arange(300), zeros, zeros
    )
    earlier = every.at(np.arange(0, 300, 10))
    fresh = every.at(np.flatnonzero(np.arange(300) % 10))
    kept = run._minimal(fresh, earlier)
    stay = fair_kernels.Prefixes.joined([earlier, kept])
    for two in fresh.parents:
        rivals = stay.at((stay.keys == keys[two]) & (stay.parents != two))
        both = fair_kernels.Prefixes.joined([rivals, every.at(slice(two, two + 1))])
        place = len(rivals.keys)
        good = fair_kernels._as_good(both, slice(0, place), place, terms)
        assert good.any() == (two not in kept.parents)
    assert 0 < len(kept.keys) < len(fresh.keys)


@pytest.mark.skipif(not NUMBA, reason="no numba")
@pytest.mark.parametrize("tau", [np.inf, 0.03])
def test_what_is_left_out_loses_nothing(tau: float, monkeypatch: pytest.MonkeyPatch):
    """The same optimum without dominance, without a joint bound, by far more prefixes."""
    given, goal = middling(), Goal("demographic_parity", 0.3, 0.01, tau, longest=4)
    quick = rationalize(given, goal)
    monkeypatch.setattr(
        fair_kernels._Compiled,
        "undominated",
        lambda self, prefixes, earlier, terms: np.ones(len(prefixes.keys), dtype=bool),
    )
    monkeypatch.setattr(
        fair_kernels._Compiled,
        "minimal",
        lambda self, keys, numbers: np.ones(len(keys), dtype=bool),
    )
    monkeypatch.setattr(fair_search, "_multipliers", lambda *_: np.zeros((1, 1)))
    slow = rationalize(given, goal)
    assert slow.proved
    assert slow.objective == pytest.approx(quick.objective, abs=CLOSE)
    assert slow.states > 3 * quick.states


@pytest.mark.parametrize("measure", LINEAR)
def test_the_fairest_and_the_truest(measure: str):
    """beta 1 without a price: no unfairness at all; beta 0 without: errors of the patterns that
    hold both labels, where columns tell every pattern."""
    given = suing(5, 4)
    fair = rationalize(given, Goal(measure, 1.0, 0.0))
    assert fair.unfairness == 0
    values = np.eye(6, dtype=bool)[np.arange(60) % 6]
    labels = np.arange(60) // 6 % 3 == 0
    apart = Suing(values, labels.astype(int), np.arange(60) // 6 % 2)
    true = rationalize(apart, Goal(measure, 0.0, 0.0))
    patterns = apart.patterns.rows.sum(axis=1)
    assert true.fidelity == pytest.approx(1 - patterns.min(axis=1).sum() / 60)


@pytest.mark.parametrize("label", [0, 1])
def test_a_constant_black_box_is_repeated(label: int):
    """By the default alone: it errs nowhere and has no gap."""
    values, groups = np.random.default_rng(0).random((30, 3)) < 0.5, np.arange(30) % 2
    found = rationalize(Suing(values, np.full(30, label), groups), Goal(beta=0.5))
    assert (found.rules, found.default, found.objective, found.proved) == ((), label, 0.0, True)
    measure = ("predictive_equality", "equal_opportunity")[1 - label]
    with pytest.raises(ValueError, match=f"group 0 has no row whose label is {1 - label}"):
        rationalize(Suing(values, np.full(30, label), groups), Goal(measure))


def test_no_columns_and_useless_ones():
    """The better default, where no column tells rows apart."""
    labels, groups = np.array([0, 1, 1, 1]), np.array([0, 1, 0, 1])
    for values in (np.zeros((4, 0), bool), np.zeros((4, 2), bool), np.ones((4, 2), bool)):
        found = rationalize(Suing(values, labels, groups), Goal())
        assert (found.rules, found.default, found.fidelity) == ((), 1, 0.75)
        assert found.text(["a", "b"], ["no", "yes"]) == "yes"


def test_an_infeasible_tau_says_how_far_it_is_feasible():
    """Rows that no column tells apart: half of one group's are positive, a third of the other's,
    and that is the gap if all are predicted positive. It is undefined if none is."""
    groups, labels = np.arange(12) % 2, np.array([1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0])
    given, goal = Suing(np.zeros((12, 1), bool), labels, groups), Goal("predictive_parity", tau=0.1)
    with pytest.raises(Infeasible, match="at most 0.1 there is: the least .* is 0.166667"):
        rationalize(given, goal)
    with pytest.raises(Infeasible, match="was met before the limits ended the search"):
        rationalize(suing(0), replace(goal, tau=0.0), limits=Limits(seconds=0))


def test_forbidden_columns_are_in_no_rule():
    """The best of the lists that are left."""
    for seed in range(20):
        given = suing(seed, 4)
        found = rationalize(given, Goal(price=0.0), forbidden=[1, 3])
        assert {column for column, _ in found.rules} <= {0, 2}
        rest = replace(given, values=given.values[:, [0, 2]])
        assert found.objective == pytest.approx(rationalize(rest, Goal(price=0.0)).objective)


def test_bad_input_is_named():
    """The value met, and what is wanted."""
    values, labels, groups = np.zeros((4, 1), bool), np.array([0, 1, 1, 1]), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="labels must be among .*there is 2"):
        Suing(values, labels + 1, groups)
    with pytest.raises(ValueError, match="groups must be among .*there is 3"):
        Suing(values, labels, groups * 3)
    with pytest.raises(ValueError, match="group 0 has no rows"):
        rationalize(Suing(values, labels, np.ones(4, int)), Goal())
    with pytest.raises(ValueError, match=f"63 columns: at most {MOST_COLUMNS}"):
        collapse(np.zeros((4, 63), bool), labels, groups)
    for wrong in ({"beta": 1.5}, {"price": -1.0}, {"tau": -0.1}, {"longest": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Goal(**wrong)
    with pytest.raises(ValueError, match="no measure"):
        rationalize(Suing(values, labels, groups), Goal("fairness"))


def test_patterns_are_the_distinct_rows():
    """Counts add up."""
    given = suing(2, 4)
    patterns = given.patterns
    rows, sizes = np.unique(given.values, axis=0, return_counts=True)
    assert sorted(patterns.rows.sum(axis=(1, 2))) == sorted(sizes)
    assert {tuple(row) for row in patterns.holds} == {tuple(row) for row in rows}
    assert patterns.n == patterns.rows.sum() == len(given.values)


def test_the_time_limit_is_kept():
    """A search that would take minutes ends soon after its limit, with a bound below its best."""
    rng = np.random.default_rng(0)
    values = rng.random((3000, 30)) < 0.5
    given = Suing(values, rng.integers(0, 2, 3000), rng.integers(0, 2, 3000))
    goal = Goal("predictive_parity", 0.3, 0.0)
    rationalize(given, goal, limits=Limits(nodes=0))
    began = time.process_time()
    found = rationalize(given, goal, limits=Limits(seconds=0.5))
    assert time.process_time() - began < 10
    assert not found.proved
    assert found.bound < found.objective


def test_a_better_list_than_a_value_or_none():
    """`below` asks for better lists only: by a hair more than the best there is one."""
    given, goal = middling(n=300), Goal(beta=0.2)
    best = rationalize(given, goal)
    found = Space.of(given.patterns, goal).search(below=best.objective + 1e-6)
    assert found.value == pytest.approx(best.objective)
    none = Space.of(given.patterns, goal).search(below=best.objective)
    assert none.value == best.objective
    assert none.proved


@ENGINES
def test_a_beam_alone_proves_what_it_did_not_drop(compiled: bool):
    """Its value is that of its list and no better than the optimum, which is not below its bound; a
    beam that drops nothing has the optimum, proved."""
    short = 0
    for seed in range(12):
        given, goal = suing(seed, columns=4), Goal(beta=0.3, price=0.01)
        best = rationalize(given, goal, compiled=compiled)
        for width in (1, 3, 10_000):
            space = Space.of(given.patterns, goal, compiled=compiled)
            found = space.search(beam=width, proof=False)
            told = evaluate(found.rules, found.default, given, goal)
            assert told.objective == pytest.approx(found.value, abs=CLOSE)
            assert found.bound <= best.objective + CLOSE
            assert best.objective <= found.value + CLOSE
            assert found.proved == (found.bound >= found.value - CLOSE)
            short += not found.proved
        assert found.proved
    assert short > 3

"""The front of fidelity and unfairness, and the k best lists."""

from importlib.util import find_spec

import numpy as np
import pytest

from bench.rules import fair_kernels, fair_search
from bench.rules.exact import Limits
from bench.rules.fair_search import EXACT, Goal
from bench.rules.fairness import MEASURES
from bench.rules.lawler import best_lists
from bench.rules.rationalize import FairList, Infeasible, Suing, evaluate, front, rationalize

CLOSE = 2 * EXACT


def suing(seed: int, columns: int = 4, n: int = 60) -> Suing:
    """Random rows; a box that two columns explain in part; groups that hang on the first."""
    rng = np.random.default_rng(seed)
    values = rng.random((n, columns)) < rng.uniform(0.3, 0.7, columns)
    labels = (values[:, :2].sum(axis=1) + rng.random(n) > 1.2).astype(int)
    groups = (values[:, 0] ^ (rng.random(n) < 0.3)).astype(int)
    groups[:4], labels[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
    return Suing(values, labels, groups)


def literally(given: Suing, goal: Goal, k: int, distinct: str) -> tuple[list[float], bool]:
    """Lawler's scheme in its plainest form: search anew for each set of forbidden columns."""

    def identity(one: FairList) -> object:
        columns = frozenset(column for column, _ in one.rules)
        return columns if distinct == "columns" else one.predict(given.values).tobytes()

    def solved(forbidden: frozenset[int]) -> tuple[FairList, frozenset[int]]:
        return rationalize(given, goal, forbidden=forbidden), forbidden

    waiting, met, values = [solved(frozenset())], {frozenset()}, {}
    while waiting and len(values) < k:
        best = min(waiting, key=lambda pair: pair[0].objective)
        waiting.remove(best)
        one, forbidden = best
        values.setdefault(identity(one), one.objective)
        for column, _ in one.rules:
            if forbidden | {column} not in met:
                met.add(forbidden | {column})
                waiting.append(solved(forbidden | {column}))
    return list(values.values()), len(values) < k


@pytest.mark.parametrize("distinct", ["columns", "predictions"])
def test_the_k_best_are_those_of_the_scheme(distinct: str):
    """The same objectives in the same order; no duplicates; each evaluated anew; the end of the
    scheme is told."""
    ends = 0
    for seed in range(12):
        given = suing(seed, columns=5)
        goal = Goal("equal_opportunity" if seed % 2 else "demographic_parity", 0.2, 0.005)
        for k in (1, 4, 40):
            found = best_lists(given, goal, k, distinct=distinct)
            want, ended = literally(given, goal, k, distinct)
            values = [one.objective for one in found.lists]
            assert values == pytest.approx(want, abs=CLOSE)
            assert values == sorted(values)
            assert (found.ended, found.proved) == (ended, True)
            columns = {frozenset(column for column, _ in one.rules) for one in found.lists}
            predicted = {one.predict(given.values).tobytes() for one in found.lists}
            assert len(columns if distinct == "columns" else predicted) == len(values)
            for one in found.lists:
                assert evaluate(one.rules, one.default, given, goal).objective == one.objective
                assert one.proved
            ends += ended
    assert ends > 3


def test_what_a_limit_leaves_open_is_told(monkeypatch: pytest.MonkeyPatch):
    """Lists come in order, none claims a proof that its bound does not carry."""
    monkeypatch.setattr(fair_search, "_CHUNK", 1)
    given, goal = suing(3, columns=8, n=300), Goal(beta=0.3, price=0.002)
    whole = best_lists(given, goal, 8)
    for nodes in (1, 5, 1000):
        found = best_lists(given, goal, 8, limits=Limits(nodes=nodes))
        values = [one.objective for one in found.lists]
        assert values == sorted(values)
        assert len(set(map(str, (one.rules for one in found.lists)))) == len(values)
        for one, best in zip(found.lists, whole.lists, strict=False):
            assert one.bound <= one.objective
            assert one.bound <= best.objective + CLOSE
            assert one.proved == (one.bound >= one.objective - EXACT)
        assert found.proved == all(one.proved for one in found.lists)
        assert found.proved == (nodes == 1000)
        assert not found.ended


def test_forbidding_ends_at_the_empty_list():
    """Of a constant box nothing beats the default: there is one list, whatever k."""
    values, groups = np.random.default_rng(0).random((30, 3)) < 0.5, np.arange(30) % 2
    found = best_lists(Suing(values, np.ones(30, int), groups), Goal(), 5)
    assert [one.rules for one in found.lists] == [()]
    assert found.ended


@pytest.mark.parametrize("measure", MEASURES)
def test_the_front_is_one_search_a_tau(measure: str):
    """In the order of the taus; a smaller one's list is no better; none where there is none."""
    taus = [0.1, 0.02, 0.5, 0.05, 0.0]
    for seed in range(4):
        given, goal = suing(seed), Goal(measure, 0.0, 0.005)
        found = front(given, goal, taus)
        for tau, one in zip(taus, found, strict=True):
            single = Goal(measure, 0.0, 0.005, tau)
            if one is None:
                with pytest.raises(Infeasible):
                    rationalize(given, single)
                continue
            assert one.unfairness <= tau + 1e-12
            assert one.proved
            assert one.objective == pytest.approx(rationalize(given, single).objective, abs=CLOSE)
        values = [np.inf if one is None else one.objective for one in found]
        assert values[2] <= values[0] <= values[3] <= values[1] <= values[4]


@pytest.mark.skipif(find_spec("numba") is None, reason="no numba")
@pytest.mark.parametrize("memory", [0, 4000])
def test_sums_that_have_no_room_are_added_up_again(memory: int, monkeypatch: pytest.MonkeyPatch):
    """The same lists, whether the kernels remember all sums, a few or none."""
    given, goal = suing(5, columns=8, n=300), Goal(beta=0.2, price=0.002)
    taus = [0.02, 0.05, 0.1, 0.3]

    def found() -> list[tuple[object, float]]:
        lists = [*best_lists(given, goal, 10).lists, *front(given, Goal(price=0.002), taus)]
        return [(one.rules, one.objective) for one in lists if one is not None]

    whole = found()
    monkeypatch.setattr(fair_kernels, "MEMORY", memory)
    assert found() == whole
    assert len(whole) > 12

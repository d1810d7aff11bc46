import time
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import permutations

import numpy as np
import pytest

from bench.rules import exact, kernels
from bench.rules.exact import Certificate, Limits, certify
from bench.rules.ground import Ground, ground
from bench.rules.local_search import Neighbours, locally_best

NUMBA = find_spec("numba") is not None
ENGINES = pytest.mark.parametrize(
    "compiled",
    [False, pytest.param(True, marks=pytest.mark.skipif(not NUMBA, reason="no numba"))],
)


def pool(seed: int, *, rules: int = 6, n: int = 90, labels: int | None = None) -> Ground:
    """A random pool; black boxes from perfect to worthless, with and without a rule for all."""
    rng = np.random.default_rng(seed)
    labels = labels or int(rng.choice([2, 2, 3]))
    n, rules = int(rng.integers(12, n)), int(rng.integers(3, rules + 1))
    captures = rng.random((rules, n)) < rng.random((rules, 1))
    captures[0] |= rng.random() < 0.3
    truth = rng.integers(0, labels, n)
    if rng.random() < 0.5:
        truth = np.where(rng.random(n) < 0.2, truth, captures[1].astype(int))
    right = rng.random(n) < rng.choice([0.0, 0.3, 0.6, 1.0])
    black_box = np.where(right, truth, rng.integers(0, labels, n))
    return ground(
        captures,
        truth,
        black_box,
        n_labels=labels,
        alpha=float(rng.choice([0.0, 0.001, 0.01, 0.03])),
        completed=bool(rng.random() < 0.5),
    )


@cache
def best_of_all(seed: int, **sizes: int) -> list[float]:
    """The largest objective of all lists of at most 0, 1, ... rules, one list after the other."""
    given = pool(seed, **sizes)
    lengths = range(given.n_rules + 1)
    best = [
        max(given.value(rules) for rules in permutations(range(given.n_rules), m)) for m in lengths
    ]
    return (np.maximum.accumulate(best) / given.scale).tolist()


@ENGINES
@pytest.mark.parametrize("part", range(10))
def test_proofs_agree_with_all_lists_of_a_thousand_pools(part: int, compiled: bool):
    """Every optimum, its list, and whether longer lists were ruled out; lists of up to five
    rules are all there are in pools of five."""
    for seed in range(100 * part, 100 * part + 100):
        given = pool(seed, rules=5, n=60)
        found = certify(given, compiled=compiled)
        want = best_of_all(seed, rules=5, n=60)
        assert found.any_length
        assert list(found.reached) == sorted(found.reached)
        assert len(found.reached) == len(found.optima)
        np.testing.assert_allclose(
            found.optima, want[: len(found.optima)], rtol=0, atol=2 * exact.EXACT
        )
        assert found.optima[-1] == pytest.approx(want[-1], abs=2 * exact.EXACT)
        assert found.bound == pytest.approx(found.optima[-1], abs=2 * exact.EXACT)
        for rules, value in zip(found.lists, found.optima, strict=True):
            assert given.value(rules) / given.scale == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("limits", [Limits(nodes=2), Limits(nodes=6), Limits(seconds=0.0)])
def test_bounds_hold_where_a_limit_ends_the_proof(limits: Limits, monkeypatch: pytest.MonkeyPatch):
    """No list of one rule more than is proved is above the bound; what is proved is optimal.

    Nodes are extended one by one, so that the limits strike at any place."""
    monkeypatch.setattr(exact, "_CHUNK", 1)
    stopped = 0
    for seed in range(60):
        given = pool(seed, rules=5, n=60)
        found = certify(given, compiled=False, limits=limits)
        want = best_of_all(seed, rules=5, n=60)[: found.proved + 2]
        stopped += not found.any_length
        np.testing.assert_allclose(
            found.optima, want[: len(found.optima)], rtol=0, atol=2 * exact.EXACT
        )
        assert np.isfinite(found.bound)
        assert found.bound >= want[-1] - 2 * exact.EXACT
        assert found.ceiling >= best_of_all(seed, rules=5, n=60)[-1] - 2 * exact.EXACT
    assert stopped > 3


@ENGINES
def test_a_start_changes_no_optimum(compiled: bool):
    """Only the work: from nothing, from the best list, from a poor one."""
    for seed in range(30):
        given = pool(seed)
        plain = certify(given, longest=4, compiled=compiled)
        for start in (plain.lists[-1], (0, 1, 2)):
            found = certify(given, start, longest=4, compiled=compiled)
            assert found.optima == pytest.approx(plain.optima, abs=2 * exact.EXACT)


@pytest.mark.skipif(not NUMBA, reason="no numba")
@pytest.mark.parametrize("labels", [2, 3])
def test_compiled_kernels_are_the_plain_ones(labels: int, monkeypatch: pytest.MonkeyPatch):
    """Every call of a search, answered by both."""
    plain, compiled = kernels.kernels(False), kernels.kernels(True)

    class Both:
        calls = 0

        def counts(self, sets, rows):
            one, other = plain.counts(sets, rows), compiled.counts(sets, rows)
            np.testing.assert_array_equal(one, other)
            return one

        def two_rule_tails(self, tails):
            Both.calls += len(tails.node)
            one, other = plain.two_rule_tails(tails), compiled.two_rule_tails(tails)
            np.testing.assert_allclose(one, other, rtol=1e-12)
            return one

    monkeypatch.setattr(exact, "kernels", lambda _: Both())
    for seed in range(10):
        certify(pool(seed, rules=12, n=300, labels=labels), longest=4)
    assert Both.calls > 100


@cache
def middling() -> Ground:
    """Forty rules over 700 rows, several words a kind."""
    rng = np.random.default_rng(0)
    captures = rng.random((40, 700)) < rng.uniform(0.05, 0.6, (40, 1))
    truth = (captures[:3].sum(axis=0) + rng.integers(0, 2, 700) > 1).astype(int)
    black_box = np.where(rng.random(700) < 0.7, truth, 1 - truth)
    return ground(captures, truth, black_box, n_labels=2, alpha=0.001, completed=False)


def test_dominance_and_tails_lose_nothing(monkeypatch: pytest.MonkeyPatch):
    """The same optima where neither prunes; with both far fewer prefixes are counted."""
    given, counted = middling(), [0]
    original = exact._Search._children

    def counting(self, nodes):
        counted[0] += len(nodes)
        return original(self, nodes)

    monkeypatch.setattr(exact._Search, "_children", counting)
    pruned = certify(given, longest=3, compiled=False)
    few, counted[0] = counted[0], 0
    monkeypatch.setattr(exact._Search, "_undominated", lambda _, parts: exact._Nodes.joined(parts))
    monkeypatch.setattr(
        exact._Search, "_two_rules", lambda _, children, node, rule: np.full(len(node), np.inf)
    )
    whole = certify(given, longest=3, compiled=False)
    assert pruned.optima == pytest.approx(whole.optima, abs=1e-12)
    assert few < counted[0]


@ENGINES
def test_pools_too_large_for_all_pairs_give_the_same(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
):
    """Without overlaps the bounds are wider, the optima equal."""
    plain = certify(middling(), longest=3, compiled=compiled)
    monkeypatch.setattr(exact, "_PAIRS", 10)
    found = certify(middling(), longest=3, compiled=compiled)
    assert found.optima == plain.optima


def test_sets_that_only_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    """All hashes equal: whoever compared hashes alone would drop all prefixes but one front."""
    given = pool(3, rules=6)
    plain = certify(given, longest=4, compiled=False)
    init = exact._Search.__init__

    def blind(self, *arguments):
        init(self, *arguments)
        self.odd = np.zeros_like(self.odd)

    monkeypatch.setattr(exact._Search, "__init__", blind)
    assert certify(given, longest=4, compiled=False).optima == plain.optima


def test_the_class_bound_is_above_every_tail():
    """After any prefix, what any list of further rules adds; by enumeration."""
    for seed in range(40):
        given = replace(pool(seed, rules=5), price=0.0)
        found = certify(given, longest=5, compiled=False)
        assert found.optima[-1] <= given.n**2 * 2 / given.scale
        search = exact._Search(given, kernels.kernels(False), np.inf, 10**6)
        children, _ = search._children(search._root())
        for tails in (2, 3, 4):
            bound = children.area + search.classes(children, tails)
            for rule in range(given.n_rules):
                others = [r for r in range(given.n_rules) if r != rule]
                for rest in permutations(others, min(tails, len(others))):
                    assert given.value((rule, *rest)) <= bound[0, rule] + 1e-6


def test_what_a_certificate_says():
    """Of lists between, above and below the proved optima."""
    known = Certificate((0.5, 0.6, 0.7), ((), (1,), (1, 2)), 0.8, 0.95, False, (0.0, 0.1, 0.2), 1.0)
    values = (0.4, 0.5, 0.65, 0.7, 0.85, 0.96)
    assert [known.holds_up_to(value) for value in values] == [-1, 0, 1, 2, 3, 3]
    assert known.gap(0.65) == pytest.approx(0.05)
    assert known.gap(0.7) == pytest.approx(0.1)
    assert known.gap(0.85) == pytest.approx(0.1)
    assert known.gap(0.96) == 0
    assert known.covers_all(0.96)
    assert known.status(0.65) == "proved optimal up to 1 rules"
    assert known.status(0.4) == "local optimum"
    closed = replace(known, any_length=True, bound=0.7, ceiling=0.7)
    assert closed.covers_all(0.7)
    assert not closed.covers_all(0.65)
    assert closed.status(0.71) == "proved optimal, any number of rules"


@pytest.mark.parametrize("completed", [False, True])
def test_neighbours_are_valued_as_lists_are(completed: bool):
    """Every rule at every place, inserted and in another's stead."""
    given = replace(middling(), completed=completed)
    neighbours, rules = Neighbours(given), [3, 17, 5, 30]
    for place in range(5):
        values = neighbours.inserted(rules, place)
        for rule in range(given.n_rules):
            assert values[rule] == given.value([*rules[:place], rule, *rules[place:]])
    for place in range(4):
        values = neighbours.replaced(rules, place)
        for rule in range(given.n_rules):
            assert values[rule] == given.value([*rules[:place], rule, *rules[place + 1 :]])


def test_no_single_change_betters_what_local_search_finds():
    """By the literal values of all of them."""
    given = middling()
    value, rules = locally_best(given, [7, 8], longest=6)
    assert value == pytest.approx(given.value(rules) / given.scale)
    changed = [rules[:k] + rules[k + 1 :] for k in range(len(rules))]
    for rule in range(given.n_rules):
        changed += [[*rules[:k], rule, *rules[k + 1 :]] for k in range(len(rules))]
        if len(rules) < 6:
            changed += [[*rules[:k], rule, *rules[k:]] for k in range(len(rules) + 1)]
    for first, second in permutations(range(len(rules)), 2):
        without = rules[:first] + rules[first + 1 :]
        changed.append([*without[:second], rules[first], *without[second:]])
    assert max(map(given.value, changed)) / given.scale <= value + 2e-9


def test_the_time_limit_is_kept():
    """A search that would take minutes ends soon after its limit, with a bound above its best."""
    rng = np.random.default_rng(0)
    captures = rng.random((150, 900)) < 0.2
    truth = rng.integers(0, 2, 900)
    given = ground(captures, truth, 1 - truth, n_labels=2, alpha=0.0, completed=False)
    certify(given, longest=1)
    began = time.process_time()
    found = certify(given, limits=Limits(seconds=0.5))
    assert time.process_time() - began < 20
    assert not found.any_length
    assert found.bound > found.optima[-1]

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from earnest.methods.attribution.gradient import Gradient
from earnest.methods.cleansing.koh_liang import KohLiang
from earnest.methods.cleansing.sgd_influence import SGDInfluence
from earnest.methods.unified.attribution import Attribution
from earnest.methods.unified.companion import Companion
from earnest.methods.unified.data_attribution import DataAttribution
from earnest.methods.unified.nearest_neighbours import NearestNeighbours
from earnest.methods.unified.random import Random

from bench.rules import Rule, RuleList
from bench.tasks.base import Unsupported
from bench.tasks.unified import DataRanking, FeatureRanking, UnifiedTask

TINY = UnifiedTask().tiny()
NAMES = {name: place for place, name in enumerate(TINY.queries.names)}
RULES = (("a > 0", "b > 0"), ("c <= 0",), ("b <= 0", "d > 0"), ("a <= 0",))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@dataclass(frozen=True)
class Fixed:
    """A companion that always gives this list."""

    rules: Any
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset] = frozenset()

    def explain(self, problem, *, rng):
        return self.rules


def listed(*rules: tuple[str, ...]) -> RuleList:
    made = [Rule(tuple(NAMES[name] for name in rule)) for rule in rules]
    return TINY.companion.labelled(made)


def of_literals(names: tuple[str, ...], values: np.ndarray) -> bool:
    return all(values[NAMES[name]] for name in names)


def decided(values: np.ndarray, rules=RULES) -> int:
    """The first rule that a row satisfies, by a plain loop; -1 for none."""
    return next((i for i, rule in enumerate(rules) if of_literals(rule, values)), -1)


# Companions


@pytest.mark.parametrize("wanted", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_prefix_is_the_shortest_that_reaches_the_transparency(wanted: float):
    """By counting training rows; t = 0 takes no rule, and an unreachable t the whole list."""
    places = [decided(row) for row in TINY.companion.train.literals.values]
    shares = [np.mean([0 <= place < m for place in places]) for m in range(len(RULES) + 1)]
    m = next((m for m, share in enumerate(shares) if share >= wanted), len(RULES))
    found = Companion(Fixed(listed(*RULES)), transparency=wanted).explain(TINY, rng=rng())
    assert found.notes == {"transparency": pytest.approx(shares[m]), "rules": m}
    said = [decided(row, RULES[:m]) for row in TINY.queries.values]
    labels = [*listed(*RULES).labels, -1]
    np.testing.assert_array_equal(found.says, [labels[place] for place in said])


def test_the_problem_has_a_transparency_for_methods_without_one():
    whole = Companion(Fixed(listed(*RULES)))
    for wanted in (0.2, 0.9):
        one = whole.explain(replace(TINY, transparency=wanted), rng=rng())
        other = replace(whole, transparency=wanted).explain(TINY, rng=rng())
        assert one.notes == other.notes
    with pytest.raises(ValueError, match=r"transparency=1\.5: wanted a share"):
        Companion(Fixed(listed(*RULES)), transparency=1.5)


def test_conditions_come_first_then_those_that_the_point_escaped():
    """2, 1, 0 for each point, by hand from the rule that decides it."""
    found = Companion(Fixed(listed(*RULES)), transparency=1.0).explain(TINY, rng=rng())
    places = [decided(row) for row in TINY.queries.values]
    assert len(set(places)) > 1
    for values, place, reason in zip(found.features.values, places, found.reasons, strict=True):
        wanted = dict.fromkeys("abcde", 0)
        wanted |= {name[0]: 1 for rule in RULES[: max(place, 0)] for name in rule}
        wanted |= {name[0]: 2 for name in RULES[place]} if place >= 0 else {}
        assert values.tolist() == list(wanted.values())
        assert reason == (" and ".join(sorted(RULES[place])) if place >= 0 else "")


def test_typical_rows_come_first():
    """Decided rows of the rule's label, nearest to their mean first, then the others, by hand."""
    rules = listed(*RULES)
    found = Companion(Fixed(rules), transparency=1.0).explain(TINY, rng=rng())
    rows = [decided(row) for row in TINY.companion.train.literals.values]
    inputs, labels = TINY.train.inputs.double().numpy(), TINY.train.targets.numpy()
    for order, query in zip(found.data.order, TINY.queries.values, strict=True):
        place = decided(query)
        if place < 0:
            continue
        members = [row for row in range(len(rows)) if rows[row] == place]
        middle = np.mean([inputs[row] for row in members], axis=0)

        def key(row: int, place: int = place, middle: np.ndarray = middle) -> tuple:
            away = float(np.sqrt(((inputs[row] - middle) ** 2).sum()))
            return rows[row] != place, labels[row] != rules.labels[place], away

        assert order.tolist() == sorted(range(len(rows)), key=key)
        assert set(order[: len(members)].tolist()) == set(members)


def test_influential_rows_come_first_where_they_are_asked_for():
    """Decided rows by SGD-influence at the point, strongest supporters first; then the rest."""
    method = Companion(Fixed(listed(*RULES)), transparency=1.0, within=SGDInfluence())
    found = method.explain(TINY, rng=rng())
    rows = np.array([decided(row) for row in TINY.companion.train.literals.values])
    for query, literals in enumerate(TINY.queries.values):
        if decided(literals) >= 0:
            values = SGDInfluence().explain(TINY.cleansing(query), rng=rng()).values
            wanted = sorted(range(40), key=lambda r: (rows[r] != decided(literals), -values[r]))
            assert found.data.order[query].tolist() == wanted


def test_what_no_rule_covers_is_left_to_the_model():
    """No prediction, no reason, all features tied, and the rows in random order."""
    found = [Companion(Fixed(listed())).explain(TINY, rng=rng(seed)) for seed in range(2)]
    assert (found[0].says == -1).all()
    assert not any(found[0].reasons)
    assert not found[0].features.values.any()
    assert not np.array_equal(found[0].data.order, found[1].data.order)
    assert found[0].notes == {"transparency": 0, "rules": 0}


def test_a_rule_for_all_looks_at_nothing():
    """Behind another rule: what was escaped is all that there is to name."""
    rules = TINY.companion.labelled([Rule((NAMES["a > 0"],)), Rule(())])
    found = Companion(Fixed(rules), transparency=1.0).explain(TINY, rng=rng())
    for values, literals in zip(found.features.values, TINY.queries.values, strict=True):
        assert values.tolist() == [2 if literals[NAMES["a > 0"]] else 1, 0, 0, 0, 0]


def test_a_rule_without_training_rows_still_orders_them():
    """Rows of its label first, and then by nearness to the middle of all."""
    none = replace(TINY.companion.train.literals, values=np.zeros((40, 10), dtype=bool))
    companion = replace(TINY.companion, train=replace(TINY.companion.train, literals=none))
    every = replace(TINY.queries, values=np.ones((4, 10), dtype=bool))
    problem = replace(TINY, companion=companion, queries=every)
    found = Companion(Fixed(RuleList((Rule((0,)),), (1,)))).explain(problem, rng=rng())
    inputs, labels = TINY.train.inputs.double().numpy(), TINY.train.targets.numpy()
    away = np.linalg.norm(inputs - inputs.mean(axis=0), axis=1)
    wanted = np.lexsort((away, labels != 1))
    np.testing.assert_array_equal(found.data.order, np.tile(wanted, (4, 1)))


def test_what_is_no_rule_list_is_unsupported():
    with pytest.raises(Unsupported, match="a str has no rules to read"):
        Companion(Fixed("trust me")).explain(TINY, rng=rng())


# Adapters


def test_an_attribution_is_its_methods_values():
    found = Attribution(Gradient()).explain(TINY, rng=rng())
    assert isinstance(found, FeatureRanking)
    wanted = Gradient().explain(TINY.features, rng=rng()).values
    np.testing.assert_array_equal(found.values, wanted)


@pytest.mark.parametrize("method", [SGDInfluence(), KohLiang()])
def test_supporters_come_first(method):
    """Each point alone is the query, with its predicted class; largest change of loss first."""
    found = DataAttribution(method).explain(TINY, rng=rng())
    assert isinstance(found, DataRanking)
    for query in range(TINY.n):
        asked = TINY.cleansing(query)
        assert torch.equal(asked.validation.inputs[0], TINY.features.inputs[query])
        assert asked.validation.targets.tolist() == [int(TINY.features.targets[query])]
        values = method.explain(asked, rng=rng()).values
        np.testing.assert_array_equal(found.order[query], np.argsort(-values, kind="stable"))


# Neighbours


@pytest.mark.parametrize("first", [False, True])
def test_neighbours_in_the_inputs(first: bool):
    """By sorting distances in a plain loop, and the vote of the five nearest of any label."""
    method = NearestNeighbours(predicted_label_first=first)
    found = method.explain(TINY, rng=rng())
    labels = TINY.train.targets.numpy()
    for query in range(TINY.n):
        point = TINY.features.inputs[query].double()
        away = [float((row.double() - point).norm()) for row in TINY.train.inputs]
        wanted = int(TINY.features.targets[query])
        order = sorted(range(40), key=lambda r: (first and labels[r] != wanted, away[r]))
        assert found.data.order[query].tolist() == order
        nearest = labels[np.argsort(away)[:5]]
        assert found.says[query] == int(nearest.sum() > 2)
    assert found.features is None


def test_neighbours_in_the_representation():
    """Distances of the hidden layer's outputs, by the module's own layers."""
    module = TINY.model.module
    hidden = torch.nn.Sequential(*list(module)[:-1])
    with torch.no_grad():
        points, rows = hidden(TINY.features.inputs), hidden(TINY.train.inputs)
    found = NearestNeighbours(space="representation").explain(TINY, rng=rng())
    wanted = torch.cdist(points.double(), rows.double()).argsort(dim=1, stable=True)
    np.testing.assert_array_equal(found.data.order, wanted.numpy())


def test_voters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="voters=0: wanted at least 1"):
        NearestNeighbours(voters=0)


# The control


def test_random_answers_have_both_sides_and_no_preference():
    """Over 400 answers every row and feature is at each end about as often as another."""
    found = [Random().explain(TINY, rng=rng(seed)) for seed in range(400)]
    first = np.concatenate([answer.data.order[:, 0] for answer in found])
    top = np.concatenate([answer.features.values.argmax(axis=1) for answer in found])
    says = np.concatenate([answer.says for answer in found])
    for drawn, n in ((first, 40), (top, 5), (says, 2)):
        share = np.bincount(drawn, minlength=n) / len(drawn)
        assert np.abs(share - 1 / n).max() < 5 * np.sqrt(1 / n / len(drawn))

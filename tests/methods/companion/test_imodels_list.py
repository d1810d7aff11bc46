from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from earnest.methods.companion.imodels_list import READERS, ImodelsList, _distinct

from bench.components import Shelf, build
from bench.rules import Rule
from bench.tasks.base import Unsupported

LISTS = ("GreedyRuleListClassifier", "FastFrugalTreeClassifier")


@pytest.fixture
def imodels():
    """The package, where it is installed."""
    return pytest.importorskip("imodels")


def fitted(imodels, problem, learner: str, **options):
    """The learner on every second literal."""
    values, labels = problem.train.literals.values[:, ::2].astype(float), problem.train.labels
    np.random.seed(0)  # noqa: NPY002  (its learners draw from the global state)
    return getattr(imodels, learner)(**options).fit(values, labels), values


def reached(problem, conditions) -> np.ndarray:
    """The rows that a learner's own rule covers."""
    (rule,) = _distinct([conditions]) or [Rule(())]
    return rule.covers(problem.train.literals.values)


@pytest.mark.parametrize("learner", LISTS)
def test_lists_predict_what_the_learner_predicts(imodels, random_problem, learner: str):
    """Its rules in its order, each with the majority of the rows that it decides, and `else`."""
    for seed in range(5):
        problem = random_problem(seed, n=200)
        model, values = fitted(imodels, problem, learner)
        rules = _distinct(READERS[learner](model))
        found = problem.labelled([*rules, Rule(())])
        predicted = found.predict(problem.train.literals.values)
        # A tie of the two labels may be called either way.
        even = np.isclose(model.predict_proba(values)[:, 1], 0.5)
        np.testing.assert_array_equal(predicted[~even], model.predict(values)[~even])
        assert len(rules) > 1


def test_sums_of_trees_are_read_path_by_path(imodels, random_problem):
    """Each tree's paths part the rows, and the values of a row's paths sum to what it predicts."""
    problem = random_problem(1, n=300)
    model, values = fitted(imodels, problem, "FIGSClassifier", max_rules=6)
    paths = iter(READERS["FIGSClassifier"](model))
    total = np.zeros(len(values))
    for root in model.trees_:
        leaves, nodes = [], [root]
        while nodes:  # left before right, as the paths come
            node = nodes.pop()
            nodes += [] if node.left is None else [node.right, node.left]
            leaves += [node] if node.left is None else []
        covers = np.stack([reached(problem, next(paths)) for _ in leaves])
        assert (covers.sum(axis=0) == 1).all()
        total += covers.T @ [float(np.ravel(leaf.value)[-1]) for leaf in leaves]
    assert next(paths, None) is None
    # The package's probabilities are a softmax over (1 - total, total).
    chances = 1 / (1 + np.exp(1 - 2 * total))
    np.testing.assert_allclose(chances, model.predict_proba(values)[:, 1], atol=1e-6)


def test_stumps_are_read_from_both_sides(imodels, random_problem):
    """Each boosted tree says the same of all rows of a side."""
    problem = random_problem(2, n=300, n_labels=3)
    model, values = fitted(imodels, problem, "BoostedRulesClassifier")
    sides = list(READERS["BoostedRulesClassifier"](model))
    assert len(sides) == 2 * len(model.estimators_)
    for at, conditions in enumerate(sides):
        said = model.estimators_[at // 2].predict(values[reached(problem, conditions)])
        assert len(set(said)) == 1


@pytest.mark.parametrize("learner", ["RuleFitClassifier", "SkopeRulesClassifier"])
def test_rule_objects_cover_what_their_texts_say(imodels, random_problem, learner: str):
    """The package's own text of each rule, put to pandas."""
    import pandas as pd

    problem = random_problem(3, n=300)
    model, values = fitted(imodels, problem, learner, random_state=0)
    table = pd.DataFrame(values, columns=list(model.feature_placeholders))
    found = list(READERS[learner](model))
    assert len(found) == len(model.rules_without_feature_names_) > 1
    for conditions, rule in zip(found, model.rules_without_feature_names_, strict=True):
        expected = np.isin(np.arange(len(values)), table.query(str(rule)).index)
        np.testing.assert_array_equal(reached(problem, conditions), expected)


def test_conditions_become_literals():
    """Feature f holds: literal 2 f; what both values satisfy is no condition, what none does no
    rule; equal rules are one."""
    found = [
        [(0, ">", 0.5), (2, "<=", 0.5)],
        [(2, "<", 0.5), (0, ">=", 0.5), (1, "<=", 1.0)],
        [(1, ">", 0.5), (1, "<=", 0.5)],
        [(1, ">", 1.5)],
        [(1, ">=", 0.0)],
        [],
    ]
    assert _distinct(found) == [Rule((0, 5))]


def test_lists_keep_their_order(random_problem, monkeypatch: pytest.MonkeyPatch):
    """A learner that gives rules in a bad order: the best prefix, no other order."""
    problem = random_problem(4, n=200, objective="autac", alpha=0.0)
    rules = [{"index_col": f, "cutoff": 0.5, "flip": flip} for f in (3, 0) for flip in (0, 1)]
    model = SimpleNamespace(rules_=[*rules, {"val": 0.5}])
    monkeypatch.setattr(
        "earnest.methods.companion.imodels_list.package",
        lambda _name: SimpleNamespace(
            GreedyRuleListClassifier=lambda: SimpleNamespace(fit=lambda _x, _y: model)
        ),
    )
    found = ImodelsList("GreedyRuleListClassifier").explain(problem, rng=np.random.default_rng(0))
    ordered = [Rule((6,)), Rule((7,)), Rule((0,)), Rule((1,)), Rule(())]
    assert found.rules == tuple(ordered[: len(found)])
    values = [problem.value(problem.labelled(ordered[:m])) for m in range(6)]
    assert problem.value(found) == max(values)


def test_sets_are_put_in_their_best_order(imodels, random_problem):
    """No single change of the list betters it: none of its neighbours by removal or a swap."""
    problem = random_problem(5, n=300)
    found = ImodelsList("FIGSClassifier").explain(problem, rng=np.random.default_rng(0))
    value = problem.value(found)
    assert len(found) > 1
    for at in range(len(found)):
        without = [rule for place, rule in enumerate(found.rules) if place != at]
        for to in range(len(without) + 1):
            moved = [*without[:to], found.rules[at], *without[to:]]
            assert problem.value(problem.labelled(moved)) <= value + 1e-9
        assert problem.value(problem.labelled(without)) <= value + 1e-9


@pytest.mark.parametrize("learner", [name for name in READERS if "FIGS" not in name])
def test_more_labels_than_a_learner_tells_apart(random_problem, learner: str):
    """Named, never silently wrong; boosting takes any number."""
    problem = random_problem(6, n=150, n_labels=3)
    method, rng = ImodelsList(learner), np.random.default_rng(0)
    if learner == "BoostedRulesClassifier":
        pytest.importorskip("imodels")
        assert len(method.explain(problem, rng=rng)) > 0
        return
    with pytest.raises(Unsupported, match="tells two labels apart: 3 given"):
        method.explain(problem, rng=rng)


def test_one_label_alone_is_refused(random_problem):
    problem = random_problem(0)
    ones = np.ones(len(problem.train), dtype=int)
    flat = replace(problem, train=replace(problem.train, labels=ones))
    with pytest.raises(Unsupported, match="two labels apart: 1 given"):
        ImodelsList("FIGSClassifier").explain(flat, rng=np.random.default_rng(0))


def test_a_package_that_is_absent_is_named(random_problem, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "imodels", None)
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[imodels\]'"):
        ImodelsList("FIGSClassifier").explain(random_problem(0), rng=np.random.default_rng(0))


def test_every_learner_has_its_yaml():
    """And each yaml a reader."""
    shelf = Shelf()
    names = [name for name in shelf.names("method/companion") if name.startswith("imodels")]
    learners = {build(shelf.config("method/companion", name), name).learner for name in names}
    assert learners == set(READERS)

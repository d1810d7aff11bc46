"""Readable models that fairwash: each number recomputed plainly, texts read back, persons kept."""

import pickle
import sys
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from earnest.methods.fairwashing.beam_rules import BeamRules
from earnest.methods.fairwashing.fair_front import FairFront
from earnest.methods.fairwashing.fair_grid import EVENTS, _constraint, grid
from earnest.methods.fairwashing.fair_logistic import FairLogistic, rounded
from earnest.methods.fairwashing.fair_tree import FairTree, read
from earnest.methods.fairwashing.honest_list import HonestList
from earnest.methods.fairwashing.laundry_ml import LaundryML
from earnest.methods.fairwashing.random_list import RandomList
from earnest.methods.fairwashing.surrogates import Leaf, ScoreCard, Split

from bench.rules.fair_search import EXACT, Goal
from bench.rules.fairness import MEASURES
from bench.rules.lawler import best_lists
from bench.rules.rationalize import evaluate
from bench.scores.disparity import disparity
from bench.tasks.base import Unsupported
from bench.tasks.fairwashing_problem import (
    Candidate,
    FairwashingProblem,
    Rationalization,
    Region,
    Surrogate,
)

CLOSE = 2 * EXACT
NAMES, CLASSES = tuple("abcdefg"), ("no", "yes")
LAUNDRY = LaundryML(betas=(0.1, 0.5), k=4)
LISTS = (LAUNDRY, replace(LAUNDRY, distinct="predictions"), FairFront(), HonestList(), BeamRules())
FITTED = (FairTree(points=5), FairLogistic(points=5))
METHODS = (*LISTS, *FITTED, RandomList())
EVERYONE = np.array(list(product([False, True], repeat=len(NAMES))))


def named(method: object) -> str:
    return type(method).__name__


def problem_of(
    seed: int, measure: str = "demographic_parity", *, columns: int = 7, n: int = 64, noise=0.15
) -> FairwashingProblem:
    """Decisions by one column and, for those who aren't protected, a second; the last column tells
    the group of most; some rows are of neither."""
    rng = np.random.default_rng(seed)
    values = rng.random((n, columns)) < rng.uniform(0.3, 0.7, columns)
    groups = np.where(rng.random(n) < 0.15, rng.integers(2, size=n), values[:, -1])
    groups[rng.random(n) < 0.15] = -1
    decisions = (values[:, 0] | (values[:, 1] & (groups != 1))) ^ (rng.random(n) < noise)
    groups[:4], decisions[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
    decisions = decisions.astype(int)
    return FairwashingProblem(
        "global",
        values,
        NAMES[:columns],
        CLASSES,
        values.astype(float),
        decisions,
        decisions,
        groups,
        measure,
        (Region(np.arange(n)),),
        20,
    )


def answer(method, problem: FairwashingProblem, seed: int = 0) -> Rationalization:
    return method.explain(problem, rng=np.random.default_rng(seed))


def only(method, problem: FairwashingProblem) -> tuple[Candidate, ...]:
    """Of the one region."""
    (found,) = answer(method, problem).candidates
    assert found
    return found


def said(found: Rationalization, values: np.ndarray = EVERYONE) -> list[tuple]:
    """An answer in numbers; NaN as a text, that equals itself."""
    return [
        (str(one.objective), str(one.bound), one.size, one.model.predict(values).tolist())
        for candidates in found.candidates
        for one in candidates
    ]


def evaluated(one: Candidate, problem: FairwashingProblem, goal: Goal):
    return evaluate(one.model.rules, one.model.default, problem.suing(problem.regions[0]), goal)


def all_lists(problem: FairwashingProblem, goal: Goal):
    """Every rule list, evaluated row by row."""
    suing, columns = problem.suing(problem.regions[0]), len(problem.names)
    return [
        evaluate(tuple(zip(chosen, labels, strict=True)), default, suing, goal)
        for length in range(columns + 1)
        for chosen in permutations(range(columns), length)
        for labels in product((0, 1), repeat=length)
        for default in (0, 1)
    ]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("method", [*LISTS[:2], BeamRules()], ids=named)
def test_objectives_are_recomputed(method, measure: str):
    """Each is the least that a beta gives the list; they rise, and no list comes twice."""
    problem = problem_of(1, measure)
    found = only(method, problem)
    for one in found:
        told = [evaluated(one, problem, problem.goal(b, method.price)) for b in method.betas]
        assert any(one.objective == each.objective for each in told)
        assert one.size == len(one.model.rules)
    objectives = [one.objective for one in found]
    assert objectives == sorted(objectives)
    assert len({(one.model.rules, one.model.default) for one in found}) == len(found)


@pytest.mark.parametrize("distinct", ["columns", "predictions"])
def test_laundry_is_the_k_best_of_each_beta(distinct: str):
    """All lists of the enumerations, each proved."""
    problem = problem_of(2)
    method = LaundryML(betas=(0.0, 0.2, 0.5), k=4, distinct=distinct)
    found, suing = only(method, problem), problem.suing(problem.regions[0])
    wanted = [
        one
        for beta in method.betas
        for one in best_lists(suing, problem.goal(beta, 0.005), 4, distinct=distinct).lists
    ]
    assert {one.model.rules for one in found} == {one.rules for one in wanted}
    assert found[0].objective == min(one.objective for one in wanted)
    assert all(abs(one.gap) <= CLOSE for one in found)


@pytest.mark.parametrize("measure", ["demographic_parity", "equalized_odds", "predictive_parity"])
def test_the_best_of_all_lists(measure: str):
    """By enumeration over three columns: the honest list is the truest, that of LaundryML the best
    of its beta; a beam finds none better, and claims nothing."""
    for seed in range(3):
        problem = problem_of(seed, measure, columns=3)
        for beta, methods in (
            (0.0, [HonestList(price=0.01)]),
            (0.3, [LaundryML(betas=(0.3,), price=0.01)]),
        ):
            best = min(one.objective for one in all_lists(problem, problem.goal(beta, 0.01)))
            for method in methods:
                assert only(method, problem)[0].objective == pytest.approx(best, abs=CLOSE)
                assert only(method, problem)[0].bound == pytest.approx(best, abs=CLOSE)
            (beam,) = only(BeamRules(width=1, betas=(beta,), price=0.01), problem)
            assert beam.objective >= best - CLOSE
            assert np.isnan(beam.bound)


@pytest.mark.parametrize("measure", ["demographic_parity", "joint_demographic_parity"])
def test_the_front_is_the_best_of_all_lists_within_each_tau(measure: str):
    """Taus are shares of the gap between the groups' own rates of positive decisions; for each
    the best list of all that are fair enough is a candidate, and there are no others."""
    for seed in range(3):
        problem = problem_of(seed, measure, columns=3)
        (one, other), n = (problem.groups == 1, problem.groups == 0), len(problem.groups)
        parts = [one.sum(), other.sum()] if measure == "demographic_parity" else [n, n]
        positive = [problem.decisions[group].sum() for group in (one, other)]
        own = abs(positive[0] / parts[0] - positive[1] / parts[1])
        goal = problem.goal(0.0, 0.01)
        lists = all_lists(problem, goal)
        found = only(FairFront(points=8, price=0.01), problem)
        told = [evaluated(each, problem, goal) for each in found]
        wanted = set()
        for tau in own * np.arange(1, 9) / 8 + 1e-12:
            best = min(each.objective for each in lists if each.unfairness <= tau)
            assert min(each.objective for each in told if each.unfairness <= tau) == pytest.approx(
                best, abs=CLOSE
            )
            wanted.add(round(best, 9))
        assert {round(each.objective, 9) for each in found} == wanted
        assert all(each.unfairness <= own + 1e-12 for each in told)


def test_where_the_black_box_is_fair_by_definition_the_front_begins_with_the_truest_list():
    """Equal opportunity as to the black box's own decisions: its own gap is 0."""
    problem = problem_of(12, "equal_opportunity", n=200, noise=0.25)
    found, (honest,) = only(FairFront(), problem), only(HonestList(), problem)
    assert found[0].objective == pytest.approx(honest.objective, abs=CLOSE)
    unfair = [evaluated(one, problem, Goal("equal_opportunity")).unfairness for one in found]
    assert min(unfair) < unfair[0] / 10


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_persons_keep_their_decision(method):
    """A region with a person has the candidates of that without one that tell the person what the
    black box does."""
    if method in FITTED:
        pytest.importorskip("fairlearn")
    problem = problem_of(4)
    rows, people = np.arange(5, 60), (7, 20, 33)
    regions = tuple(Region(rows, kept) for kept in (None, *people))
    # Each region draws its own random list.
    free, *bound = (
        answer(method, replace(problem, scope="local", regions=(region,))).candidates[0]
        for region in regions
    )
    for kept, found in zip(people, bound, strict=True):
        suits = problem.decisions[kept]
        wanted = [one for one in free if one.model.predict(problem.columns)[kept] == suits]
        assert said(Rationalization((tuple(wanted),))) == said(Rationalization((found,)))


def test_a_person_whom_no_candidate_suits_gets_none():
    """Where a rule costs more than it mends the honest list is a constant: half the people know
    it to be wrong."""
    problem = problem_of(5)
    method = HonestList(price=0.9)
    constant = int(np.bincount(problem.decisions).argmax())
    regions = tuple(Region(np.arange(64), kept) for kept in range(64))
    found = answer(method, replace(problem, scope="local", regions=regions))
    lengths = [len(candidates) for candidates in found.candidates]
    assert lengths == (problem.decisions == constant).astype(int).tolist()
    assert 0 in lengths


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_answers_are_of_the_agreed_types(method):
    """Surrogates with a text, equal from equal seeds and from a pickled method, and pickled
    themselves; no seconds in them."""
    if method in FITTED:
        pytest.importorskip("fairlearn")
    problem = problem_of(6)
    found = answer(method, problem)
    assert len(found.candidates) == len(problem.regions)
    for one in only(method, problem):
        assert isinstance(one.model, Surrogate)
        assert set(one.model.predict(EVERYONE)) <= {0, 1}
        assert one.model.text(NAMES, CLASSES)
        assert one.size >= 0
    again = answer(pickle.loads(pickle.dumps(method)), problem)
    assert pickle.dumps(again) == pickle.dumps(found)
    assert said(pickle.loads(pickle.dumps(found))) == said(found)


@pytest.mark.parametrize("measure", ["demographic_parity", "equalized_odds"])
@pytest.mark.parametrize("method", METHODS, ids=named)
def test_rows_in_another_order_make_the_same_models(method, measure: str):
    """To the last bit: which row comes first has no say, not even in ties."""
    if method in FITTED:
        pytest.importorskip("fairlearn")
    problem = problem_of(7, measure)
    order = np.random.default_rng(0).permutation(64)
    turned = replace(
        problem,
        **{
            field: getattr(problem, field)[order]
            for field in ("columns", "inputs", "decisions", "labels", "groups")
        },
    )
    assert said(answer(method, turned)) == said(answer(method, problem))


@pytest.mark.parametrize("method", [*LISTS, *FITTED], ids=named)
def test_a_region_without_one_of_the_groups_is_refused(method):
    """Which one is said: there is no gap."""
    if method in FITTED:
        pytest.importorskip("fairlearn")
    problem = problem_of(0)
    region = Region(np.flatnonzero(problem.groups != 1))
    with pytest.raises(ValueError, match="group 1 has no rows"):
        answer(method, replace(problem, regions=(region,)))


def test_random_lists_look_at_nothing():
    """Other decisions and groups, the same list; another seed, another one."""
    problem = problem_of(8)
    other = replace(problem, decisions=1 - problem.decisions, groups=problem.groups[::-1].copy())
    found, same = (answer(RandomList(), each) for each in (problem, other))
    assert said(found) == said(same)
    assert said(found) != said(answer(RandomList(), problem, seed=1))
    (one,) = only(RandomList(length=99), problem)
    assert sorted(column for column, _ in one.model.rules) == list(range(7))


def test_a_beam_is_one_prefix_wide_at_least():
    with pytest.raises(ValueError, match="width=0: wanted 1"):
        BeamRules(width=0)


# Trees and scores.


def said_by_tree(text: str, holds: dict[str, bool]) -> str:
    """What a reader of a tree's text concludes for one person."""
    lines, at, depth = text.split("\n"), 0, 0
    while True:
        words = lines[at].strip().split(" ")
        assert lines[at].startswith("  " * depth + words[0])
        if words[0] == "if" and not holds[words[1]]:
            at = next(
                i for i in range(at + 1, len(lines)) if lines[i].startswith("  " * depth + "else")
            )
            words = lines[at].strip().split(" ")
        if words[0] not in ("if", "else") or len(words) in (2, 4) and words[0] != "if":
            return words[-1]
        if words[0] == "if" and len(words) == 4:
            return words[3]
        at, depth = at + 1, depth + 1


def said_by_score(text: str, holds: dict[str, bool]) -> str:
    """What a reader of a score's text concludes for one person."""
    *lines, last = text.split("\n")
    total = 0
    for line in lines:
        weight, *condition = line.split(" ")
        total += int(weight) if condition == ["always"] or holds[condition[1]] else 0
    words = last.split(" ")
    return words[0] if len(words) == 1 or total > 0 else words[-1]


def test_texts_of_a_tiny_tree_and_score():
    """By hand."""
    tree = Split(0, Split(2, Leaf(1), Leaf(0)), Split(1, Leaf(0), Split(3, Leaf(1), Leaf(0))))
    assert tree.text(NAMES, CLASSES).split("\n") == [
        "if a",
        "  if c then yes",
        "  else no",
        "else",
        "  if b then no",
        "  else",
        "    if d then yes",
        "    else no",
    ]
    assert tree.size == 5
    assert tree.predict(np.eye(4, dtype=bool)).tolist() == [0, 0, 0, 1]
    score = ScoreCard(np.array([1, 0, -3, 2]), -1)
    assert score.text(NAMES, CLASSES).split("\n") == [
        "-3 if c",
        "+2 if d",
        "+1 if a",
        "-1 always",
        "yes if the sum is above 0, else no",
    ]
    assert score.size == 3
    assert score.predict(np.eye(4, dtype=bool)).tolist() == [0, 0, 0, 1]
    for label, name in enumerate(CLASSES):
        assert Leaf(label).text(NAMES, CLASSES) == name
        assert ScoreCard(np.zeros(4, dtype=int), 2 * label - 1).text(NAMES, CLASSES) == name


@pytest.mark.parametrize("method", FITTED, ids=named)
def test_texts_say_what_is_predicted(method):
    """Read back for every person there can be."""
    pytest.importorskip("fairlearn")
    reader = said_by_tree if isinstance(method, FairTree) else said_by_score
    models = [one.model for seed in range(3) for one in only(method, problem_of(seed))]
    for model in [*models, Leaf(1)] if isinstance(method, FairTree) else models:
        text = model.text(NAMES, CLASSES)
        told = [reader(text, dict(zip(NAMES, row, strict=True))) for row in EVERYONE]
        assert told == [CLASSES[label] for label in model.predict(EVERYONE)]
    assert max(model.size for model in models) > 3


def test_trees_and_scores_predict_what_scikit_learn_does():
    """The tree as it is, without splits that decide nothing; the score with many digits, up to
    which rounding moves no decision; a constant where there is but one label."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    for seed in range(5):
        problem = problem_of(seed, n=200)
        values, labels = problem.columns.astype(float), problem.decisions
        cart = DecisionTreeClassifier(max_leaf_nodes=12, random_state=seed).fit(values, labels)
        regression = LogisticRegression().fit(values, labels)
        tree, score = read(cart), rounded(regression, 10**9, 7)
        np.testing.assert_array_equal(tree.predict(EVERYONE), cart.predict(EVERYONE))
        np.testing.assert_array_equal(score.predict(EVERYONE), regression.predict(EVERYONE))
        assert 2 < tree.size <= 12
        assert _splits_that_decide(tree) == tree.size - 1
        rough = rounded(regression, 10, 7)
        assert np.abs(rough.weights).max() == 10
        # Each of eight numbers is off by half at most.
        sums = EVERYONE @ rough.weights + rough.offset
        exact = regression.decision_function(EVERYONE) * 10 / np.abs(regression.coef_).max()
        assert np.abs(sums - exact).max() <= 4
    for label in (0, 1):
        constant = DummyClassifier(strategy="constant", constant=label)
        constant.fit(np.zeros((2, 7)), [label, label])
        assert read(constant) == Leaf(label)
        assert (rounded(constant, 10, 7).predict(EVERYONE) == label).all()


def _splits_that_decide(tree: Split | Leaf) -> int:
    if isinstance(tree, Leaf):
        return 0
    assert tree.holds != tree.fails
    return 1 + _splits_that_decide(tree.holds) + _splits_that_decide(tree.fails)


OWN = {
    "demographic_parity": "DemographicParity",
    "predictive_equality": "FalsePositiveRateParity",
    "equal_opportunity": "TruePositiveRateParity",
    "equalized_odds": "EqualizedOdds",
}
"""fairlearn's own classes."""


@pytest.mark.parametrize("measure", EVENTS)
def test_constraints_are_those_of_fairlearn(measure: str):
    """Weights of rows are those by fairlearn's own class on the rows of the two groups alone, but
    for the share that these are; rows of neither group have none."""
    reductions = pytest.importorskip("fairlearn.reductions")
    problem = problem_of(9, measure, n=100)
    values, groups, labels = problem.columns.astype(float), problem.groups, problem.decisions
    ours, theirs = _constraint(measure, labels), getattr(reductions, OWN[measure])()
    ours.load_data(values, labels, sensitive_features=groups)
    two = groups >= 0
    theirs.load_data(values[two], labels[two], sensitive_features=groups[two])
    rng = np.random.default_rng(0)
    assert list(ours.index.get_level_values("group_id")) == list(
        theirs.index.get_level_values("group_id")
    )
    assert len(ours.index) == len(theirs.index) == (8 if measure == "equalized_odds" else 4)
    for _ in range(3):
        multipliers = theirs.prob_group_event.iloc[:0]  # an empty Series
        multipliers = multipliers.reindex(theirs.index, fill_value=0.0) + rng.random(
            len(theirs.index)
        )
        wanted = theirs.signed_weights(multipliers).to_numpy()
        multipliers.index = ours.index
        found = ours.signed_weights(multipliers).to_numpy()
        np.testing.assert_allclose(found[two] * two.mean(), wanted, atol=1e-12)
        assert not found[~two].any()
        assert np.abs(wanted).max() > 0


@pytest.mark.parametrize("measure", EVENTS)
def test_the_grid_holds_the_unconstrained_tree_and_fairer_ones(measure: str):
    """Multiplier 0 is plain CART; the fairest tree of the grid is fairer than that."""
    pytest.importorskip("fairlearn")
    from sklearn.tree import DecisionTreeClassifier

    problem = problem_of(12, measure, n=400, noise=0.25)
    suing = problem.suing(problem.regions[0])
    cart = DecisionTreeClassifier(max_leaf_nodes=6, random_state=0)
    found = [read(one).predict(problem.columns) for one in grid(suing, measure, cart, 41, 0.7)]
    plain = cart.fit(problem.columns, problem.decisions).predict(problem.columns)
    assert any((one == plain).all() for one in found)

    unfair = disparity(measure, np.stack([plain, *found]), problem.groups, problem.decisions)
    assert unfair.absolute[1:].min() < unfair.absolute[0]


@pytest.mark.parametrize("method", FITTED, ids=named)
def test_fitted_candidates_differ_and_the_most_faithful_comes_first(method):
    """On the rows; they claim no objective."""
    pytest.importorskip("fairlearn")
    problem = problem_of(11)
    found = only(method, problem)
    predicted = [one.model.predict(problem.columns) for one in found]
    assert len({each.tobytes() for each in predicted}) == len(found) > 1
    wrong = [(each != problem.decisions).sum() for each in predicted]
    assert wrong == sorted(wrong)
    assert all(np.isnan([one.objective, one.bound]).all() for one in found)


@pytest.mark.parametrize("method", FITTED, ids=named)
@pytest.mark.parametrize("measure", sorted(set(MEASURES) - set(EVENTS)))
def test_measures_that_fairlearn_lacks(method, measure: str):
    with pytest.raises(Unsupported, match=f"constrains no {measure}: take one of demographic_par"):
        answer(method, problem_of(0, measure))


@pytest.mark.parametrize("method", FITTED, ids=named)
def test_without_fairlearn_the_extra_is_named(method, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fairlearn.reductions", None)
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[fairlearn\]'"):
        answer(method, problem_of(0))

"""shap's TreeExplainer against exact Shapley values of forests and boosted trees."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.conformance import CHECKS, NotApplicable, Subject
from bench.data import Samples
from bench.models.boosting import Boosting
from bench.models.forest import Forest
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.table import shapley_values
from bench.tasks.attribution import AttributionProblem, AttributionTask, predicted
from bench.tasks.base import Unsupported
from bench.tasks.foreign import alone

FOREST, BOOSTING = Forest(trees=9, depth=5), Boosting(rounds=15, leaves=8)


def tree_problem(
    recipe: Forest | Boosting, n_classes: int, g: str, sets: int = 1, draws: int = 6
) -> AttributionProblem:
    """Seven instances of five features, and a model of a sum with a product in it."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(200, 5))).float()
    noise = torch.from_numpy(rng.normal(size=200)).float()
    targets = inputs[:, 0] + inputs[:, 1] * inputs[:, 2] + noise / 3
    if n_classes:
        cuts = targets.quantile(torch.arange(1, n_classes) / n_classes)
        targets = torch.bucketize(targets, cuts)
    model = recipe.fit(Samples(inputs, targets, n_classes), rng=rng)
    some, columns = inputs[:7], Partition(torch.arange(5), tuple("abcde"))
    reference = Reference(inputs[50 : 50 + sets * draws].view(sets, draws, 5))
    return AttributionProblem(model, some, predicted(model, some), columns, reference, g)


@pytest.mark.parametrize(("sets", "draws"), [(1, 1), (1, 150), (7, 3)])
@pytest.mark.parametrize(
    ("recipe", "n_classes", "g"),
    [
        (FOREST, 2, "probability"),
        (FOREST, 3, "probability"),
        (FOREST, 0, "output"),
        (BOOSTING, 2, "logit"),
        (BOOSTING, 2, "margin"),
        (BOOSTING, 0, "output"),
    ],
)
def test_sums_of_trees_are_exact(recipe, n_classes: int, g: str, sets: int, draws: int, answer):
    """The Shapley values from the table of all sets: each class, any background, all of it."""
    problem = tree_problem(recipe, n_classes, g, sets, draws)
    found = answer("shap_tree", problem)
    np.testing.assert_allclose(found, shapley_values(problem.table()), atol=1e-6)


def test_boosted_probabilities_are_scaled_log_odds(answer):
    """One draw at a time: the Shapley values of the log-odds, by how g changes where they do."""
    problem = tree_problem(BOOSTING, 2, "probability")
    total = np.zeros((7, 5))
    for draw in range(6):
        one = replace(problem, reference=problem.reference.only(draw))
        bent, straight = one.table(), replace(one, g="logit").table()
        change, log_odds = (table[:, :1] - table[:, -1:] for table in (bent, straight))
        total += shapley_values(straight) * change / log_odds / 6
    found = answer("shap_tree", problem)
    np.testing.assert_allclose(found, total, atol=1e-6)
    table = problem.table()
    np.testing.assert_allclose(found.sum(1), table[:, 0] - table[:, -1], atol=1e-6)


def test_columns_of_a_feature_are_summed(answer):
    """A feature of two columns has the sum of theirs."""
    problem = tree_problem(FOREST, 2, "probability")
    single = answer("shap_tree", problem)
    paired = replace(problem, partition=Partition(torch.tensor([0, 1, 1, 2, 0]), tuple("abc")))
    wanted = np.stack([single[:, [0, 4]].sum(1), single[:, 1:3].sum(1), single[:, 3]], axis=1)
    np.testing.assert_allclose(answer("shap_tree", paired), wanted, atol=1e-9)


def test_instances_do_not_mix(answer):
    """Explaining one instance alone gives its row."""
    problem = tree_problem(FOREST, 3, "probability", sets=7)
    found = answer("shap_tree", problem)
    for row in range(7):
        one = answer("shap_tree", alone(problem, row))
        np.testing.assert_allclose(found[row], one[0], atol=1e-9)


def test_other_models_and_outcomes(answer, problem_of):
    """A reason wherever trees don't add up to g."""
    with pytest.raises(Unsupported, match="needs a forest"):
        answer("shap_tree", problem_of(3))
    for recipe, n_classes, g in (
        (FOREST, 2, "logit"),
        (BOOSTING, 2, "label"),
        (BOOSTING, 3, "probability"),
    ):
        with pytest.raises(Unsupported, match="don't add up"):
            answer("shap_tree", tree_problem(recipe, n_classes, g))


class OfTrees(AttributionTask):
    """The task with a forest for its tiny problem."""

    def tiny(self) -> AttributionProblem:
        return tree_problem(FOREST, 3, "probability")


NEEDS_NETWORKS = ("check_constant_model", "check_known_truth")
"""Checks whose problems are made of a network's weights."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_promises_on_trees(check, method):
    """The conformance checks where the model is a forest."""
    pytest.importorskip("shap")
    if check.__name__ in NEEDS_NETWORKS:
        pytest.skip("made of a network")
    try:
        check(Subject(method("shap_tree"), OfTrees()))
    except NotApplicable as reason:
        pytest.skip(str(reason))

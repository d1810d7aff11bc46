"""Rule lists of the package imodels, and lists made of its rule sets and trees."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from bench.models.base import Capability
from bench.rules import Rule, RuleList, RulePool, pack
from bench.rules.local_search import locally_best
from bench.tasks.base import Unsupported
from bench.tasks.companion import CompanionProblem
from bench.tasks.foreign import package, seeded

Learner = Literal[
    "GreedyRuleListClassifier",
    "FastFrugalTreeClassifier",
    "BoostedRulesClassifier",
    "FIGSClassifier",
    "RuleFitClassifier",
    "SkopeRulesClassifier",
]
Condition = tuple[int, str, float]
"""A feature, how it compares, and to what."""

_LISTS = ("GreedyRuleListClassifier", "FastFrugalTreeClassifier")
_ANY_LABELS = ("BoostedRulesClassifier", "FIGSClassifier")


@dataclass(frozen=True)
class ImodelsList:
    """The rules of a learner of imodels 3, which is shown the literals and never the black box.

    A list keeps its order; how many of its rules come before the default rule or the black box
    is chosen by the problem's objective, its own `else` being a rule that covers all. Sets of
    rules and trees have no order: of their rules, or of the paths to their leaves, the best list
    is made that single changes find. Labels are those of most rows that a rule decides, as
    everywhere in this task; what weights a learner gives its rules is lost.

    Some learners are left out for their time: `BayesianRuleListClassifier` and
    `BayesianRuleSetClassifier` took over 100 CPU seconds for some thousand rows,
    `SlipperClassifier` 55 for 455 rows of 180 features.

    Parameters
    ----------
    learner : its class. options : keyword arguments of it.
    longest : rules in a list at most.

    References
    ----------
    Singh, Nasseri, Tan, Tang, Yu, *imodels: a Python Package for Fitting Interpretable Models*,
    JOSS 6(61), 2021. FIGS: Tan et al., *Fast Interpretable Greedy-Tree Sums*, 2022. RuleFit:
    Friedman, Popescu, *Predictive Learning via Rule Ensembles*, Annals of Applied Statistics 2,
    2008. Fast-and-frugal trees: Phillips, Neth, Woike, Gaissmaier, *FFTrees*, Judgment and
    Decision Making 12, 2017.
    """

    learner: Learner
    options: Mapping[str, Any] = field(default_factory=dict)
    longest: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()
    imports: ClassVar[tuple[str, ...]] = ("imodels",)

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        found = _distinct(self._fitted(problem, rng))
        if self.learner in _LISTS:
            ordered = [*found, Rule(())][: self.longest]
            prefixes = (problem.labelled(ordered[:m]) for m in range(len(ordered) + 1))
            return max(prefixes, key=problem.value)
        return _best_list(problem, found, self.longest)

    def _fitted(self, problem: CompanionProblem, rng: np.random.Generator) -> list[list[Condition]]:
        """The rules of the learner, each a list of conditions."""
        labels = problem.train.labels
        n_labels = len(np.unique(labels))
        if n_labels != 2 and not (n_labels > 2 and self.learner in _ANY_LABELS):
            raise Unsupported(f"imodels' {self.learner} tells two labels apart: {n_labels} given")
        # Every second literal: the others are their negations. Some learners look at the order
        # of rows and features, where they part the rows or break a tie: it is drawn.
        values = problem.train.literals.values[:, ::2].astype(float)
        rows, features = map(rng.permutation, values.shape)
        with seeded(rng):
            model = getattr(package("imodels"), self.learner)(**self.options)
            model = model.fit(values[np.ix_(rows, features)], labels[rows])
            found = list(READERS[self.learner](model))
        return [[(int(features[f]), sign, at) for f, sign, at in rule] for rule in found]


def _distinct(found: Iterable[list[Condition]]) -> list[Rule]:
    """Rules over literals 2 f, the feature f holds, and 2 f + 1, it doesn't; those that ask
    nothing or the impossible are left out."""
    rules = dict.fromkeys(_rule(conditions) for conditions in found)
    return [rule for rule in rules if rule is not None and rule.conditions]


def _rule(conditions: list[Condition]) -> Rule | None:
    """None where no row can satisfy it."""
    literals = set[int]()
    for feature, sign, number in conditions:
        fails, holds = (_COMPARED[sign](value, number) for value in (0, 1))
        if not (fails or holds):
            return None
        if fails != holds:
            literals.add(2 * feature + fails)
    contradictory = any(literal ^ 1 in literals for literal in literals)
    return None if contradictory else Rule(tuple(sorted(literals)))


_COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _best_list(problem: CompanionProblem, rules: list[Rule], longest: int) -> RuleList:
    values = problem.train.literals.values
    covers = [rule.covers(values) for rule in rules]
    if not covers:
        return RuleList((), ())
    own = replace(problem, pool=RulePool(tuple(rules), pack(np.stack(covers))))
    _, places = locally_best(own.ground, (), longest=longest)
    return own.listed(places)


def _listed(model: Any) -> Iterator[list[Condition]]:
    """Rule lists: one condition a rule; the last of them has none."""
    for rule in model.rules_:
        if "index_col" in rule:
            sign = "<" if rule["flip"] else ">="
            yield [(int(rule["index_col"]), sign, float(rule["cutoff"]))]


def _stumps(model: Any) -> Iterator[list[Condition]]:
    """Boosted trees of one split: both of its sides."""
    for estimator in model.estimators_:
        feature, threshold = int(estimator.tree_.feature[0]), float(estimator.tree_.threshold[0])
        if feature >= 0:
            yield [(feature, ">", threshold)]
            yield [(feature, "<=", threshold)]


def _summed_trees(model: Any) -> Iterator[list[Condition]]:
    """FIGS: the paths to the leaves of all its trees."""
    for root in model.trees_:
        yield from _paths(root, [])


def _paths(node: Any, path: list[Condition]) -> Iterator[list[Condition]]:
    if node.left is None:
        yield path
        return
    feature, threshold = int(node.feature), float(node.threshold)
    yield from _paths(node.left, [*path, (feature, "<=", threshold)])
    yield from _paths(node.right, [*path, (feature, ">", threshold)])


def _rule_objects(model: Any) -> Iterator[list[Condition]]:
    """RuleFit and skope-rules: conditions by placeholder and operator."""
    place = {name: at for at, name in enumerate(model.feature_placeholders)}
    for rule in model.rules_without_feature_names_:
        yield [(place[name], sign, float(at)) for (name, sign), at in rule.agg_dict.items()]


READERS: dict[Learner, Callable[[Any], Iterator[list[Condition]]]] = {
    "GreedyRuleListClassifier": _listed,
    "FastFrugalTreeClassifier": _listed,
    "BoostedRulesClassifier": _stumps,
    "FIGSClassifier": _summed_trees,
    "RuleFitClassifier": _rule_objects,
    "SkopeRulesClassifier": _rule_objects,
}
"""How the rules of a fitted learner are read: from its numbers, not from texts."""

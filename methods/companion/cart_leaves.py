"""The leaves of a CART tree as rules, in the order of their gain rate over the black box."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool

from bench.models.base import Capability
from bench.rules import Rule, RuleList
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class CartLeaves:
    """Grow trees of several sizes, order the leaves of each, keep the best first leaves of one.

    Leaves share no row, so their best order is by gain rate, falling: right rows that a leaf
    gains over the black box, over the rows that it covers (Smith's rule). How many of them
    come before the default rule or the black box is chosen by the objective.

    Parameters
    ----------
    leaves : sizes of tree to try.
    least : share of the rows in a leaf at least.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, *Classification and Regression Trees*, 1984.
    Smith, *Various Optimizers for Single-Stage Production*, Naval Research Logistics 3, 1956.
    """

    leaves: tuple[int, ...] = (2, 4, 8, 16)
    least: float = 0.01

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        seed = int(rng.integers(2**31))
        prefixes = [
            problem.labelled(ordered[:m])
            for ordered in (self._ordered(problem, size, seed) for size in self.leaves)
            for m in range(len(ordered) + 1)
        ]
        return max(prefixes, key=problem.value)

    def _ordered(self, problem: CompanionProblem, size: int, seed: int) -> list[Rule]:
        from sklearn.tree import DecisionTreeClassifier

        values, labels = problem.train.literals.values, problem.train.labels
        # Every second literal: the others are their negations.
        tree = DecisionTreeClassifier(
            max_leaf_nodes=size, min_samples_leaf=self.least, random_state=seed
        ).fit(values[:, ::2], labels)
        rules = [Rule(_needed(path, values)) for path in _paths(tree.tree_)]
        return sorted(rules, key=lambda rule: -_gain_rate(problem, rule))


def _paths(tree: Any, node: int = 0, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The literals on the way to each leaf."""
    if tree.children_left[node] < 0:
        yield path
        return
    holds = 2 * int(tree.feature[node])
    yield from _paths(tree, int(tree.children_left[node]), (*path, holds + 1))
    yield from _paths(tree, int(tree.children_right[node]), (*path, holds))


def _needed(path: Sequence[int], values: Bool[np.ndarray, "n d"]) -> tuple[int, ...]:
    """The literals without those that the others of the path imply on all rows."""
    needed = list(path)
    for literal in path:
        rest = [other for other in needed if other != literal]
        if not (values[:, rest].all(axis=1) & ~values[:, literal]).any():
            needed = rest
    return tuple(sorted(needed))


def _gain_rate(problem: CompanionProblem, rule: Rule) -> float:
    covered = rule.covers(problem.train.literals.values)
    labels, black_box = problem.train.labels[covered], problem.train.black_box[covered]
    return float((np.bincount(labels).max() - (labels == black_box).sum()) / len(labels))

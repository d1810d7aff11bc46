"""Small CART trees under a fairness constraint, by fairlearn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.rationalize import Suing
from bench.tasks.fairwashing_problem import Candidate, FairwashingProblem, Rationalization

from .fair_grid import grid
from .regions import answered, truest_first
from .surrogates import Leaf, Split


@dataclass(frozen=True)
class FairTree:
    """Trees that repeat the black box's decisions, for each multiplier of unfairness.

    fairlearn's grid search, whose models are single trees: its exponentiated gradient answers
    with a mixture of trees, one of which is drawn for each decision, and nobody can read that.
    Candidates are all trees of the grid that differ on the rows, the most faithful first, splits
    that say the same on both sides taken out; none has an objective of its own. Rows of neither
    group are fitted, and constrain nothing.

    Parameters
    ----------
    leaves : sizes of tree, a grid for each.
    points : multipliers in the grid; 61 is symmetric, for one gap and for two.
    limit : the largest multiplier.

    References
    ----------
    Agarwal, Beygelzimer, Dudik, Langford, Wallach, *A Reductions Approach to Fair
    Classification*, ICML 2018, Sec. 3.4. Breiman, Friedman, Olshen, Stone, *Classification and
    Regression Trees*, 1984.
    """

    leaves: tuple[int, ...] = (8, 16)
    points: int = 61
    limit: float = 0.7

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()
    imports: ClassVar[tuple[str, ...]] = ("fairlearn.reductions", "sklearn.tree")

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        seed = int(rng.integers(2**31))  # breaks ties between columns

        def found(suing: Suing) -> list[Candidate]:
            trees = self._trees(suing, problem.measure, seed)
            return truest_first((Candidate(tree, tree.size) for tree in trees), suing)

        return answered(problem, found)

    def _trees(self, suing: Suing, measure: str, seed: int) -> Iterator[Split | Leaf]:
        from sklearn.tree import DecisionTreeClassifier

        for size in self.leaves:
            cart = DecisionTreeClassifier(max_leaf_nodes=size, random_state=seed)
            yield from map(read, grid(suing, measure, cart, self.points, self.limit))


def read(fitted: Any) -> Split | Leaf:
    """scikit-learn's tree, or its constant where all rows had one label."""
    return _below(fitted.tree_, 0) if hasattr(fitted, "tree_") else Leaf(int(fitted.constant))


def _below(tree: Any, node: int) -> Split | Leaf:
    if tree.children_left[node] < 0:
        return Leaf(int(tree.value[node, 0].argmax()))
    # Columns are 0 or 1: a row goes left where its column doesn't hold.
    fails = _below(tree, int(tree.children_left[node]))
    holds = _below(tree, int(tree.children_right[node]))
    return fails if fails == holds else Split(int(tree.feature[node]), holds, fails)

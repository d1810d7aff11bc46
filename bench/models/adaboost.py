"""AdaBoost as a black box: trained by scikit-learn, kept and walked as plain arrays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from bench.data import Samples
from bench.models.boosting import BoostingModel, BoostingRecipe
from bench.models.trees import SMALLEST, Tree, Trees, check_at_least, joined, of_sklearn


@dataclass(frozen=True)
class AdaBoost(BoostingRecipe):
    """Train trees one after the other, each on rows weighted up where those before it err.

    With K classes that have training rows, a tree votes 1/(K - 1) for the class of a row's leaf
    and -1/(K - 1)^2 for each other one, times its weight over all trees' weights. The margins are
    the sums of the votes, so their softmax is scikit-learn's `predict_proba` and their largest
    its `predict` (of two equal ones the first).

    Boosting ends at a tree that makes no error on its training rows, the only one that then
    counts much. Trees that may split down to single rows make none from the start, so that one
    tree is the whole ensemble: `min_split` is what keeps them from it.

    Parameters
    ----------
    trees, depth, min_split : how many trees at most, how deep at most, and how many rows a node
        must have to be split.
    learning_rate : shrinks the weight of each tree.

    References
    ----------
    .. [1] Freund, Schapire, *A Decision-Theoretic Generalization of On-Line Learning and an
       Application to Boosting*, Journal of Computer and System Sciences, 1997.
    .. [2] Zhu, Zou, Rosset, Hastie, *Multi-class AdaBoost*, Statistics and Its Interface, 2009
       (SAMME).
    .. [3] Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 5
       (200 trees of depth 20).
    """

    trees: int = 200
    depth: int = 20
    min_split: int = 12
    learning_rate: float = 1.0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_at_least(self, trees=1, depth=1, min_split=2)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: wanted more than 0")

    def grow(self, samples: Samples, seed: int) -> BoostingModel:
        """The trees of a seed, which decides between splits that are equally good.

        Raises
        ------
        ValueError
            for regression, and where the first tree is no better than chance.
        """
        from sklearn.ensemble import AdaBoostClassifier
        from sklearn.tree import DecisionTreeClassifier

        if not samples.n_classes:
            raise ValueError(
                "AdaBoost votes for classes, and this data has none: model=gradient_boosting or "
                "model=random_forest predict numbers"
            )
        tree = DecisionTreeClassifier(max_depth=self.depth, min_samples_split=self.min_split)
        boosted = AdaBoostClassifier(
            tree,
            n_estimators=self.trees,
            learning_rate=self.learning_rate,
            random_state=seed,
        )
        try:
            boosted.fit(samples.inputs.flatten(1).numpy(), samples.targets.numpy())
        except ValueError as error:
            raise ValueError(
                f"{len(samples)} rows, min_split={self.min_split}, depth={self.depth}: {error}"
            ) from error
        return BoostingModel(*_trees(boosted, samples.n_classes), self, samples, seed)


def _trees(boosted: Any, n_classes: int) -> tuple[Trees, Float[np.ndarray, " classes"]]:
    """The votes of all trees, and what they are added to."""
    found, weights = boosted.classes_, boosted.estimator_weights_
    start = np.full(n_classes, np.log(SMALLEST))
    start[found] = 0.0
    shares = weights[: len(boosted.estimators_)] / weights.sum()
    trees = [
        _voting(estimator.tree_, share, found, n_classes)
        for estimator, share in zip(boosted.estimators_, shares, strict=True)
    ]
    return joined(trees), start


def _voting(tree: Any, share: float, found: Int[np.ndarray, " k"], n_classes: int) -> Tree:
    others = max(len(found) - 1, 1)
    votes = np.zeros((tree.node_count, n_classes))
    votes[:, found] = -1 / others
    votes[np.arange(tree.node_count), found[tree.value[:, 0, :].argmax(axis=1)]] = 1.0
    return of_sklearn(tree, share / others * votes)

"""Random forests as black boxes: trained by scikit-learn, kept and walked as plain arrays."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.clock import Calls
from bench.data import Samples
from bench.models.base import Model
from bench.models.trees import (
    SMALLEST,
    TreeRecipe,
    Trees,
    check_at_least,
    joined,
    of_sklearn,
    restored,
)


@dataclass(frozen=True)
class Forest(TreeRecipe):
    """Train a random forest.

    Parameters
    ----------
    trees, depth, min_split : how many trees, how deep at most, and how many rows a node must
        have to be split.

    References
    ----------
    Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 5
    (400 trees of depth 15, 12 rows to split).
    """

    trees: int = 400
    depth: int = 15
    min_split: int = 12

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_at_least(self, trees=1, depth=1, min_split=2)

    def grow(self, samples: Samples, seed: int) -> "ForestModel":
        """The forest of a seed: the same seed draws the same way for other rows."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        cls = RandomForestClassifier if samples.n_classes else RandomForestRegressor
        forest = cls(
            n_estimators=self.trees,
            max_depth=self.depth,
            min_samples_split=self.min_split,
            random_state=seed,
            n_jobs=1,
        )
        forest.fit(samples.inputs.flatten(1).numpy(), samples.targets.numpy())
        return ForestModel(_trees(forest, samples.n_classes), self, samples, seed)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, ForestModel)
        return {**model.trees.arrays(), "seed": np.array(model.seed)}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> "ForestModel":
        return ForestModel(restored(arrays), self, samples, int(arrays["seed"]))


@dataclass(frozen=True)
class ForestModel:
    """A trained forest; see `bench.models.base.Model`. Its margins are logarithms of the mean
    probability over the trees."""

    trees: Trees
    recipe: Forest
    samples: Samples
    seed: int
    calls: Calls = field(default_factory=Calls)
    module: None = None
    trajectory: None = None

    @property
    def n_classes(self) -> int:
        return self.samples.n_classes

    def margins(self, inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
        self.calls.forward += len(inputs)
        means = torch.from_numpy(self.trees.mean(inputs.detach().flatten(1).numpy()))
        return means.clamp(min=SMALLEST).log() if self.n_classes else means

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> "list[ForestModel]":
        return [self.recipe.grow(self.samples.rows(rows), self.seed) for rows in keep]


def _trees(forest: Any, n_classes: int) -> Trees:
    """Class probabilities of each node's training rows, their mean target for regression."""
    grown = [estimator.tree_ for estimator in forest.estimators_]
    if not n_classes:
        return joined([of_sklearn(tree, tree.value[:, 0, :]) for tree in grown])
    found = forest.classes_
    return joined([of_sklearn(tree, _probabilities(tree, found, n_classes)) for tree in grown])


def _probabilities(
    tree: Any, found: Int[np.ndarray, " k"], n_classes: int
) -> Float[np.ndarray, "nodes classes"]:
    """A class without training rows has no column in scikit-learn's values, and 0 here."""
    values, counted = np.zeros((tree.node_count, n_classes)), tree.value[:, 0, :]
    values[:, found] = counted / counted.sum(axis=1, keepdims=True)
    return values

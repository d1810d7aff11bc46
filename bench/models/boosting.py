"""Gradient boosting as a black box: trained by scikit-learn, kept and walked as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    Tree,
    TreeRecipe,
    Trees,
    check_at_least,
    joined,
    restored,
)


class BoostingRecipe(TreeRecipe):
    """What all recipes for trees that add up share."""

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, BoostingModel)
        return {**model.trees.arrays(), "start": model.start, "seed": np.array(model.seed)}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> "BoostingModel":
        seed = int(arrays["seed"])
        return BoostingModel(restored(arrays), arrays["start"], self, samples, seed)


@dataclass(frozen=True)
class BoostingModel:
    """Trained trees that add up; see `bench.models.base.Model`. Margins are `start` plus the sum
    of each row's leaves; a class that had no rows gets the logarithm of nearly nothing."""

    trees: Trees
    start: Float[np.ndarray, " outputs"]
    recipe: BoostingRecipe
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
        means = self.trees.mean(inputs.detach().flatten(1).double().numpy())
        return torch.from_numpy(self.start + len(self.trees.roots) * means)

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> "list[Model]":
        return [self.recipe.grow(self.samples.rows(rows), self.seed) for rows in keep]


@dataclass(frozen=True)
class Boosting(BoostingRecipe):
    """Train gradient-boosted trees on binned inputs.

    Parameters
    ----------
    rounds : how many trees, a class each where there are more than two.
    leaves, min_leaf : how many leaves a tree has at most, and rows a leaf at least.
    learning_rate : of each tree.
    l2 : penalty on the values of the leaves.

    References
    ----------
    Ke, Meng, Finley, Wang, Chen, Ma, Ye, Liu, *LightGBM*, NeurIPS 2017, whose trees these are.
    """

    rounds: int = 100
    leaves: int = 31
    min_leaf: int = 20
    learning_rate: float = 0.1
    l2: float = 0.0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_at_least(self, rounds=1, leaves=2, min_leaf=1, l2=0)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: wanted more than 0")

    def grow(self, samples: Samples, seed: int) -> BoostingModel:
        """The trees of a seed; nothing in them is random but the bins of very many rows."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        cls = HistGradientBoostingClassifier if samples.n_classes else HistGradientBoostingRegressor
        grown = cls(
            max_iter=self.rounds,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.min_leaf,
            learning_rate=self.learning_rate,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=seed,
        )
        with threadpool_limits(1):
            grown.fit(samples.inputs.flatten(1).double().numpy(), samples.targets.numpy())
        found = grown.classes_ if samples.n_classes else np.zeros(1, dtype=np.int64)
        trees = [_tree(tree.nodes) for trees in grown._predictors for tree in trees]
        base = grown._baseline_prediction[0]
        return BoostingModel(*added(trees, base, found, samples.n_classes), self, samples, seed)


def _tree(nodes: Any) -> Tree:
    leaf, sides = nodes["is_leaf"] == 1, (nodes["left"], nodes["right"])
    return Tree(leaf, nodes["feature_idx"], nodes["num_threshold"], *sides, nodes["value"][:, None])


def added(
    grown: Sequence[Tree],
    base: Float[np.ndarray, " told"] | float,
    found: Int[np.ndarray, " k"],
    n_classes: int,
) -> tuple[Trees, Float[np.ndarray, " outputs"]]:
    """Trees of one value, each of which adds to one output, and what all of them are added to.

    Packages grow one tree a round for two classes, whose value is the margin of the second, and
    one a class for more. Of a single class nothing is told apart: its margin is 0.

    Parameters
    ----------
    base : what the trees of each output are added to.
    found : the classes that had training rows; 0 alone for regression.
    """
    outputs = max(n_classes, 1)
    start, column = np.full(outputs, np.log(SMALLEST)), np.eye(outputs)
    start[found] = 0.0
    told = found[-1:] if n_classes and len(found) <= 2 else found
    if n_classes and len(found) == 1:
        column = np.zeros_like(column)
    else:
        start[told] = base
    of_output = np.resize(told, len(grown))
    spread = [
        replace(tree, values=tree.values * column[output])
        for tree, output in zip(grown, of_output, strict=True)
    ]
    return joined(spread), start

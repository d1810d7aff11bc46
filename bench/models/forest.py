"""Random forests as black boxes: trained by scikit-learn, kept and walked as plain arrays."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.clock import Calls
from bench.data import Samples
from bench.models.base import Capability, Model

SMALLEST = 2.0**-53
"""Stands for a mean probability of 0, whose logarithm would be infinite: far below what one
row in one leaf can give, and adding it to 1 changes nothing."""

_ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class Trees:
    """The nodes of all trees, one after the other; a leaf is its own child.

    Attributes
    ----------
    roots : the first node of each tree.
    feature, threshold : a row goes to `left` where `inputs[feature] <= threshold`.
    values : class probabilities of a node's training rows, their mean target for regression.
    depth : of the deepest leaf.
    """

    roots: Int[np.ndarray, " trees"]
    feature: Int[np.ndarray, " nodes"]
    threshold: Float[np.ndarray, " nodes"]
    left: Int[np.ndarray, " nodes"]
    right: Int[np.ndarray, " nodes"]
    values: Float[np.ndarray, "nodes outputs"]
    depth: int

    def mean(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        """The mean over the trees of the values in each row's leaves."""
        starts = range(0, len(inputs), _ROWS_AT_A_TIME)
        blocks = [self._mean(inputs[start : start + _ROWS_AT_A_TIME]) for start in starts]
        return np.concatenate([np.empty((0, self.values.shape[1])), *blocks])

    def _mean(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        rows = np.arange(len(inputs))[:, None]
        nodes = np.broadcast_to(self.roots, (len(inputs), len(self.roots)))
        for _ in range(self.depth):
            below = inputs[rows, self.feature[nodes]] <= self.threshold[nodes]
            nodes = np.where(below, self.left[nodes], self.right[nodes])
        means: np.ndarray = self.values[nodes].mean(axis=1)
        return means


@dataclass(frozen=True)
class Forest:
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
        for name, least in (("trees", 1), ("depth", 1), ("min_split", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "retrain"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> "ForestModel":
        return self.grow(samples, int(rng.integers(2**31)))

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
        kept = {name: np.asarray(value) for name, value in vars(model.trees).items()}
        return {**kept, "seed": np.array(model.seed)}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> "ForestModel":
        kept = {name: value for name, value in arrays.items() if name not in ("seed", "depth")}
        trees = Trees(**kept, depth=int(arrays["depth"]))
        return ForestModel(trees, self, samples, int(arrays["seed"]))


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
    """The arrays of a fitted forest of scikit-learn, all its trees in one."""
    grown = [estimator.tree_ for estimator in forest.estimators_]
    sizes = np.array([tree.node_count for tree in grown])
    roots = np.cumsum(sizes) - sizes
    own = np.arange(sizes.sum())
    leaf = np.concatenate([tree.children_left for tree in grown]) < 0

    def children(side: str) -> Int[np.ndarray, " nodes"]:
        shifted = [getattr(tree, side) + root for tree, root in zip(grown, roots, strict=True)]
        return np.where(leaf, own, np.concatenate(shifted)).astype(np.int32)

    values = np.concatenate([tree.value[:, 0, :] for tree in grown])
    if n_classes:
        # A class without training rows has no column in scikit-learn's values.
        values, found = np.zeros((len(values), n_classes)), values
        values[:, forest.classes_] = found / found.sum(axis=1, keepdims=True)
    return Trees(
        roots=roots.astype(np.int32),
        feature=np.where(leaf, 0, np.concatenate([tree.feature for tree in grown])).astype(
            np.int32
        ),
        threshold=np.concatenate([tree.threshold for tree in grown]),
        left=children("children_left"),
        right=children("children_right"),
        values=values,
        depth=max(int(tree.max_depth) for tree in grown),
    )

"""Gradient boosting as a black box: trained by scikit-learn, kept and walked as plain arrays."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.clock import Calls
from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.forest import SMALLEST, Trees


@dataclass(frozen=True)
class Boosting:
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
        for name, least in (("rounds", 1), ("leaves", 2), ("min_leaf", 1), ("l2", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: wanted more than 0")

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "retrain"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> "BoostingModel":
        """The trees; nothing in them is random but the bins of very many rows."""
        return self.grow(samples, int(rng.integers(2**31)))

    def grow(self, samples: Samples, seed: int) -> "BoostingModel":
        """The trees of a seed."""
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
        return BoostingModel(*_trees(grown, samples.n_classes), self, samples, seed)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, BoostingModel)
        kept = {name: np.asarray(value) for name, value in vars(model.trees).items()}
        return {**kept, "start": model.start, "seed": np.array(model.seed)}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> "BoostingModel":
        apart = ("start", "seed", "depth")
        kept = {name: value for name, value in arrays.items() if name not in apart}
        trees = Trees(**kept, depth=int(arrays["depth"]))
        return BoostingModel(trees, arrays["start"], self, samples, int(arrays["seed"]))


@dataclass(frozen=True)
class BoostingModel:
    """Trained trees; see `bench.models.base.Model`. Margins are `start` plus the sum of each
    row's leaves; a class that had no rows gets the logarithm of nearly nothing."""

    trees: Trees
    start: Float[np.ndarray, " outputs"]
    recipe: Boosting
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

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> "list[BoostingModel]":
        return [self.recipe.grow(self.samples.rows(rows), self.seed) for rows in keep]


def _trees(grown: Any, n_classes: int) -> tuple[Trees, Float[np.ndarray, " outputs"]]:
    """The arrays of fitted trees of scikit-learn, all in one, and what they are added to.

    Each tree adds to one output. Scikit-learn keeps one tree a round for two classes, whose value
    is the margin of the second, and one a class for more.
    """
    outputs = max(n_classes, 1)
    start = np.full(outputs, np.log(SMALLEST))
    found = grown.classes_ if n_classes else np.zeros(1, dtype=np.int64)
    start[found] = 0.0
    single = n_classes > 0 and len(found) == 1  # then there is nothing to tell apart
    told = found[-1:] if n_classes and len(found) <= 2 else found
    if not single:
        start[told] = grown._baseline_prediction[0]
    nodes = [tree.nodes for trees in grown._predictors for tree in trees]
    sizes = np.array([len(tree) for tree in nodes])
    roots = np.cumsum(sizes) - sizes
    shift, output = np.repeat(roots, sizes), np.repeat(np.resize(told, len(nodes)), sizes)
    every, own = np.concatenate(nodes), np.arange(sizes.sum())
    leaf = every["is_leaf"] == 1
    values = np.zeros((len(every), outputs))
    values[own, output] = np.where(leaf & (not single), every["value"], 0.0)
    trees = Trees(
        roots=roots.astype(np.int64),
        feature=np.where(leaf, 0, every["feature_idx"]).astype(np.int64),
        threshold=every["num_threshold"].copy(),
        left=np.where(leaf, own, every["left"] + shift).astype(np.int64),
        right=np.where(leaf, own, every["right"] + shift).astype(np.int64),
        values=values,
        depth=int(every["depth"].max()),
    )
    return trees, start

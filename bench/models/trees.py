"""Trees as plain arrays, walked without the package that grew them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bench.data import Samples
from bench.models.base import Capability, Model

SMALLEST = 2.0**-53
"""Stands for a mean probability of 0, whose logarithm would be infinite: far below what one
row in one leaf can give, and adding it to 1 changes nothing."""

_ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class Tree:
    """One tree as packages keep it.

    Attributes
    ----------
    leaf : whether a node is one; what else stands there is then not read, but for `values`.
    feature, threshold : a row goes to `left` where `inputs[feature] <= threshold`.
    left, right : nodes of this tree, whose first is the root.
    values : of each node.
    """

    leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: Float[np.ndarray, "nodes outputs"]


@dataclass(frozen=True)
class Trees:
    """The nodes of all trees, one after the other; a leaf is its own child.

    Attributes
    ----------
    roots : the first node of each tree.
    feature, threshold : a row goes to `left` where `inputs[feature] <= threshold`.
    values : of a node; only those of leaves are read.
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

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restored` makes them from."""
        return {name: np.asarray(value) for name, value in vars(self).items()}


def restored(arrays: dict[str, np.ndarray]) -> Trees:
    """The trees of which `arrays` holds the arrays, among others."""
    kept = {name: arrays[name] for name in Trees.__dataclass_fields__ if name != "depth"}
    return Trees(**kept, depth=int(arrays["depth"]))


def joined(grown: Sequence[Tree]) -> Trees:
    """All these trees in one."""
    sizes = np.array([len(tree.leaf) for tree in grown])
    roots = (np.cumsum(sizes) - sizes).astype(np.int32)
    own, shift = np.arange(sizes.sum()), np.repeat(roots, sizes)
    leaf = np.concatenate([tree.leaf for tree in grown])

    def nodes(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in grown])

    left, right = (
        np.where(leaf, own, nodes(side) + shift).astype(np.int32) for side in ("left", "right")
    )
    return Trees(
        roots=roots,
        feature=np.where(leaf, 0, nodes("feature")).astype(np.int32),
        threshold=np.where(leaf, 0.0, nodes("threshold")),
        left=left,
        right=right,
        values=nodes("values"),
        depth=_depth(roots, left, right),
    )


def _depth(
    roots: Int[np.ndarray, " trees"],
    left: Int[np.ndarray, " nodes"],
    right: Int[np.ndarray, " nodes"],
) -> int:
    inner, depth = roots[left[roots] != roots], 0
    while len(inner):
        below = np.concatenate([left[inner], right[inner]])
        inner, depth = below[left[below] != below], depth + 1
    return depth


def of_sklearn(tree: Any, values: Float[np.ndarray, "nodes outputs"]) -> Tree:
    """The `tree_` of a decision tree of scikit-learn, with `values` in the place of its own."""
    leaf, sides = tree.children_left < 0, (tree.children_left, tree.children_right)
    return Tree(leaf, tree.feature, tree.threshold, *sides, values)


class TreeRecipe(ABC):
    """What all recipes for trees share: all that is random in them comes from one seed."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "retrain"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Model:
        return self.grow(samples, int(rng.integers(2**31)))

    @abstractmethod
    def grow(self, samples: Samples, seed: int) -> Model:
        """The trees of a seed: the same seed draws the same way for other rows."""


def check_at_least(recipe: TreeRecipe, **least: float) -> None:
    """Raise `ValueError` where a parameter lies below its least value."""
    for name, wanted in least.items():
        if getattr(recipe, name) < wanted:
            raise ValueError(f"{name}={getattr(recipe, name)}: wanted at least {wanted}")

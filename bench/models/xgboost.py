"""XGBoost as a black box: trained by its package, kept and walked as plain arrays."""

import importlib
import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np

from bench.data import Samples
from bench.isolation import Unsupported
from bench.models.boosting import BoostingModel, BoostingRecipe, added
from bench.models.trees import Tree, check_at_least


@dataclass(frozen=True)
class XGBoost(BoostingRecipe):
    """Train gradient-boosted trees by the package xgboost.

    Margins are the package's own up to its rounding to single precision: of two classes the
    first has 0 and the second the log-odds.

    Parameters
    ----------
    rounds : how many trees, a class each where there are more than two.
    depth : how deep a tree is at most.
    learning_rate : of each tree.
    min_child_weight : how much curvature of the loss a leaf holds at least; a row adds p (1 - p)
        to it where it is predicted with probability p.
    l2 : penalty on the values of the leaves.
    split : `exact` tries all splits, `hist` those between 256 bins.

    The trees are added to a margin of 0, even odds, as the package did in the paper's time: by
    default it now starts from the training rows' odds.

    References
    ----------
    .. [1] Chen, Guestrin, *XGBoost: A Scalable Tree Boosting System*, KDD 2016.
    .. [2] Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 5
       (20 trees, rate .08, depth 3, weight of a child 2).
    """

    rounds: int = 20
    depth: int = 3
    learning_rate: float = 0.08
    min_child_weight: float = 2.0
    l2: float = 1.0
    split: Literal["exact", "hist"] = "exact"

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_at_least(self, rounds=1, depth=1, min_child_weight=0, l2=0)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: wanted more than 0")

    def grow(self, samples: Samples, seed: int) -> BoostingModel:
        """The trees of a seed; nothing in them is random.

        Raises
        ------
        Unsupported
            where the package isn't installed.
        ValueError
            without rows.
        """
        xgboost = _package()
        if not len(samples):
            raise ValueError("XGBoost was given no rows: wanted at least 1")
        found, labels = np.unique(samples.targets.numpy(), return_inverse=True)
        objective, targets = _objective(samples.n_classes, len(found)), labels
        if not samples.n_classes:
            found, targets = np.zeros(1, dtype=np.int64), samples.targets.numpy()
        rows = xgboost.DMatrix(samples.inputs.flatten(1).numpy(), targets, nthread=1)
        booster = xgboost.train({**objective, **self._parameters(seed)}, rows, self.rounds)
        kept = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
        trees = [_tree(tree) for tree in kept["trees"]]
        return BoostingModel(*added(trees, 0.0, found, samples.n_classes), self, samples, seed)

    def _parameters(self, seed: int) -> dict[str, Any]:
        return {
            "max_depth": self.depth,
            "eta": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "lambda": self.l2,
            "tree_method": self.split,
            "seed": seed,
            "nthread": 1,
            "verbosity": 0,
        }


def _package() -> ModuleType:
    try:
        return importlib.import_module("xgboost")
    except ImportError as error:
        raise Unsupported("needs xgboost: pip install 'earnest[xgboost]'") from error


def _objective(n_classes: int, found: int) -> dict[str, Any]:
    """The loss, and the start that makes a margin of 0, in the unit that the package wants."""
    if not n_classes:
        return {"objective": "reg:squarederror", "base_score": 0.0}
    if found <= 2:
        return {"objective": "binary:logistic", "base_score": 0.5}
    return {"objective": "multi:softprob", "num_class": found, "base_score": 0.0}


def _tree(kept: dict[str, Any]) -> Tree:
    """A tree of the package's own json; of a leaf the condition is its value.

    The package sends a row to the left below the threshold, in single precision: that is at or
    below the number before it.
    """
    left, right, feature = (
        np.array(kept[name], dtype=np.int64)
        for name in ("left_children", "right_children", "split_indices")
    )
    condition = np.array(kept["split_conditions"], dtype=np.float32)
    before = np.nextafter(condition, np.float32(-np.inf)).astype(np.float64)
    return Tree(left < 0, feature, before, left, right, condition.astype(np.float64)[:, None])

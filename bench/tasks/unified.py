"""Unified: one explanation read twice, as features and as training data.

The programme's third result: a rule is its conditions (features) and the instances that satisfy
it (data). The types that companions, attribution and data-attribution methods share when they
are compared on the same query points.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bench.data import Samples
from bench.tasks.attribution import AttributionProblem


@dataclass(frozen=True)
class UnifiedProblem:
    """One trained model, the query points, and the data that it was trained on.

    Attributes
    ----------
    features : the query points, with the set function of their features.
    train : the training rows.
    transparency : how much of the model the user wants to read, in [0, 1].
    """

    features: AttributionProblem
    train: Samples
    transparency: float

    def __post_init__(self) -> None:
        if not 0 <= self.transparency <= 1:
            raise ValueError(f"transparency={self.transparency} is not in [0, 1]")


@dataclass(frozen=True)
class FeatureRanking:
    """The feature side: larger = more influential; equal values are ties.

    Attributes
    ----------
    values : one a feature of the partition, for each query.
    """

    values: Float[np.ndarray, "n p"]


@dataclass(frozen=True)
class DataRanking:
    """The data side: training rows, the strongest supporters of each query's class first.

    Attributes
    ----------
    order : a permutation of the training rows for each query.
    """

    order: Int[np.ndarray, "n n_train"]

"""What is asked of a unified explanation, and its answer: features, training rows, or both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from bench.data import Samples
from bench.models.base import Model
from bench.rules import Literals, Rule
from bench.tasks.attribution import AttributionProblem
from bench.tasks.cleansing import CleansingProblem
from bench.tasks.companion import CompanionProblem
from bench.tasks.unified_columns import Columns


@dataclass(frozen=True)
class UnifiedProblem:
    """Why does the model say what it says at the query points: by which features, which rows?

    Attributes
    ----------
    features : the query points, their predicted classes, and the set function of their features.
    train : the training rows.
    companion : what a rule list is made from; its training rows are those of `train` and its
        labels are the classes.
    queries : the literals of the query points, those of the companion's rows.
    columns : where literals, inputs and features come from.
    transparency : share of the training rows that the user wants decided by rules, in [0, 1].
    removed : K, the rows at the head of an order that count.
    """

    features: AttributionProblem
    train: Samples
    companion: CompanionProblem
    queries: Literals
    columns: Columns
    transparency: float
    removed: int

    def __post_init__(self) -> None:
        check_transparency(self.transparency)
        if not 0 < self.removed < len(self.train):
            raise ValueError(
                f"removed={self.removed} of {len(self.train)} training rows: wanted at least 1, "
                "and fewer than there are"
            )
        if not np.array_equal(self.companion.train.labels, self.train.targets.numpy()):
            raise ValueError("the companion's training rows are others, or of other classes")

    @property
    def model(self) -> Model:
        """The trained model."""
        return self.features.model

    @property
    def n(self) -> int:
        """How many query points there are."""
        return self.features.n

    def cleansing(self, query: int) -> CleansingProblem:
        """Which training rows made or harmed the prediction at one query point?

        The loss there is -log f_c(x), c the predicted class, whose gradient is that of f_c(x)
        times -1 / f_c(x): an influence linear in the gradient has its order by f_c(x), the
        largest changes of the loss being those of the strongest supporters.
        """
        at = torch.tensor([query])
        asked = Samples(self.features.inputs[at], self.features.targets[at], self.train.n_classes)
        return CleansingProblem(self.model, self.train, asked)

    def features_of(self, rule: Rule, query: int) -> Int[np.ndarray, " k"]:
        """The features that the rule's conditions look at."""
        columns = self.columns.of_literal[list(rule.conditions)]
        return np.unique(self.columns.features(self.features.partition, query)[columns])


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


@dataclass(frozen=True)
class Unified:
    """One explanation with both its sides, either of which may be absent.

    Attributes
    ----------
    features, data : the sides.
    says : the class that the explanation itself predicts at each query point, -1 where it says
        nothing of that point; None where it predicts nothing at all.
    reasons : the explanation of each query point in words; none where there are no words.
    notes : what else the method has to say, numbers by their names.
    """

    features: FeatureRanking | None = None
    data: DataRanking | None = None
    says: Int[np.ndarray, " n"] | None = None
    reasons: tuple[str, ...] = ()
    notes: Mapping[str, float] = field(default_factory=dict)


Explanation = FeatureRanking | DataRanking | Unified
"""What a method may answer: one side, or both."""


def check_transparency(value: float) -> None:
    """Raise `ValueError` where this is no share."""
    if not 0 <= value <= 1:
        raise ValueError(f"transparency={value}: wanted a share of the training rows, 0 to 1")


def read(explanation: Any, problem: UnifiedProblem) -> Unified:
    """Both sides of an `Explanation`; raises `ValueError` where it doesn't fit the problem."""
    if isinstance(explanation, FeatureRanking):
        return read(Unified(features=explanation), problem)
    if isinstance(explanation, DataRanking):
        return read(Unified(data=explanation), problem)
    if not isinstance(explanation, Unified):
        raise ValueError(
            f"the method answered with {type(explanation).__name__}: wanted FeatureRanking(values),"
            " DataRanking(order) or Unified(features, data), of bench.tasks.unified"
        )
    wrong = _wrong(explanation, problem)
    if wrong:
        raise ValueError(wrong)
    return explanation


def _wrong(explanation: Unified, problem: UnifiedProblem) -> str | None:
    n, classes = problem.n, max(1, problem.model.n_classes)
    if explanation.features is None and explanation.data is None:
        return "an explanation with neither side: wanted features, data, or both"
    if explanation.features is not None:
        values, wanted = explanation.features.values, (n, problem.features.p)
        if values.shape != wanted or not np.isfinite(values).all():
            return f"feature values of shape {values.shape}: wanted {wanted}, all finite"
    if explanation.data is not None:
        order, every = explanation.data.order, np.arange(len(problem.train))
        fits = order.shape == (n, len(every)) and (np.sort(order, axis=1) == every).all()
        if not fits:
            return (
                f"an order of shape {order.shape}: wanted ({n}, {len(every)}), in each row each "
                "training row once"
            )
    if explanation.says is not None:
        says = explanation.says
        if says.shape != (n,) or not np.isin(says, np.arange(-1, classes)).all():
            return f"says={says}: wanted {n} classes of 0 to {classes - 1}, -1 for none"
    if explanation.reasons and len(explanation.reasons) != n:
        return f"{len(explanation.reasons)} reasons for {n} query points"
    return None

"""Unified: one explanation read twice, as features and as training rows, by one criterion."""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from bench.data import Data, Samples, encode, split
from bench.models.base import Recipe
from bench.setfunction.partition import partition
from bench.setfunction.reference import reference
from bench.tasks.attribution import (
    AttributionProblem,
    AttributionSetting,
    AttributionTask,
    predicted,
)
from bench.tasks.attribution_truth import hold
from bench.tasks.base import Case, Method, Metric, Scores, Unsupported
from bench.tasks.companion import Companion, CompanionSetting
from bench.tasks.unified_columns import Columns
from bench.tasks.unified_problem import (
    DataRanking,
    Explanation,
    FeatureRanking,
    Unified,
    UnifiedProblem,
    check_transparency,
    read,
)
from bench.tasks.unified_retraining import Retraining, grid
from bench.tasks.unified_scores import METRICS, Held, scored
from bench.tasks.unified_toy import toy_problem
from bench.tasks.unified_truth import Truth
from bench.tasks.unified_view import show


@dataclass(frozen=True)
class UnifiedSetting:
    """What changes the problem.

    Parameters
    ----------
    split : a scheme of `bench.data.split`; validation rows are not used.
    instances : how many test rows are explained (all where there are fewer).
    transparency : share of the training rows that the user wants decided by rules; a method may
        have its own.
    partition, reference, draws, g, exact_up_to, shuffles : of the feature side, see
        `bench.tasks.attribution.AttributionSetting`.
    removed : K in percent of the training rows: so many at the head of an order count.
    steps : the model is trained again at about so many counts of removed rows up to K.
    random_orders : of training rows, whose mean is chance.
    search : models that may be trained in looking for the best order of training rows, beside
        one without each training row.
    bins, min_support, max_conditions, per_label, alpha : of the literals, the pool of rules and
        the companion's objective, see `bench.tasks.companion.CompanionSetting`.
    """

    shown: ClassVar[tuple[str, ...]] = ("transparency",)

    split: str = "percent 60/0/40"
    instances: int = 20
    transparency: float = 0.6
    partition: str = "natural"
    reference: str = "mean"
    draws: int = 32
    g: Literal["probability", "logit", "margin", "label"] = "probability"
    exact_up_to: int = 20
    shuffles: int = 16
    removed: float = 5.0
    steps: int = 8
    random_orders: int = 20
    search: int = 8000
    bins: int = 7
    min_support: float = 0.05
    max_conditions: int = 2
    per_label: int = 200
    alpha: float = 0.001

    def __post_init__(self) -> None:
        check_transparency(self.transparency)
        _ = self.attribution, self.companion  # which check the fields that they share
        if not 0 < self.removed < 100:
            raise ValueError(f"removed={self.removed}: wanted a percentage above 0 and below 100")
        for name, least in (("steps", 1), ("random_orders", 1), ("search", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")

    @property
    def attribution(self) -> AttributionSetting:
        """The feature side's part."""
        names = ("split", "instances", "partition", "reference", "draws", "g", "exact_up_to")
        shared = {name: getattr(self, name) for name in (*names, "shuffles")}
        return AttributionSetting(**shared, certify=0)

    @property
    def companion(self) -> CompanionSetting:
        """The companion's part: no default rule, as what no rule covers has nothing to read."""
        names = ("split", "bins", "min_support", "max_conditions", "per_label", "alpha")
        shared = {name: getattr(self, name) for name in names}
        return CompanionSetting(**shared, objective="autac", certificate_seconds=0)


UnifiedCase = Case[UnifiedProblem, Held]


@dataclass(frozen=True)
class UnifiedTask:
    """Delete features, remove training rows: does the model's answer change as explained?"""

    name: ClassVar[str] = "unified"
    version: ClassVar[int] = 1
    accepts: ClassVar[frozenset[str]] = frozenset({"classes"})
    Setting: ClassVar[type] = UnifiedSetting
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    def refuses(self, data: Data | None, setting: UnifiedSetting) -> str | None:
        features = AttributionTask().refuses(data, setting.attribution)
        return features or Companion().refuses(data, setting.companion)

    def case(
        self, data: Data, recipe: Recipe, setting: UnifiedSetting, *, rng: np.random.Generator
    ) -> UnifiedCase:
        if "retrain" not in recipe.capabilities:
            raise Unsupported("the data side trains again without rows: the model can't be")
        same = copy.deepcopy(rng)
        split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
        rows_rng, reference_rng, held_rng, truth_rng = case_rng.spawn(4)
        parts = split(data, setting.split, rng=split_rng)
        if not len(parts.test):
            raise ValueError(f"split={setting.split!r} leaves no test rows to explain")
        counts = grid(setting.removed, setting.steps, len(parts.train))
        encoding = encode(data, parts.train)
        train = encoding.samples.rows(parts.train)
        model = recipe.fit(train, rng=model_rng)
        if model.trajectory is not None:
            model.trajectory.verify()  # influence walks through it, what is trained again doesn't
        places = rows_rng.permutation(len(parts.test))[: setting.instances]
        chosen = parts.test[places]
        queries = encoding.samples.rows(chosen)
        features = AttributionProblem(
            model,
            queries.inputs,
            predicted(model, queries.inputs),
            partition(setting.partition, data, encoding, chosen),
            reference(
                setting.reference, queries.inputs, train.inputs, setting.draws, rng=reference_rng
            ),
            setting.g,
        )
        # The same generator gives the same split, and the same model from a cached recipe.
        companion = Companion().case(data, recipe, setting.companion, rng=same)
        problem = UnifiedProblem(
            features,
            train,
            companion.problem,
            companion.held.test.literals.rows(places),
            Columns.of(data, encoding, parts.train, chosen, setting.bins),
            setting.transparency,
            counts[-1],
        )
        ideal = hold(features, setting.exact_up_to, setting.shuffles, held_rng)
        again = Retraining(model, features.inputs, features.targets, train, counts)
        truth = Truth.of(again, setting.random_orders, setting.search, rng=truth_rng)
        return Case(problem, Held(ideal, truth, queries.targets.numpy()))

    def adapts(self, setting: UnifiedSetting) -> bool:
        return False

    def adapt(
        self,
        case: UnifiedCase,
        setting: UnifiedSetting,
        method: Method[UnifiedProblem, Explanation],
        *,
        rng: np.random.Generator,
    ) -> tuple[UnifiedCase, ...]:
        return (case,)

    def scores(
        self, cases: tuple[UnifiedCase, ...], explanations: tuple[Explanation, ...]
    ) -> Scores:
        (case,), (explanation,) = cases, explanations
        return scored(case.problem, case.held, read(explanation, case.problem))

    def tiny(self) -> UnifiedProblem:
        """Four of forty-four points of two classes that overlap, of five features."""
        rng = np.random.default_rng(0)
        labels = np.arange(44) % 2
        inputs = rng.normal(size=(44, 5)) + 0.8 * (2 * labels[:, None] - 1)
        samples = Samples(torch.tensor(inputs).float(), torch.tensor(labels), 2)
        return toy_problem(samples, 4, rng=rng)


__all__ = [
    "Columns",
    "DataRanking",
    "Explanation",
    "FeatureRanking",
    "Held",
    "Unified",
    "UnifiedCase",
    "UnifiedProblem",
    "UnifiedSetting",
    "UnifiedTask",
    "read",
    "show",
    "toy_problem",
]

"""Attribution: which features made the model predict what it predicts?"""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.data import Data, Images, Samples, encode, read_scheme, split
from bench.models.base import Model, Recipe
from bench.models.network import MLP, Network
from bench.models.sgd import SGD
from bench.setfunction.partition import Partition, check_kind, partition, unfit
from bench.setfunction.reference import Reference, reference
from bench.setfunction.reference import check_kind as check_reference
from bench.setfunction.reference import unfit as unfit_reference
from bench.tasks.attribution_problem import Attribution, AttributionProblem, predicted
from bench.tasks.attribution_scores import METRICS, scores_of
from bench.tasks.attribution_truth import Held, hold
from bench.tasks.base import Case, Method, Metric, Scores

MOST_FEATURES = 24
"""A table of 2^24 values takes 128 MiB an instance."""


@dataclass(frozen=True)
class AttributionSetting:
    """What changes the problem.

    Parameters
    ----------
    split : a scheme of `bench.data.split`.
    instances : how many test rows are explained (all where there are fewer).
    partition : which features there are, see `bench.setfunction.partition.partition`.
    reference : what a deleted feature is replaced by, see
        `bench.setfunction.reference.reference`. It is part of the criterion.
    draws : how many draws where the reference is random.
    g : the number looked at, see `bench.setfunction.outcome`; a regression's output itself.
    exact_up_to : the ideal is exact up to this number of features, the best known beyond.
    certify : multiplications an instance that may be spent, beyond `exact_up_to`, on bounds of
        what any order reaches, see `bench.setfunction.certificate.Effort`; 0 for none.
    shuffles : random orders of tied features over which scores are averaged.
    perturbed : how many noisy copies of the inputs the method explains as well, by which
        max_sensitivity is measured; its costs are then those of all it explained.
    radius : the noise is uniform in [-radius, radius] at each input position.
    randomised : whether the method also explains the model with random weights.
    """

    shown: ClassVar[tuple[str, ...]] = ("reference",)

    split: str = "percent 60/20/20"
    instances: int = 20
    partition: str = "natural"
    reference: str = "mean"
    draws: int = 32
    g: Literal["probability", "logit", "margin", "label"] = "probability"
    exact_up_to: int = 20
    certify: float = 4e9
    shuffles: int = 16
    perturbed: int = 0
    radius: float = 0.02
    randomised: bool = False

    def __post_init__(self) -> None:
        read_scheme(self.split)
        check_kind(self.partition)
        check_reference(self.reference)
        for name in ("instances", "draws", "shuffles"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least 1")
        if self.perturbed < 0 or not self.radius > 0:
            raise ValueError(
                f"perturbed={self.perturbed}, radius={self.radius}: wanted 0 or more copies, and "
                "a radius above 0"
            )
        if not self.certify >= 0:
            raise ValueError(f"certify={self.certify}: wanted 0 or more multiplications")
        if not 0 <= self.exact_up_to <= MOST_FEATURES:
            raise ValueError(f"exact_up_to={self.exact_up_to}: wanted 0 to {MOST_FEATURES}")


Variant = Literal["perturbed", "randomised"]
"""A problem that is only there to see how the answer changes."""

AttributionCase = Case[AttributionProblem, Held | Variant]


@dataclass(frozen=True)
class AttributionTask:
    """Delete features in the order of an explanation, and compare with the best of all orders."""

    name: ClassVar[str] = "attribution"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = frozenset({"classes", "number"})
    Setting: ClassVar[type] = AttributionSetting
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    def refuses(self, data: Data | None, setting: AttributionSetting) -> str | None:
        if data is None:
            return None
        return unfit(setting.partition, data) or unfit_reference(
            setting.reference, isinstance(data, Images)
        )

    def adapts(self, setting: AttributionSetting) -> bool:
        return setting.perturbed > 0 or setting.randomised

    def case(
        self, data: Data, recipe: Recipe, setting: AttributionSetting, *, rng: np.random.Generator
    ) -> AttributionCase:
        split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
        rows_rng, reference_rng, held_rng = case_rng.spawn(3)
        parts = split(data, setting.split, rng=split_rng)
        if not len(parts.test):
            raise ValueError(f"split={setting.split!r} leaves no test rows to explain")
        encoding = encode(data, parts.train)
        train = encoding.samples.rows(parts.train)
        model = recipe.fit(train, rng=model_rng)
        chosen = rows_rng.permutation(parts.test)[: setting.instances]
        inputs = encoding.samples.inputs[torch.from_numpy(chosen)]
        problem = AttributionProblem(
            model,
            inputs,
            predicted(model, inputs),
            partition(setting.partition, data, encoding, chosen),
            reference(setting.reference, inputs, train.inputs, setting.draws, rng=reference_rng),
            setting.g if model.n_classes else "output",
        )
        held = hold(
            problem, setting.exact_up_to, setting.shuffles, held_rng, certify=setting.certify
        )
        return Case(problem, held)

    def adapt(
        self,
        case: AttributionCase,
        setting: AttributionSetting,
        method: Method[AttributionProblem, Attribution],
        *,
        rng: np.random.Generator,
    ) -> tuple[AttributionCase, ...]:
        """The case, then noisy copies of its inputs and a model of random weights.

        They are the same for all methods.
        """
        problem, shared = case.problem, np.random.default_rng(_held(case).seed)
        noise_rng, weights_rng = shared.spawn(2)
        noise = noise_rng.uniform(
            -setting.radius, setting.radius, (setting.perturbed, *problem.inputs.shape)
        )
        copies = [
            replace(problem, inputs=problem.inputs + torch.from_numpy(each).to(problem.inputs))
            for each in noise
        ]
        variants = [AttributionCase(copy, "perturbed") for copy in copies]
        if setting.randomised and isinstance(problem.model, Network):
            random = replace(problem, model=_randomised(problem.model, weights_rng))
            variants.append(AttributionCase(random, "randomised"))
        return (case, *variants)

    def scores(
        self, cases: tuple[AttributionCase, ...], explanations: tuple[Attribution, ...]
    ) -> Scores:
        answers: dict[Variant, list[Attribution]] = {"perturbed": [], "randomised": []}
        for case, explanation in zip(cases[1:], explanations[1:], strict=True):
            if not isinstance(case.held, Held):
                answers[case.held].append(explanation)
        return scores_of(
            cases[0].problem,
            _held(cases[0]),
            explanations[0],
            perturbed=answers["perturbed"],
            randomised=next(iter(answers["randomised"]), None),
        )

    def tiny(self) -> AttributionProblem:
        """Three of twenty-four points of two classes, five features, and a small network."""
        rng = np.random.default_rng(0)
        labels = torch.from_numpy(np.arange(24) % 2)
        inputs = torch.from_numpy(rng.normal(size=(24, 5))).float() + labels[:, None]
        model = _tiny_model(inputs, labels, rng)
        columns = Partition(torch.arange(5), tuple("abcde"))
        zero = Reference(torch.zeros(1, 1, 5))
        return AttributionProblem(model, inputs[:3], predicted(model, inputs[:3]), columns, zero)


def _tiny_model(
    inputs: Float[Tensor, "n *features"], labels: Int[Tensor, " n"], rng: np.random.Generator
) -> Model:
    recipe = SGD(MLP((8,), "softplus"), epochs=2, batch_size=8, record=False)
    return recipe.fit(Samples(inputs, labels, 2), rng=rng)


def _held(case: AttributionCase) -> Held:
    assert isinstance(case.held, Held), "the first case is the problem itself"
    return case.held


def _randomised(model: Network, rng: np.random.Generator) -> Network:
    """The same network, every layer as before training, its weights drawn anew."""
    module = copy.deepcopy(model.module)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(int(rng.integers(2**63)))
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return Network(module.eval(), model.n_classes)


__all__ = [
    "Attribution",
    "AttributionCase",
    "AttributionProblem",
    "AttributionSetting",
    "AttributionTask",
    "Held",
    "predicted",
]

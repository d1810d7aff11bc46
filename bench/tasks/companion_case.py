"""The case of a companion: rows, a black box that hasn't seen them, a pool of rules, a proof."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from bench.data import Data, Images, Samples, encode, read_scheme, split
from bench.models.base import Model, Recipe
from bench.rules import Literals, RulePool, Selection, binarize, mine
from bench.rules.exact import Certificate, Limits, certify
from bench.rules.local_search import locally_best
from bench.tasks.base import Case, Unsupported
from bench.tasks.companion_problem import CompanionProblem, Rows

ALPHAS = (0.01, 0.005, 0.001, 0.0008, 0.0005, 0.0002, 0.0001)
"""AISTATS 2020, Sec. 5."""
SAMPLE = 1000
LONGEST = 20
"""AISTATS 2020, Sec. 5: lists shorter than 20."""


@dataclass(frozen=True)
class CompanionSetting:
    """What changes the problem.

    Parameters
    ----------
    split : a scheme of `bench.data.split`; validation rows are not used.
    positive : name or index of the class that is told from all others; none: every class is a
        label of its own.
    bins : numbers are cut at their quantiles into so many bins.
    min_support, max_conditions : share of the training rows that a rule of the pool covers at
        least, literals in it at most.
    per_label, selection : rules of the pool for each label, and which; see
        `bench.rules.mine`. `precision` is the paper's, by which lists can't cover all rows of
        data with many literals.
    objective : which area a method is asked to make large on the training rows.
    alpha : what a rule costs there; none: of those in the paper's grid the one whose lists, found
        on two thirds of the training rows by local search, have the largest area on the others.
    negations : whether a rule may say that a category is not one of its levels.
    certificate_seconds : CPU seconds for the proof how good a list of the pool can be; 0: none.
    """

    shown: ClassVar[tuple[str, ...]] = ("objective",)

    split: str = "percent 80/0/20"
    positive: str | int | None = None
    bins: int = 7
    min_support: float = 0.05
    max_conditions: int = 2
    per_label: int = 200
    selection: Selection = "bands"
    objective: Literal["autac", "autac_completed"] = "autac_completed"
    alpha: float | None = 0.001
    negations: bool = True
    certificate_seconds: float = 1.0

    def __post_init__(self) -> None:
        read_scheme(self.split)
        for name, least in (("bins", 2), ("max_conditions", 1), ("per_label", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")
        if not 0 < self.min_support <= 1:
            raise ValueError(f"min_support={self.min_support}: wanted a share above 0")
        for name in ("alpha", "certificate_seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}={value}: wanted at least 0")


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    test : the test rows, predicted by the black box trained on all training rows.
    groups : the sensitive level of each of them, where the data names such a category.
    group_names : of these levels.
    certificate : how good a list of the pool can be on the training rows.
    sample : rows of the whole data, the same for every seed, by which lists of several seeds are
        compared.
    """

    test: Rows
    groups: Int[np.ndarray, " n"] | None = None
    group_names: tuple[str, ...] = ()
    certificate: Certificate | None = None
    sample: Literals | None = None


CompanionCase = Case[CompanionProblem, Held]


def companion_case(
    data: Data, recipe: Recipe, setting: CompanionSetting, rng: np.random.Generator
) -> CompanionCase:
    """Split, train the black box and its two halves, mine the pool, prove what can be proved."""
    split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
    parts = split(data, setting.split, rng=split_rng)
    samples = encode(data, parts.train).samples
    train, test = samples.rows(parts.train), samples.rows(parts.test)
    literals = binarize(data, parts.train, setting.bins)
    labels, names = labels_of(data, setting)
    box, _ = _predicted(recipe.fit(train, rng=model_rng), test, data, setting)
    crossed, confidence = _cross_fitted(recipe, train, data, setting, case_rng)
    rows = Rows(literals.rows(parts.train), labels[parts.train], crossed)
    alpha = setting.alpha
    if alpha is None:
        alpha = validated_alpha(rows, names, setting, case_rng.spawn(1)[0])
    pool = _pool(rows, setting)
    problem = CompanionProblem(rows, confidence, pool, names, setting.objective, alpha)
    groups, group_names = _groups(data)
    held = Held(
        Rows(literals.rows(parts.test), labels[parts.test], box),
        None if groups is None else groups[parts.test],
        group_names,
        _certificate(problem, setting.certificate_seconds),
        literals.rows(_sample(len(labels))),
    )
    return Case(problem, held)


def labels_of(
    data: Data, setting: CompanionSetting
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Each row's label, and the labels' names."""
    positive, names = _positive(data, setting), data.class_names
    if positive is None:
        return data.targets.astype(np.int64), names
    rest = [other for place, other in enumerate(names) if place != positive]
    first = rest[0] if len(rest) == 1 else f"not {names[positive]}"
    return (data.targets == positive).astype(np.int64), (first, names[positive])


def _positive(data: Data, setting: CompanionSetting) -> int | None:
    """The index of the class that has label 1; none: each class has a label of its own."""
    wanted, names = setting.positive, data.class_names
    if wanted is None:
        return None
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    raise ValueError(f"positive={wanted!r} is no class of {data.name}: {', '.join(names)}")


def _predicted(
    model: Model, samples: Samples, data: Data, setting: CompanionSetting
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The predicted label of each row, and its probability."""
    positive = _positive(data, setting)
    with torch.no_grad():
        margins = model.margins(samples.inputs)
    predicted, chances = margins.argmax(dim=1).numpy(), margins.softmax(dim=1).numpy()
    if positive is None:
        return predicted.astype(np.int64), chances.max(axis=1)
    label, probability = predicted == positive, chances[:, positive]
    return label.astype(np.int64), np.where(label, probability, 1 - probability)


def _cross_fitted(
    recipe: Recipe,
    train: Samples,
    data: Data,
    setting: CompanionSetting,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Each half predicted by the other half's model, else the black box looks too good."""
    half_rng, *model_rngs = rng.spawn(3)
    in_first = _stratified_half(train, half_rng)
    label, confidence = np.zeros(len(train), dtype=np.int64), np.zeros(len(train))
    for half, model_rng in zip((in_first, ~in_first), model_rngs, strict=True):
        model = recipe.fit(train.rows(~half), rng=model_rng)
        label[half], confidence[half] = _predicted(model, train.rows(half), data, setting)
    return label, confidence


def _stratified_half(train: Samples, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Every second row of each class, in a random order."""
    order = rng.permutation(len(train))
    order = order[np.argsort(train.targets.numpy()[order], kind="stable")]
    chosen = np.zeros(len(train), dtype=bool)
    chosen[order[::2]] = True
    return chosen


def validated_alpha(
    rows: Rows, names: tuple[str, ...], setting: CompanionSetting, rng: np.random.Generator
) -> float:
    """The alpha of the grid whose lists are best on rows that they weren't found on.

    In turn each third of the rows is held back. The same alpha then serves all methods.
    """
    third = rng.permutation(np.arange(len(rows)) % 3)
    areas = np.zeros(len(ALPHAS))
    for held_back in range(3):
        kept, rest = rows.at(third != held_back), rows.at(third == held_back)
        pool = _pool(kept, setting)
        for place, alpha in enumerate(ALPHAS):
            problem = CompanionProblem(
                kept, np.ones(len(kept)), pool, names, setting.objective, alpha
            )
            _, found = locally_best(problem.ground, (), longest=LONGEST)
            areas[place] += problem.area(problem.listed(found), rest)
    return ALPHAS[int(areas.argmax())]


def _pool(rows: Rows, setting: CompanionSetting) -> RulePool:
    if len(np.unique(rows.labels)) < 2:
        raise Unsupported("all training rows have one label")
    pool = mine(
        rows.literals,
        rows.labels,
        min_support=setting.min_support,
        max_conditions=setting.max_conditions,
        per_label=setting.per_label,
        selection=setting.selection,
        negations=setting.negations,
    )
    if not pool.rules:
        raise Unsupported(f"no rule covers {setting.min_support:.0%} of the training rows")
    return pool


def _certificate(problem: CompanionProblem, seconds: float) -> Certificate | None:
    """What can be proved in that time, begun from a list that no single change betters."""
    if seconds == 0:
        return None
    _, start = locally_best(problem.ground, (), longest=LONGEST)
    return certify(problem.ground, start, longest=LONGEST, limits=Limits(seconds))


def _sample(n: int) -> Int[np.ndarray, " m"]:
    """At most `SAMPLE` rows, whatever the seed."""
    return np.sort(np.random.default_rng(0).permutation(n)[:SAMPLE])


def _groups(data: Data) -> tuple[Int[np.ndarray, " n"] | None, tuple[str, ...]]:
    """The sensitive level of each row, and the levels' names; none where it is no category."""
    if isinstance(data, Images) or data.sensitive is None:
        return None, ()
    levels = next(column.levels for column in data.columns if column.name == data.sensitive)
    return (data.column(data.sensitive).astype(np.int64), levels) if levels else (None, ())

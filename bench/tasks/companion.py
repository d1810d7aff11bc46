"""Companion: rules that take over from a black box as far as the user wants to see through it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from bench.data import Data, Images, Samples, encode, read_scheme, split
from bench.models.base import Model, Recipe
from bench.rules import Literals, Rule, RuleList, RulePool, Selection, binarize, mine, unpack
from bench.rules.exact import Certificate, Limits, certify
from bench.rules.ground import Ground, ground
from bench.rules.local_search import locally_best
from bench.scores.autac import (
    TransparencyCurve,
    accuracy_at,
    autac,
    autac_normalised,
    completed,
    transparency_curve,
)
from bench.tasks.base import Case, Method, Metric, Score, Scores, Unsupported

_PAPER = "Pan, Wang, Hara, Interpretable Companions for Black-Box Models, AISTATS 2020"
_TRANSPARENCIES = (25, 50, 75, 90)
_FEWEST = 30
"""Test rows of a group at least: the share of fewer is noise."""
_LONGEST = 20
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
    alpha : what a rule costs there.
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
    alpha: float = 0.001
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
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least 0")


@dataclass(frozen=True)
class Rows:
    """What a rule list is judged on.

    Attributes
    ----------
    literals : of each row. labels : 0, 1, ..., as `CompanionProblem.class_names` has them.
    black_box : the label that the black box predicts.
    """

    literals: Literals
    labels: Int[np.ndarray, " n"]
    black_box: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def curve(self, rules: RuleList) -> TransparencyCurve:
        """Without a default rule: it ends where the rules' coverage ends."""
        decided_by = rules.decided_by(self.literals.values)
        predicted = rules.predict(self.literals.values)
        return transparency_curve(decided_by, predicted, self.labels, self.black_box, len(rules))

    def completed(self, rules: RuleList, default: int) -> TransparencyCurve:
        """With a default rule of that label for the rows that are left."""
        left = rules.decided_by(self.literals.values) < 0
        labels, black_box = self.labels[left], self.black_box[left]
        by_default, by_box = (labels == default).sum(), (labels == black_box).sum()
        return completed(self.curve(rules), int(by_default), int(by_box))


@dataclass(frozen=True)
class CompanionProblem:
    """Which rules, in which order, shall take over from the black box?

    Attributes
    ----------
    train : the training rows; the black box's predictions are cross-fitted: each half of the
        rows is predicted by a model trained on the other half.
    confidence : the black box's probability of what it predicts.
    pool : the rules to choose from; a method may make its own.
    class_names : of the labels 0, 1, ...
    objective, alpha : see `CompanionSetting`.
    """

    train: Rows
    confidence: Float[np.ndarray, " n"]
    pool: RulePool
    class_names: tuple[str, ...]
    objective: Literal["autac", "autac_completed"]
    alpha: float

    def labelled(self, rules: Sequence[Rule]) -> RuleList:
        """The rules in this order, each with the majority label of the rows that it decides."""
        values, labels, left = self.train.literals.values, [], np.ones(len(self.train), dtype=bool)
        for rule in rules:
            decided = rule.covers(values) & left
            labels.append(self.majority(self.train.labels[decided]))
            left &= ~decided
        return RuleList(tuple(rules), tuple(labels))

    def default(self, rules: RuleList) -> int:
        """The majority label of the rows that no rule covers, of all rows where none is left."""
        left = rules.decided_by(self.train.literals.values) < 0
        return self.majority(self.train.labels[left] if left.any() else self.train.labels)

    def majority(self, labels: Int[np.ndarray, " n"]) -> int:
        """The most frequent of the labels; of equally frequent ones, and of none, the smallest."""
        return int(np.bincount(labels, minlength=len(self.class_names)).argmax())

    def value(self, rules: RuleList) -> float:
        """What a method shall make large: the area on the training rows, minus alpha a rule."""
        if self.objective == "autac":
            area = autac(self.train.curve(rules))
        else:
            area = autac(self.train.completed(rules, self.default(rules)))
        return area - self.alpha * len(rules)

    @cached_property
    def ground(self) -> Ground:
        """The pool as searches see it."""
        return ground(
            unpack(self.pool.captures, len(self.train)),
            self.train.labels,
            self.train.black_box,
            n_labels=len(self.class_names),
            alpha=self.alpha,
            completed=self.objective == "autac_completed",
        )

    def listed(self, places: Sequence[int]) -> RuleList:
        """The rules at these places of the pool, in this order."""
        return self.labelled([self.pool.rules[place] for place in places])


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    test : the test rows, predicted by the black box trained on all training rows.
    groups : the sensitive level of each of them, where the data names such a category.
    group_names : of these levels.
    certificate : how good a list of the pool can be on the training rows.
    """

    test: Rows
    groups: Int[np.ndarray, " n"] | None = None
    group_names: tuple[str, ...] = ()
    certificate: Certificate | None = None


CompanionCase = Case[CompanionProblem, Held]


def _areas_on(rows: str, prefix: str = "") -> tuple[Metric, ...]:
    """AUTAC in its three variants on these rows."""
    return (
        Metric(
            f"{prefix}autac_completed",
            "higher",
            (0.0, 1.0),
            "",
            f"area under the {rows} rows' accuracy over transparency, the training majority of "
            "the uncovered rows being the default rule for all that the list leaves",
            f"{_PAPER}, Sec. 3; the default rule: earnest",
        ),
        Metric(
            f"{prefix}autac",
            "higher",
            (0.0, 1.0),
            "",
            f"area under the {rows} rows' accuracy over transparency, nothing counted beyond the "
            "coverage of the whole list",
            f"{_PAPER}, Sec. 3",
        ),
        Metric(
            f"{prefix}autac_normalised",
            "higher",
            (0.0, 1.0),
            "",
            f"{prefix}autac over the coverage of the whole list; the black box's accuracy where "
            "it covers nothing",
            "earnest",
        ),
    )


@dataclass(frozen=True)
class Companion:
    """A rule list walks with a black box; a user stops at the depth that they like."""

    name: ClassVar[str] = "companion"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = frozenset({"classes"})
    Setting: ClassVar[type] = CompanionSetting
    metrics: ClassVar[tuple[Metric, ...]] = (
        *_areas_on("test"),
        Metric(
            "train_objective",
            "higher",
            (-math.inf, 1.0),
            "",
            "what the method was asked to make large: the area named by the setting, on training "
            "rows with cross-fitted predictions, minus alpha a rule",
            f"{_PAPER}, Sec. 4",
        ),
        Metric(
            "transparency",
            "none",
            (0.0, 1.0),
            "share of test rows",
            "T_M, what the whole list covers",
            f"{_PAPER}, Sec. 3",
        ),
        Metric(
            "coverage_disparity",
            "lower",
            (0.0, 1.0),
            "",
            "the largest difference between groups in the share of test rows that the rules cover; "
            f"groups of the sensitive column with at least {_FEWEST} test rows",
            "earnest",
        ),
        Metric(
            "proved_length",
            "none",
            (-1.0, math.inf),
            "rules",
            "K: no list of at most K rules of the pool has a larger train_objective",
            "earnest",
        ),
        Metric(
            "gap",
            "lower",
            (0.0, 1.0),
            "",
            "how much larger the train_objective of a list of K + 1 rules may be, K as proved; 0 "
            "where no list of any length beats this one",
            "earnest",
        ),
        Metric("length", "lower", (0.0, math.inf), "rules", "rules in the list", _PAPER),
        Metric("literals", "lower", (0.0, math.inf), "literals", "conditions of all rules", _PAPER),
        *(
            Metric(
                f"accuracy_at_{percent}",
                "higher",
                (0.0, 1.0),
                "",
                f"test accuracy where the completed curve passes a transparency of {percent} %",
                "earnest",
            )
            for percent in _TRANSPARENCIES
        ),
        *_areas_on("training", "train_"),
    )

    def refuses(self, data: Data | None, setting: CompanionSetting) -> str | None:
        if data is None:
            return None
        if not data.class_names:
            return "a companion needs classes: this data predicts a number"
        try:
            labels, _ = _labels(data, setting)
        except ValueError as error:
            return str(error)
        return "all rows have one label" if len(np.unique(labels)) < 2 else None

    def case(
        self, data: Data, recipe: Recipe, setting: CompanionSetting, *, rng: np.random.Generator
    ) -> CompanionCase:
        split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
        parts = split(data, setting.split, rng=split_rng)
        samples = encode(data, parts.train).samples
        train, test = samples.rows(parts.train), samples.rows(parts.test)
        literals = binarize(data, parts.train, setting.bins)
        labels, names = _labels(data, setting)
        box, _ = _predicted(recipe.fit(train, rng=model_rng), test, data, setting)
        crossed, confidence = _cross_fitted(recipe, train, data, setting, case_rng)
        pool = _pool(literals.rows(parts.train), labels[parts.train], setting)
        problem = CompanionProblem(
            Rows(literals.rows(parts.train), labels[parts.train], crossed),
            confidence,
            pool,
            names,
            setting.objective,
            setting.alpha,
        )
        groups, group_names = _groups(data)
        held = Held(
            Rows(literals.rows(parts.test), labels[parts.test], box),
            None if groups is None else groups[parts.test],
            group_names,
            _certificate(problem, setting.certificate_seconds),
        )
        return Case(problem, held)

    def adapts(self, setting: CompanionSetting) -> bool:
        return False

    def adapt(
        self,
        case: CompanionCase,
        setting: CompanionSetting,
        method: Method[CompanionProblem, RuleList],
        *,
        rng: np.random.Generator,
    ) -> tuple[CompanionCase, ...]:
        return (case,)

    def scores(
        self, cases: tuple[CompanionCase, ...], explanations: tuple[RuleList, ...]
    ) -> Scores:
        (case,), (rules,) = cases, explanations
        problem, test = case.problem, case.held.test
        _check(rules, len(problem.train.literals.names), len(problem.class_names))
        default = problem.default(rules)
        curve, whole = test.curve(rules), test.completed(rules, default)
        train = _areas(problem.train, rules, default)
        values = {
            **_areas(test, rules, default),
            **{f"train_{name}": value for name, value in train.items()},
            "train_objective": problem.value(rules),
            "transparency": float(curve.transparency[-1]),
            "length": float(len(rules)),
            "literals": float(sum(len(rule.conditions) for rule in rules.rules)),
            **{f"accuracy_at_{at}": accuracy_at(whole, at / 100) for at in _TRANSPARENCIES},
        }
        scored = {name: Score(value) for name, value in values.items()}
        objective = problem.value(rules)
        scored |= _proof(case.held.certificate, objective)
        by_group = _transparency_by_group(case.held, rules)
        scored["coverage_disparity"] = _disparity(by_group)
        details = _details(problem, rules, default, whole)
        details["transparency_by_group"] = by_group
        if case.held.certificate is not None:
            details["certificate"] = case.held.certificate.status(objective)
        return Scores(scored, details)

    def tiny(self) -> CompanionProblem:
        """Sixty-four rows of eight literals; the black box errs on every fifth."""
        rng = np.random.default_rng(0)
        positive = rng.random((64, 4)) < 0.5
        values = np.stack([positive, ~positive], axis=2).reshape(64, 8)
        labels = (positive[:, 0] & positive[:, 1]).astype(np.int64)
        names = tuple(f"{'not ' * (j % 2)}{'abcd'[j // 2]}" for j in range(8))
        literals = Literals(values, names)
        train = Rows(literals, labels, labels ^ (np.arange(64) % 5 == 0))
        pool = mine(literals, labels, min_support=0.05, max_conditions=2, per_label=8)
        return CompanionProblem(train, np.ones(64), pool, ("no", "yes"), "autac_completed", 0.001)


def _areas(rows: Rows, rules: RuleList, default: int) -> dict[str, float]:
    curve = rows.curve(rules)
    return {
        "autac_completed": autac(rows.completed(rules, default)),
        "autac": autac(curve),
        "autac_normalised": autac_normalised(curve),
    }


def _labels(data: Data, setting: CompanionSetting) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
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


def _certificate(problem: CompanionProblem, seconds: float) -> Certificate | None:
    """What can be proved in that time, begun from a list that no single change betters."""
    if seconds == 0:
        return None
    _, start = locally_best(problem.ground, (), longest=_LONGEST)
    return certify(problem.ground, start, longest=_LONGEST, limits=Limits(seconds))


def _proof(certificate: Certificate | None, objective: float) -> dict[str, Score]:
    """`proved_length` and `gap` of a list with that objective."""
    if certificate is None:
        missing = Score(math.nan, 0, note="certificate_seconds=0")
        return {"proved_length": missing, "gap": missing}
    note = certificate.status(objective)
    gap = 0.0 if certificate.covers_all(objective) else certificate.gap(objective)
    length = float(certificate.holds_up_to(objective))
    return {"proved_length": Score(length, note=note), "gap": Score(gap, note=note)}


def _groups(data: Data) -> tuple[Int[np.ndarray, " n"] | None, tuple[str, ...]]:
    """The sensitive level of each row, and the levels' names; none where it is no category."""
    if isinstance(data, Images) or data.sensitive is None:
        return None, ()
    levels = next(column.levels for column in data.columns if column.name == data.sensitive)
    return (data.column(data.sensitive).astype(np.int64), levels) if levels else (None, ())


def _transparency_by_group(held: Held, rules: RuleList) -> dict[str, float]:
    """The share that the rules cover of each group that is large enough."""
    if held.groups is None:
        return {}
    covered = rules.decided_by(held.test.literals.values) >= 0
    members = [(name, held.groups == place) for place, name in enumerate(held.group_names)]
    return {name: float(covered[own].mean()) for name, own in members if own.sum() >= _FEWEST}


def _disparity(by_group: Mapping[str, float]) -> Score:
    if len(by_group) < 2:
        return Score(math.nan, 0, note="no sensitive category with two groups of enough rows")
    return Score(max(by_group.values()) - min(by_group.values()))


def _stratified_half(train: Samples, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Every second row of each class, in a random order."""
    order = rng.permutation(len(train))
    order = order[np.argsort(train.targets.numpy()[order], kind="stable")]
    chosen = np.zeros(len(train), dtype=bool)
    chosen[order[::2]] = True
    return chosen


def _pool(literals: Literals, labels: Int[np.ndarray, " n"], setting: CompanionSetting) -> RulePool:
    if len(np.unique(labels)) < 2:
        raise Unsupported("all training rows have one label")
    pool = mine(
        literals,
        labels,
        min_support=setting.min_support,
        max_conditions=setting.max_conditions,
        per_label=setting.per_label,
        selection=setting.selection,
        negations=setting.negations,
    )
    if not pool.rules:
        raise Unsupported(f"no rule covers {setting.min_support:.0%} of the training rows")
    return pool


def _check(rules: RuleList, n_literals: int, n_labels: int) -> None:
    wrong = sorted(set(rules.labels) - set(range(n_labels)))
    if wrong:
        raise ValueError(f"labels are 0 to {n_labels - 1}, not {wrong}")
    unknown = {c for rule in rules.rules for c in rule.conditions} - set(range(n_literals))
    if unknown:
        raise ValueError(f"there are {n_literals} literals, and no {sorted(unknown)}")


def _details(
    problem: CompanionProblem, rules: RuleList, default: int, whole: TransparencyCurve
) -> dict[str, Any]:
    """The completed test curve; its last point is the default rule's."""
    train = problem.train.completed(rules, default)
    return {
        "transparency": whole.transparency.tolist(),
        "accuracy": whole.accuracy.tolist(),
        "rules": rules.texts(problem.train.literals.names, problem.class_names),
        "default": problem.class_names[default],
        "black_box_accuracy": float(whole.accuracy[0]),
        "train_transparency": train.transparency.tolist(),
        "train_accuracy": train.accuracy.tolist(),
    }

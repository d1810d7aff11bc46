"""Companion: rules that take over from a black box as far as the user wants to see through it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.data import Data
from bench.models.base import Recipe
from bench.rules import Literals, Partner, mine
from bench.rules.exact import Certificate
from bench.scores.autac import TransparencyCurve, accuracy_at, autac, autac_normalised
from bench.tasks.base import Method, Metric, Score, Scores
from bench.tasks.companion_case import (
    CompanionCase,
    CompanionSetting,
    Held,
    companion_case,
    labels_of,
)
from bench.tasks.companion_problem import CompanionProblem, Rows

_PAPER = "Pan, Wang, Hara, Interpretable Companions for Black-Box Models, AISTATS 2020"
_TRANSPARENCIES = (25, 50, 75, 90)
_FEWEST = 30
"""Test rows of a group at least: the share of fewer is noise."""


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
            "how much larger the train_objective of a list of K + 1 rules may be, K as proved, or "
            "of any list where no bound for that length was reached; 0 where none beats this one",
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
            labels, _ = labels_of(data, setting)
        except ValueError as error:
            return str(error)
        return "all rows have one label" if len(np.unique(labels)) < 2 else None

    def case(
        self, data: Data, recipe: Recipe, setting: CompanionSetting, *, rng: np.random.Generator
    ) -> CompanionCase:
        return companion_case(data, recipe, setting, rng)

    def adapts(self, setting: CompanionSetting) -> bool:
        return False

    def adapt(
        self,
        case: CompanionCase,
        setting: CompanionSetting,
        method: Method[CompanionProblem, Partner],
        *,
        rng: np.random.Generator,
    ) -> tuple[CompanionCase, ...]:
        return (case,)

    def scores(self, cases: tuple[CompanionCase, ...], explanations: tuple[Partner, ...]) -> Scores:
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
            "literals": float(len(rules.literals)),
            **{f"accuracy_at_{at}": accuracy_at(whole, at / 100) for at in _TRANSPARENCIES},
        }
        scored = {name: Score(value) for name, value in values.items()}
        objective = problem.value(rules)
        scored |= _proof(case.held.certificate, objective)
        by_group = _transparency_by_group(case.held, rules)
        scored["coverage_disparity"] = _disparity(by_group)
        details = _details(problem, rules, default, whole)
        details["alpha"] = problem.alpha
        details["train_objective"] = objective
        if case.held.sample is not None:
            covered = rules.decided_by(case.held.sample.values) >= 0
            details["covered"] = {
                "rows": len(covered),
                "bits": np.packbits(covered).tobytes().hex(),
            }
        details["transparency_by_group"] = by_group
        if case.held.certificate is not None:
            details["certificate"] = _proved(case.held.certificate, objective)
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


def _areas(rows: Rows, rules: Partner, default: int) -> dict[str, float]:
    curve = rows.curve(rules)
    return {
        "autac_completed": autac(rows.completed(rules, default)),
        "autac": autac(curve),
        "autac_normalised": autac_normalised(curve),
    }


def _proof(certificate: Certificate | None, objective: float) -> dict[str, Score]:
    """`proved_length` and `gap` of a list with that objective."""
    if certificate is None:
        missing = Score(math.nan, 0, note="certificate_seconds=0")
        return {"proved_length": missing, "gap": missing}
    note = certificate.status(objective)
    length = float(certificate.holds_up_to(objective))
    gap = certificate.gap(objective)
    return {"proved_length": Score(length, note=note), "gap": Score(gap, note=note)}


def _proved(certificate: Certificate, objective: float) -> dict[str, Any]:
    """The proof for figures: the status of this list, and the pool's optima by their lengths."""
    return {
        "status": certificate.status(objective),
        "optima": list(certificate.optima),
        "cpu_seconds": list(certificate.reached),
        "bound": certificate.bound,
        "ceiling": certificate.ceiling,
        "any_length": certificate.any_length,
    }


def _transparency_by_group(held: Held, rules: Partner) -> dict[str, float]:
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


def _check(rules: Partner, n_literals: int, n_labels: int) -> None:
    wrong = sorted(set(rules.labels) - set(range(n_labels)))
    if wrong:
        raise ValueError(f"labels are 0 to {n_labels - 1}, not {wrong}")
    unknown = set(rules.literals) - set(range(n_literals))
    if unknown:
        raise ValueError(f"there are {n_literals} literals, and no {sorted(unknown)}")


def _details(
    problem: CompanionProblem, rules: Partner, default: int, whole: TransparencyCurve
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


__all__ = [
    "Companion",
    "CompanionCase",
    "CompanionProblem",
    "CompanionSetting",
    "Held",
    "Rows",
]

"""Fairwashing: how fair can an unfair black box be made to look, and is it noticed?"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.data import Data, Table
from bench.models.base import Recipe
from bench.tasks.base import Method, Metric, Scores
from bench.tasks.fairwashing_case import (
    FairwashingCase,
    FairwashingSetting,
    fairwashing_case,
    refusal,
)
from bench.tasks.fairwashing_metrics import metrics_of
from bench.tasks.fairwashing_problem import (
    Audit,
    Candidate,
    Detector,
    Explanation,
    FairwashingProblem,
    Rationalization,
    Region,
    Sampling,
    Surrogate,
)
from bench.tasks.fairwashing_scores import scored


@dataclass(frozen=True)
class Fairwashing:
    """An attacker publishes a readable model, or a sample, by which a black box looks fair.

    Parameters
    ----------
    detectors : what auditors look with, at what it is made for.
    others : black boxes beside that of the problem: would its fairwash serve them as well?

    References
    ----------
    Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of rationalization*, ICML
    2019; Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020;
    Aivodji, Arai, Gambs, Hara, *Characterizing the risk of fairwashing*, NeurIPS 2021.
    """

    detectors: tuple[Detector, ...] = ()
    others: tuple[Recipe, ...] = ()

    name: ClassVar[str] = "fairwashing"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = frozenset({"classes"})
    Setting: ClassVar[type] = FairwashingSetting

    def __post_init__(self) -> None:
        names = [detector.name for detector in self.detectors]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two detectors are called {twice[0]}: their powers would be one")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Two for each detector among them."""
        return metrics_of(self.detectors)

    def refuses(self, data: Data | None, setting: FairwashingSetting) -> str | None:
        return refusal(data, setting)

    def case(
        self, data: Data, recipe: Recipe, setting: FairwashingSetting, *, rng: np.random.Generator
    ) -> FairwashingCase:
        assert isinstance(data, Table)
        return fairwashing_case(data, recipe, self.others, setting, rng)

    def adapts(self, setting: FairwashingSetting) -> bool:
        return False

    def adapt(
        self,
        case: FairwashingCase,
        setting: FairwashingSetting,
        method: Method[FairwashingProblem, Explanation],
        *,
        rng: np.random.Generator,
    ) -> tuple[FairwashingCase, ...]:
        return (case,)

    def scores(
        self, cases: tuple[FairwashingCase, ...], explanations: tuple[Explanation, ...]
    ) -> Scores:
        (case,), (explanation,) = cases, explanations
        return scored(case.problem, case.held, explanation, self.detectors)

    def tiny(self) -> FairwashingProblem:
        """Eighty people of eight columns; see `toy_problem`."""
        return toy_problem()


def toy_problem(**changed: Any) -> FairwashingProblem:
    """A black box that says what the first column says, but for one in ten, whom it favours or
    not by their group; the second column is another, the others are the groups' shadows."""
    rng = np.random.default_rng(0)
    groups = np.arange(80) % 2
    first = rng.random((80, 4)) < np.where(groups, 0.3, 0.7)[:, None]
    first[:, 0] = np.arange(80) % 4 < 2
    first[:, 1] = rng.random(80) < 0.5
    decisions = first[:, 0].astype(np.int64)
    decisions[::10], decisions[1::10] = 1, 0
    given = {
        "scope": "global",
        "columns": np.stack([first, ~first], axis=2).reshape(80, 8),
        "names": tuple(f"{'not ' * (j % 2)}{'abcd'[j // 2]}" for j in range(8)),
        "class_names": ("no", "yes"),
        "inputs": first + 0.1 * rng.normal(size=(80, 4)),
        "decisions": decisions,
        "labels": decisions ^ (np.arange(80) % 7 == 0),
        "groups": groups,
        "measure": "demographic_parity",
        "regions": (Region(np.arange(80)),),
        "audit_size": 20,
    }
    return FairwashingProblem(**{**given, **changed})


__all__ = [
    "Audit",
    "Candidate",
    "Detector",
    "Explanation",
    "Fairwashing",
    "FairwashingCase",
    "FairwashingProblem",
    "FairwashingSetting",
    "Rationalization",
    "Region",
    "Sampling",
    "Surrogate",
    "toy_problem",
]

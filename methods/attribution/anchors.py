"""Anchors-like rules: the features that, once kept, hold the label."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from bench.models.base import Capability
from bench.setfunction.anchors import grow_rules
from bench.setfunction.sampling import random_sets
from bench.setfunction.table import Masks
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class Anchors:
    """A short rule whose precision reaches `threshold`, its features in the order they entered.

    Precision is the chance that the label stays where the rule's features are kept and each
    other one is deleted by a fair coin; the same coins judge all rules, where the paper draws
    anew by a bandit. Rules grow greedily. The probability of the label, at less weight than one
    lost label, parts equal precisions. Features of the rule get p, p - 1, ..; the others come
    below by the precision of each alone.

    Parameters
    ----------
    threshold : the precision wanted.
    samples : random sets, in pairs of complements; a step asks p times as many values.

    References
    ----------
    Ribeiro, Singh, Guestrin, *Anchors: High-Precision Model-Agnostic Explanations*, AAAI 2018.
    """

    threshold: float = 0.95
    samples: int = 32

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold}: wanted above 0, at most 1")
        if self.samples < 2:
            raise ValueError(f"samples={self.samples}: wanted at least 2, a pair of sets")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if not problem.model.n_classes:
            raise Unsupported("holds a label: regression has none")
        p, by_label = problem.p, replace(problem, g="label")
        by_chance = replace(problem, g="probability")
        deleted = random_sets(p, self.samples, pairs=True, rng=rng)
        least = 0.5 / (len(deleted) * problem.reference.count)

        def holds(masks: Masks) -> Float[np.ndarray, "n m"]:
            return by_label.value(masks) + least * by_chance.value(masks)

        rules = grow_rules(holds, problem.n, deleted, self.threshold)
        outside = (rules.alone - rules.alone.min(axis=1, keepdims=True)) / 2
        return Attribution(np.where(rules.place < p, p - rules.place, outside))

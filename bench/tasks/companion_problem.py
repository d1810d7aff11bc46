"""What a companion is asked: which rules, in which order, shall take over from a black box?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bench.rules import Literals, Partner, Rule, RuleList, RulePool, unpack
from bench.rules.ground import Ground, ground
from bench.scores.autac import TransparencyCurve, autac, completed, transparency_curve


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

    def at(self, index: np.ndarray) -> "Rows":
        """The rows at `index` (integers or a boolean mask)."""
        return Rows(self.literals.rows(index), self.labels[index], self.black_box[index])

    def curve(self, rules: Partner) -> TransparencyCurve:
        """Without a default rule: it ends where the rules' coverage ends."""
        decided_by = rules.decided_by(self.literals.values)
        predicted = rules.predict(self.literals.values)
        return transparency_curve(decided_by, predicted, self.labels, self.black_box, len(rules))

    def completed(self, rules: Partner, default: int) -> TransparencyCurve:
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

    def default(self, rules: Partner) -> int:
        """The majority label of the rows that no rule covers, of all rows where none is left."""
        left = rules.decided_by(self.train.literals.values) < 0
        return self.majority(self.train.labels[left] if left.any() else self.train.labels)

    def majority(self, labels: Int[np.ndarray, " n"]) -> int:
        """The most frequent of the labels; of equally frequent ones, and of none, the smallest."""
        return int(np.bincount(labels, minlength=len(self.class_names)).argmax())

    def value(self, rules: Partner) -> float:
        """What a method shall make large: the area on the training rows, minus alpha a rule."""
        return self.area(rules, self.train) - self.alpha * len(rules)

    def area(self, rules: Partner, rows: Rows) -> float:
        """The objective's area on any rows; a default rule is that of the training rows."""
        if self.objective == "autac":
            return autac(rows.curve(rules))
        return autac(rows.completed(rules, self.default(rules)))

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

"""Rules, and lists of them in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True)
class Rule:
    """A conjunction.

    Attributes
    ----------
    conditions : the literals that must all hold; none: the rule covers every row.
    """

    conditions: tuple[int, ...]

    def covers(self, values: Bool[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
        """The rows that satisfy all conditions."""
        covered: np.ndarray = np.all(values[:, list(self.conditions)], axis=1)
        return covered

    def text(self, names: Sequence[str]) -> str:
        """Such as `age > 44 and workclass = Private`."""
        return " and ".join(names[literal] for literal in self.conditions) or "always"


@dataclass(frozen=True)
class RuleList:
    """Rules in order: a row belongs to the first that covers it, and gets that rule's label.

    Attributes
    ----------
    rules : may be none. labels : one a rule.
    """

    rules: tuple[Rule, ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.rules) != len(self.labels):
            raise ValueError(f"{len(self.rules)} rules come with {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def literals(self) -> tuple[int, ...]:
        """The conditions of all rules."""
        return tuple(literal for rule in self.rules for literal in rule.conditions)

    def decided_by(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The place of each row's rule in the list, -1 where no rule covers it."""
        place = np.full(len(values), -1)
        for index in reversed(range(len(self))):
            place[self.rules[index].covers(values)] = index
        return place

    def predict(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """Each row's label, -1 where no rule covers it: whoever asks may defer to another."""
        predicted: np.ndarray = np.array([*self.labels, -1])[self.decided_by(values)]
        return predicted

    def texts(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """Such as `age > 44 and hours-per-week <= 40 -> >50K`, one a rule."""
        pairs = zip(self.rules, self.labels, strict=True)
        return [f"{rule.text(names)} -> {class_names[label]}" for rule, label in pairs]

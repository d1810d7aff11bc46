"""Readable models that are no rule lists: a tree, and a score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True)
class Leaf:
    """The same label for all."""

    label: int

    @property
    def size(self) -> int:
        """Leaves of the tree."""
        return 1

    def predict(self, values: Bool[np.ndarray, "m c"]) -> Int[np.ndarray, " m"]:
        """Each row's label."""
        return np.full(len(values), self.label)

    def lines(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """The label's name."""
        return [class_names[self.label]]

    def text(self, names: Sequence[str], class_names: Sequence[str] = ("0", "1")) -> str:
        """The label's name."""
        return class_names[self.label]


@dataclass(frozen=True)
class Split:
    """A tree: what it says where a column holds, and where it doesn't."""

    column: int
    holds: "Split | Leaf"
    fails: "Split | Leaf"

    @property
    def size(self) -> int:
        """Leaves of the tree."""
        return self.holds.size + self.fails.size

    def predict(self, values: Bool[np.ndarray, "m c"]) -> Int[np.ndarray, " m"]:
        """Each row's label."""
        says: np.ndarray = np.where(
            values[:, self.column], self.holds.predict(values), self.fails.predict(values)
        )
        return says

    def lines(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """The tree's text, line by line."""
        holds, fails = (side.lines(names, class_names) for side in (self.holds, self.fails))
        return [
            *_branch(f"if {names[self.column]}", " then ", holds),
            *_branch("else", " ", fails),
        ]

    def text(self, names: Sequence[str], class_names: Sequence[str] = ("0", "1")) -> str:
        """`if ... then ...`, `else ...`, what depends on a condition indented below it."""
        return "\n".join(self.lines(names, class_names))


def _branch(head: str, word: str, lines: list[str]) -> list[str]:
    return [f"{head}{word}{lines[0]}"] if len(lines) == 1 else [head, *(f"  {x}" for x in lines)]


@dataclass(frozen=True)
class ScoreCard:
    """1 where the weights of the columns that hold, and the offset, add up to more than 0."""

    weights: Int[np.ndarray, " c"]
    offset: int

    @property
    def size(self) -> int:
        """Weights that a reader adds up."""
        return int(np.count_nonzero(self.weights))

    def predict(self, values: Bool[np.ndarray, "m c"]) -> Int[np.ndarray, " m"]:
        """Each row's label."""
        says: np.ndarray = (values @ self.weights + self.offset > 0).astype(np.int64)
        return says

    def text(self, names: Sequence[str], class_names: Sequence[str] = ("0", "1")) -> str:
        """One weight a line, those that count most first; then what the sum leads to."""
        if not self.size:
            return class_names[int(self.offset > 0)]
        order = np.argsort(-np.abs(self.weights), kind="stable")[: self.size]
        lines = [f"{self.weights[column]:+d} if {names[column]}" for column in order]
        lines += [f"{self.offset:+d} always"] if self.offset else []
        return "\n".join([*lines, f"{class_names[1]} if the sum is above 0, else {class_names[0]}"])

"""A rule list made greedily: append what raises the objective most."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int, UInt64

from bench.models.base import Capability
from bench.rules import Rule, RuleList, pack, sizes
from bench.tasks.companion import CompanionProblem, Rows


@dataclass(frozen=True)
class GreedyList:
    """Append the rule with the largest objective of the longer list, until none raises it.

    Parameters
    ----------
    longest : rules in the list at most.

    References
    ----------
    Rivest, *Learning Decision Lists*, Machine Learning 2, 1987: one rule after the other, from
    the rows that are left. The objective: Pan, Wang, Hara, *Interpretable Companions for
    Black-Box Models*, AISTATS 2020, Sec. 4.
    """

    longest: int = 20

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        train, pool = problem.train, problem.pool
        chosen: list[Rule] = []
        value = problem.value(problem.labelled(chosen))
        left, right, area = np.ones(len(train), dtype=bool), 0, 0
        while len(chosen) < self.longest:
            taken = _counts(pool.captures, train, left)
            rest = _counts(pack(left[None]), train, left) - taken
            by_rules = right + taken.right
            areas = area + taken.rows * (2 * (right + rest.box + taken.box) + taken.gain)
            totals = areas
            if problem.objective == "autac_completed":
                totals = areas + rest.rows * (2 * (by_rules + rest.box) + rest.gain)
            values = totals / (2 * len(train) ** 2) - problem.alpha * (len(chosen) + 1)
            best = int(values.argmax())
            if values[best] <= value:
                break
            value, right, area = float(values[best]), int(by_rules[best]), int(areas[best])
            chosen.append(pool.rules[best])
            left &= ~chosen[-1].covers(train.literals.values)
        return problem.labelled(chosen)


@dataclass(frozen=True)
class _Counts:
    """Of sets of rows: their sizes, the rows of label 1, those that the black box has right."""

    rows: Int[np.ndarray, " sets"]
    ones: Int[np.ndarray, " sets"]
    box: Int[np.ndarray, " sets"]

    def __sub__(self, other: "_Counts") -> "_Counts":
        """Of the differences, where `other` counts subsets."""
        return _Counts(self.rows - other.rows, self.ones - other.ones, self.box - other.box)

    @property
    def right(self) -> Int[np.ndarray, " sets"]:
        """Rows that the majority label has right."""
        majority: np.ndarray = np.maximum(self.ones, self.rows - self.ones)
        return majority

    @property
    def gain(self) -> Int[np.ndarray, " sets"]:
        """What the majority label has right more than the black box."""
        gain: np.ndarray = self.right - self.box
        return gain


def _counts(
    sets: UInt64[np.ndarray, "sets words"], train: Rows, left: Bool[np.ndarray, " n"]
) -> _Counts:
    """Of what the sets share with the rows that are left."""
    parts = (left, left & (train.labels == 1), left & (train.black_box == train.labels))
    return _Counts(*(sizes(sets & pack(part[None])) for part in parts))

"""How candidates look to those who know what the black box decides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bench.scores.disparity import disparity
from bench.tasks.fairwashing_problem import Surrogate

FLOORS = np.linspace(0.80, 0.99, 20)
"""Of fidelity, at which the least unfairness counts."""
SLIP = 0.03
"""By which what is published may be less true than the most faithful list."""


@dataclass(frozen=True)
class Looks:
    """How candidates look on people.

    Attributes
    ----------
    fidelity, unfairness : of each candidate; an unfairness that is undefined counts as 1.
    own : the black box's unfairness.
    """

    fidelity: Float[np.ndarray, " k"]
    unfairness: Float[np.ndarray, " k"]
    own: float

    def chosen(self, floor: float) -> int | None:
        """The place of the fairest of this fidelity, the truest of those; None: none has it."""
        true = np.flatnonzero(self.fidelity >= floor - 1e-12)
        if not len(true):
            return None
        return int(true[np.lexsort([-self.fidelity[true], self.unfairness[true]])[0]])

    def published(self, faithful: float) -> int:
        """The fairest that is nearly as true as an honest model, else the truest.

        Parameters
        ----------
        faithful : fidelity of the most faithful list. What is much less true is seen through; and
            no list may be as true as any fixed floor.
        """
        found = self.chosen(faithful - SLIP)
        return int(self.fidelity.argmax()) if found is None else found

    @property
    def least(self) -> Float[np.ndarray, " floors"]:
        """The least unfairness at each floor; the black box is its own explanation, too."""
        places = [self.chosen(floor) for floor in FLOORS]
        found = [self.own if k is None else self.unfairness[k] for k in places]
        return np.minimum(found, self.own)


def looks(
    models: Sequence[Surrogate],
    measure: str,
    columns: np.ndarray,
    decisions: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
) -> Looks:
    """How models look to those who know the black box's decisions."""
    own = unfairness(measure, decisions, groups, labels)
    said = [model.predict(columns) for model in models]
    fidelity = np.array([np.mean(one == decisions) for one in said])
    unfair = np.array([unfairness(measure, one, groups, labels) for one in said])
    return Looks(fidelity, unfair, own)


def unfairness(
    measure: str,
    said: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
) -> float:
    """In [0, 1]; 1 where it is undefined, so that nobody gains by giving no decision at all."""
    return float(np.nan_to_num(disparity(measure, said, groups, truth).absolute, nan=1.0))


def washability(least: Float[np.ndarray, " floors"], own: float) -> float:
    """Share of the unfairness that is gone, mean over floors; NaN where there was none."""
    return float(1 - least.mean() / own) if own > 0 else math.nan


def rates(said: np.ndarray, groups: np.ndarray, names: tuple[str, str]) -> dict[str, float]:
    """How often each group gets what it wishes for."""
    return {name: float(said[groups == g].mean()) for name, g in zip(names, (1, 0), strict=True)}


def number(value: float) -> float | None:
    return None if math.isnan(value) else value

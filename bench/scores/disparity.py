"""Disparity: how unfair predictions are to one of two groups, by six measures."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from bench.rules import fairness

MEASURES = fairness.MEASURES


@dataclass(frozen=True)
class Disparity:
    """Gaps between two groups, of one prediction vector or of many.

    Attributes
    ----------
    gaps : signed, group 1 minus group 0, in [-1, 1]; one part, or two where a measure asks for
        two equalities. NaN where a denominator depends on the predictions and has no row.
    note : why there are NaN; empty where there are none.
    """

    gaps: Float[np.ndarray, "*many parts"]
    note: str = ""

    @property
    def signed(self) -> Float[np.ndarray, "*many"]:
        """The part of the larger size; NaN where either part is."""
        place = np.argmax(np.abs(self.gaps), axis=-1)  # a NaN counts as the largest
        found: np.ndarray = np.take_along_axis(self.gaps, place[..., None], axis=-1)[..., 0]
        return found

    @property
    def absolute(self) -> Float[np.ndarray, "*many"]:
        """The unfairness, in [0, 1]: the size of `signed`; 0 is fair."""
        return np.asarray(np.abs(self.signed))


def disparity(
    measure: str,
    predicted: Num[np.ndarray, "*many n"] | Bool[np.ndarray, "*many n"],
    groups: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
) -> Disparity:
    """How much better predictions are to group 1 than to group 0.

    Parameters
    ----------
    measure : one of `MEASURES`; `bench.rules.fairness.gaps` has their formulas and sources.
    predicted : 0 or 1; 1 is what is wished for.
    groups : 1, 0, or -1 for rows of neither (they count for nothing, but for the n of
        joint_demographic_parity). `bench.rules.fairness.two_groups` makes them of more groups.
    truth : 0 or 1. What explains a black box is judged by the black box's labels.

    Raises
    ------
    ValueError
        where a group is missing, or a group's label that makes a denominator.
    """
    _check_labels("predictions", predicted)
    _check_labels("true labels", truth)
    _check_groups(groups)
    totals = fairness.counts(np.ones(len(groups), dtype=bool), groups, truth)
    positive = fairness.counts(predicted.astype(bool), groups, truth)
    gaps = fairness.gaps(measure, positive, totals, len(groups))
    return Disparity(gaps, _note(measure, positive, totals) if np.isnan(gaps).any() else "")


def _check_labels(what: str, labels: np.ndarray) -> None:
    strange = np.setdiff1d(labels, [0, 1])
    if len(strange):
        raise ValueError(
            f"{what} must be 0 or 1, and there is {strange[0]:g}: cut probabilities at .5 first, "
            "take one class against the rest"
        )


def _check_groups(groups: Int[np.ndarray, " n"]) -> None:
    strange = np.setdiff1d(groups, [0, 1, fairness.NEITHER])
    if len(strange):
        raise ValueError(
            f"groups must be 1, 0, or {fairness.NEITHER} for neither, and there is {strange[0]}: "
            "two_groups compares one with another, or with the rest"
        )


def _note(measure: str, positive: fairness.Counts, totals: Float[np.ndarray, "2 2"]) -> str:
    """Which denominators have no row."""
    missing = []
    looked_at = (1,) if measure == "predictive_parity" else (1, 0)
    for label in looked_at:
        given = (positive if label else totals - positive).sum(axis=-1)
        missing += [
            f"no row of group {group} is predicted {label}"
            for group in (0, 1)
            if (given[..., group] == 0).any()
        ]
    return "; ".join(missing)

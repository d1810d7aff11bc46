"""How unfair predictions are to one of two groups, from counts of what is predicted positive."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

LINEAR = (
    "demographic_parity",
    "joint_demographic_parity",
    "predictive_equality",
    "equal_opportunity",
)
"""Measures whose gap is a sum over the rows that are predicted positive."""

MEASURES = (*LINEAR, "equalized_odds", "predictive_parity", "conditional_use_accuracy_equality")
"""Names of the measures; `gaps` says what they are."""

_PARTS = {
    "demographic_parity": ((0, 1),),
    "joint_demographic_parity": ((0, 1),),
    "predictive_equality": ((0,),),
    "equal_opportunity": ((1,),),
    "equalized_odds": ((0,), (1,)),
}
"""Of measures whose gaps are sums: for each gap, the labels of the rows that it looks at."""

NEITHER = -1
"""The group of rows that belong to neither of the two: they count for fidelity alone."""

Counts = Float[np.ndarray, "*many 2 2"]


class Additive(NamedTuple):
    """A measure as a function F of a sum over the rows that are predicted positive.

    Attributes
    ----------
    weights : what such a row adds to each entry of the sum, by its group and its label.
    largest : whether F is the largest absolute entry. Else the entries are the four counts
        (group 0: label 0, 1; group 1: label 0, 1), and F takes ratios of them.
    """

    weights: Float[np.ndarray, "entries 2 2"]
    largest: bool


def two_groups(
    codes: Int[np.ndarray, " n"], one: int, other: int | None = None
) -> Int[np.ndarray, " n"]:
    """1 where a row is of group `one`, 0 where of `other` (unless given: of any other).

    Of more than two groups, `other` makes a pair, and rows of the rest are of `NEITHER`.
    """
    if other is None:
        return np.asarray(codes == one).astype(np.int64)
    pair: np.ndarray = np.where(codes == one, 1, np.where(codes == other, 0, NEITHER))
    return pair


def counts(
    predicted: Bool[np.ndarray, "*many n"] | Int[np.ndarray, "*many n"],
    groups: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
) -> Counts:
    """How many rows are predicted positive, by group and label."""
    cells = np.stack([(groups == g) & (labels == b) for g in (0, 1) for b in (0, 1)], axis=1)
    found: np.ndarray = predicted.astype(float) @ cells.astype(float)
    return found.reshape(*predicted.shape[:-1], 2, 2)


def check_groups(measure: str, totals: Float[np.ndarray, "2 2"]) -> None:
    """Raise `ValueError` where a group, or the label that `measure` looks at, is missing."""
    if measure not in MEASURES:
        raise ValueError(f"no measure {measure!r}: there are {', '.join(MEASURES)}")
    for group in (0, 1):
        if not totals[group].sum():
            raise ValueError(f"group {group} has no rows: {measure} compares group 1 with group 0")
        for label in _labels_of(measure):
            if not totals[group, label]:
                raise ValueError(
                    f"group {group} has no row whose label is {label}: {measure} is undefined, "
                    "demographic_parity is not"
                )


def _labels_of(measure: str) -> list[int]:
    """The labels of which each group needs a row, for any predictions."""
    return [labels[0] for labels in _PARTS.get(measure, ()) if len(labels) == 1]


def additive(measure: str, totals: Float[np.ndarray, "2 2"], n: int) -> Additive:
    """The measure in its additive form.

    Parameters
    ----------
    totals : rows by group and label. n : all rows, also those of neither group.
    """
    check_groups(measure, totals)
    if measure not in _PARTS:
        return Additive(np.eye(4).reshape(4, 2, 2), largest=False)
    weights = np.zeros((len(_PARTS[measure]), 2, 2))
    for part, labels in zip(weights, map(list, _PARTS[measure]), strict=True):
        sizes = totals[:, labels].sum(axis=1)
        joint = measure == "joint_demographic_parity"
        part[:, labels] = (np.array([-1, 1]) / (n if joint else sizes))[:, None]
    return Additive(weights, largest=True)


def gaps(
    measure: str, positive: Counts, totals: Float[np.ndarray, "2 2"], n: int
) -> Float[np.ndarray, "*many parts"]:
    """Signed gaps, group 1 minus group 0; NaN where no row makes a denominator.

    With c the prediction, b the label and g the group:

    - demographic_parity: P(c=1 | g); joint_demographic_parity: P(c=1, g);
    - predictive_equality: P(c=1 | b=0, g); equal_opportunity: P(c=1 | b=1, g);
    - equalized_odds: both of these;
    - predictive_parity: P(b=1 | c=1, g);
    - conditional_use_accuracy_equality: that and P(b=0 | c=0, g).

    References
    ----------
    Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, *Fairwashing: the risk of rationalization*, ICML
    2019, Sec. 3 (the first; joint in the paper's figures); Aivodji, Arai, Gambs, Hara,
    *Characterizing the risk of fairwashing*, NeurIPS 2021 (predictive equality to equalized
    odds); Berk et al., *Fairness in Criminal Justice Risk Assessments*, 2018 (the last).
    """
    form = additive(measure, totals, n)
    if form.largest:
        return np.asarray(np.einsum("...gb,pgb->...p", positive, form.weights))
    found = [_precision_gap(positive, 1)]
    if measure == "conditional_use_accuracy_equality":
        found.append(_precision_gap(totals - positive, 0))
    return np.stack(found, axis=-1)


def _precision_gap(given: Counts, label: int) -> Float[np.ndarray, "*many"]:
    """Of rows that are given a label: the share that has it, in group 1 minus in group 0."""
    with np.errstate(invalid="ignore"):
        share = given[..., label] / given.sum(axis=-1)
    return np.asarray(share[..., 1] - share[..., 0])

"""What detectors take out of an audit."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from bench.scores.detection import Detection, confusion_divergence
from bench.tasks.fairwashing_problem import Audit

Inputs = Float[np.ndarray, "_ _"]

Direction = Literal["others_from_protected", "protected_from_others"]
"""Of which group's confusion matrix a divergence is told, from whose."""


def own_people(own: Audit | None, name: str) -> Audit:
    """The auditor's own people.

    Raises
    ------
    ValueError
        where there are none.
    """
    if own is None:
        raise ValueError(
            f"{name} compares a published sample with the auditor's own people, and own is None: "
            "wanted an Audit of people who weren't drawn for the sample"
        )
    return own


def with_groups(audit: Audit) -> Inputs:
    """[x, s], scaled as they are: what samplers leave as it was, as far as they can."""
    return np.column_stack([audit.inputs, audit.groups]).astype(np.float64)


def published_model(audit: Audit, name: str) -> Int[np.ndarray, " k"]:
    """What the published model says of the audited people.

    Raises
    ------
    ValueError
        where no model was published, or nobody was asked about.
    """
    if audit.surrogate is None:
        raise ValueError(
            f"{name} looks at a published model, and this audit is of a sample: wanted what the "
            "model says as `surrogate`"
        )
    if not len(audit):
        raise ValueError(f"{name}: nobody was asked about; wanted one person at least")
    return audit.surrogate


def between_groups(values: Shaped[np.ndarray, " k"], groups: Int[np.ndarray, " k"]) -> float:
    """By how much the mean of group 0 is above that of group 1; 0 where one group is missing:
    nothing is seen of a difference."""
    protected = groups == 1
    if protected.all() or not protected.any():
        return 0.0
    return float(values[~protected].mean() - values[protected].mean())


def no_test(statistic: float) -> Detection:
    """A statistic that the task compares with those of honest samples or models."""
    return Detection(statistic, float("nan"), (float("nan"),))


def divergence_of_groups(
    audit: Audit, name: str, direction: Direction, pseudocount: float, *, given_decision: bool
) -> Detection:
    """KL between the groups' confusion matrices, see `confusion_divergence`; 0 where one group is
    missing."""
    said = published_model(audit, name)
    if len(np.unique(audit.groups)) < 2:
        return no_test(0.0)
    found = confusion_divergence(
        said,
        audit.decisions,
        audit.groups,
        pseudocount=pseudocount,
        reverse=direction == "protected_from_others",
        given_decision=given_decision,
    )
    return no_test(found)

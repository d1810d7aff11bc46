"""What retraining tells about a cleansing problem: a check, and more where it can be paid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from bench.data import Samples
from bench.models.influence import (
    leave_one_out_flops,
    query_gradient,
    removal_changes,
    sgd_influence,
)
from bench.models.retrained import retrained
from bench.models.smoothness import Smoothness, smoothness
from bench.models.trajectory import Trajectory
from bench.scores.datamodelling import Subsets
from bench.scores.error_split import ErrorSplit, split_error

PERCENTS = (0.5, 1.0, 5.0, 20.0)
"""Of the training rows, removed at once for the linear datamodeling score."""

CHECKED = 15
"""Rows that are removed one by one to see whether influence can be trusted."""

TOO_DEAR = "training again so often is beyond truth_flops"
OVERFLOWS = "influence overflows"

SPLIT = 50
"""Random rows on which the error is split: each is left out of every single epoch, too."""


@dataclass(frozen=True)
class Truth:
    """What is known by training again; None or empty where that is too dear, not asked for, or
    can't be had.

    Attributes
    ----------
    leave_one_out : change of the query's loss without each training row.
    subsets : random sets of removed rows, by their percentage of the training rows.
    check : SGD-influence beside the truth on some random rows. unchecked : why there is none.
    split : where the error of SGD-influence comes from, on some random rows.
    """

    leave_one_out: Float[np.ndarray, " n_train"] | None = None
    subsets: Mapping[float, Subsets] = field(default_factory=dict)
    check: Smoothness | None = None
    unchecked: str = TOO_DEAR
    split: ErrorSplit | None = None

    @classmethod
    def of(
        cls,
        trajectory: Trajectory,
        query: Samples,
        flops: float,
        subsets: int,
        split: bool,
        *,
        always_check: bool,
        rng: np.random.Generator,
    ) -> "Truth":
        """Each part that takes no more than `flops` operations; `subsets` of each size.

        The check is made however much it takes where `always_check` is true.
        """
        subset_rng, check_rng, split_rng = rng.spawn(3)
        n = len(trajectory.objective.samples)

        def paid(models: float) -> bool:
            return leave_one_out_flops(trajectory) * models / n <= flops

        truth = None
        if paid(n):
            rows = torch.arange(n)
            changes = removal_changes(trajectory, query, rows, again=retrained)
            truth = changes.double().cpu().numpy()
        drawn = {}
        if subsets and paid(subsets * len(PERCENTS)):
            drawn = {
                percent: Subsets.drawn(trajectory, query, percent, subsets, rng=subset_rng)
                for percent in PERCENTS
            }
        checked, unchecked = None, TOO_DEAR
        if always_check or paid(min(CHECKED, n)):
            checked, unchecked = _check(trajectory, query, truth, check_rng)
        epochs = len(trajectory.schedule) / trajectory.schedule.steps_per_epoch
        some, parts = min(SPLIT, n), None
        # Without a check influence may overflow.
        if split and checked is not None and paid(some * (epochs / 2 + 2)):
            parts = split_error(trajectory, query, np.sort(split_rng.permutation(n)[:some]))
        return cls(truth, drawn, checked, unchecked, parts)

    def details(self) -> dict[str, Any]:
        """For a record."""
        found: dict[str, Any] = {}
        if self.check is not None:
            found["check"] = {
                "rows": len(self.check.rows),
                "correlation": self.check.correlation,
                "relative_error": self.check.relative_error,
            }
        if self.unchecked:
            found["unchecked"] = self.unchecked
        if self.split is not None:
            found["error_split"] = {
                "SGD-influence": self.split.parts_of_linear(),
                "no Hessian": self.split.parts(),
            }
        return found


def _check(
    trajectory: Trajectory,
    query: Samples,
    truth: Float[np.ndarray, " n_train"] | None,
    rng: np.random.Generator,
) -> tuple[Smoothness | None, str]:
    """The check, or None and why there is none."""
    direction = query_gradient(trajectory.objective, trajectory.final, query)
    values = sgd_influence(trajectory, direction)
    if not torch.isfinite(values).all():
        return None, OVERFLOWS
    estimates = values.double().cpu().numpy()
    try:
        found = smoothness(trajectory, query, estimates, rng=rng, count=CHECKED, truth=truth)
    except ValueError as error:  # a run without one of the rows diverged
        return None, f"without one of {CHECKED} rows {error}"
    told = math.isfinite(found.correlation)
    return found, "" if told else "all changes or all estimates are equal"

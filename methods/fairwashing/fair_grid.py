"""Classifiers under a fairness constraint, by fairlearn's grid of Lagrange multipliers."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from bench.rules.fairness import NEITHER, check_groups
from bench.rules.rationalize import Suing
from bench.tasks.base import Unsupported
from bench.tasks.foreign import package

EVENTS: dict[str, tuple[str | None, str | None]] = {
    "demographic_parity": ("all", "all"),
    "predictive_equality": ("label=0", None),
    "equal_opportunity": (None, "label=1"),
    "equalized_odds": ("label=0", "label=1"),
}
"""In which of fairlearn's events a row is whose right label is 0, or 1: among rows of each event
the groups shall be given label 1 equally often."""


def grid(suing: Suing, measure: str, estimator: Any, points: int, limit: float) -> list[Any]:
    """The estimator fitted for each multiplier of unfairness, in the grid's order.

    Each is fitted to the black box's decisions, relabelled and weighed: the reduction of Agarwal
    et al., Sec. 3.4. Rows of neither group are fitted too, and constrain nothing. The order of
    rows has no say: they are sorted.

    Parameters
    ----------
    points : of the grid. An odd number is symmetric where there is one gap, and 2 n^2 + 2 n + 1
        where there are two.
    limit : the largest multiplier.

    Returns
    -------
    Fitted estimators; scikit-learn's DummyClassifier where relabelling has left one label.

    Raises
    ------
    Unsupported
        without fairlearn, or where it has no such constraint.
    ValueError
        where a group, or the label that the measure looks at, is missing.
    """
    if measure not in EVENTS:
        raise Unsupported(f"fairlearn constrains no {measure}: take one of {', '.join(EVENTS)}")
    check_groups(measure, suing.patterns.totals)
    rows = np.lexsort((*suing.values.T, suing.right, suing.black_box, suing.groups))
    search = package("fairlearn.reductions").GridSearch(
        estimator, _constraint(measure, suing.right[rows]), grid_size=points, grid_limit=limit
    )
    with warnings.catch_warnings():
        # fairlearn 0.15 puts a bool among floats, which pandas 4 will refuse.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        search.fit(
            suing.values[rows].astype(float),
            suing.black_box[rows],
            sensitive_features=suing.groups[rows],
        )
    found: list[Any] = search.predictors_
    return found


def _constraint(measure: str, right: np.ndarray) -> Any:
    """fairlearn's parity of the two groups.

    Its own classes would make rows of neither group a third one with a constraint of its own:
    here such rows are in no event.
    """
    parity = package("fairlearn.reductions").UtilityParity

    def load_data(self: Any, X: np.ndarray, y: np.ndarray, *, sensitive_features: Any) -> None:
        groups = np.asarray(sensitive_features)
        event = np.array(EVENTS[measure], dtype=object)[right]
        event[groups == NEITHER] = None
        parity.load_data(
            self,
            X,
            pd.Series(y),
            sensitive_features=pd.Series((groups == 1).astype(int)),
            event=pd.Series(event),
        )

    return type("Parity", (parity,), {"load_data": load_data})()

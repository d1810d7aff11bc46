"""Which rows are compared with which, for methods that call the unusual harmful."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bench.tasks.cleansing import CleansingProblem

from .features import Space, represented

Reference = Literal["query", "train"]

Normality = Callable[[Float[Tensor, "m d"], Float[Tensor, "k d"]], Float[np.ndarray, " k"]]
"""(reference rows, rows) -> how usual each row is among the reference rows."""


def normality(
    problem: CleansingProblem,
    space: Space,
    reference: Reference,
    by_class: bool,
    usual: Normality,
) -> Float[np.ndarray, " n_train"]:
    """How usual each training row is among the query's or the training rows.

    Parameters
    ----------
    by_class : among those with its own label alone, where there are any: a row with a wrong
        label is unusual there, and only there.
    """
    rows = represented(problem.model, problem.train.inputs, space)
    others, labels = rows, problem.train.targets
    if reference == "query":
        others = represented(problem.model, problem.validation.inputs, space)
        labels = problem.validation.targets
    if not by_class:
        return usual(others, rows)
    values = np.empty(len(rows))
    for target in np.unique(problem.train.targets.cpu()):
        own, same = problem.train.targets == target, labels == target
        values[own.cpu().numpy()] = usual(others[same] if same.any() else others, rows[own])
    return values

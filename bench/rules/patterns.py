"""Rows that no rule tells apart, as one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

MOST_COLUMNS = 62
"""A pattern is one signed word."""


@dataclass(frozen=True)
class Patterns:
    """The distinct rows of a table of binary columns.

    Attributes
    ----------
    masks : the columns that hold, as bits; rising.
    rows : how many rows there are of each, by group (0, 1, neither) and label.
    judged : the same by group and by what a measure of unfairness takes for right.
    columns : how many.
    """

    masks: Int64[np.ndarray, " patterns"]
    rows: Int64[np.ndarray, "patterns 3 2"]
    judged: Int64[np.ndarray, "patterns 3 2"]
    columns: int

    @property
    def n(self) -> int:
        """All rows."""
        return int(self.rows.sum())

    @property
    def totals(self) -> Float[np.ndarray, "2 2"]:
        """Rows of the two groups, by group and what is right."""
        found: np.ndarray = self.judged[:, :2].sum(axis=0).astype(float)
        return found

    @property
    def holds(self) -> Bool[np.ndarray, "patterns columns"]:
        """Where each column holds."""
        return bits(self.masks, self.columns)


def collapse(
    values: Bool[np.ndarray, "n columns"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"] | None = None,
) -> Patterns:
    """The patterns of rows.

    Parameters
    ----------
    labels : 0 or 1. groups : 0, 1, or -1 for neither.
    truth : what a measure of unfairness takes for right; none: the labels.

    Raises
    ------
    ValueError
        where there are more columns than bits in a word.
    """
    columns = values.shape[1]
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"{columns} columns: at most {MOST_COLUMNS} are searched; drop rare or similar ones, "
            "or cut numbers into fewer bins"
        )
    masks, place = np.unique(values @ (1 << np.arange(columns)), return_inverse=True)
    rows, judged = np.zeros((2, len(masks), 3, 2), dtype=np.int64)
    np.add.at(rows, (place, groups % 3, labels), 1)
    np.add.at(judged, (place, groups % 3, labels if truth is None else truth), 1)
    return Patterns(masks.astype(np.int64), rows, judged, columns)


def word(columns: Iterable[int]) -> int:
    """A set of columns as bits."""
    return sum(1 << column for column in set(columns))


def bits(words: Int64[np.ndarray, "*k"], columns: int) -> Bool[np.ndarray, "*k columns"]:
    """What `word` has packed."""
    return np.asarray((words[..., None] >> np.arange(columns)) & 1 == 1)

"""The columns from which literals, inputs and features come, by which one is told as another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from bench.data import Column, Data, Encoding, Images
from bench.rules import binarize
from bench.setfunction.partition import Partition


@dataclass(frozen=True)
class Columns:
    """What ties literals, inputs and features together.

    A column is one of a table, or a single number of an image.

    Attributes
    ----------
    of_literal : the column of each literal.
    position : of each column in a flat input; the first of a category's one-hot numbers.
    named : the columns of a table; none for images.
    train, queries : the table's rows, numbers as they are and categories as codes; empty for
        images.
    """

    of_literal: Int[np.ndarray, " d"]
    position: Int[np.ndarray, " c"]
    named: tuple[Column, ...]
    train: Float[np.ndarray, "n_train _"]
    queries: Float[np.ndarray, "n _"]

    @classmethod
    def of(
        cls,
        data: Data,
        encoding: Encoding,
        train: Int[np.ndarray, " n_train"],
        queries: Int[np.ndarray, " n"],
        bins: int,
    ) -> "Columns":
        """Of the literals that `binarize(data, train, bins)` makes, and of these rows."""
        literals = [len(binarize(one, train, bins).names) for one in _one_by_one(data)]
        of_literal = np.repeat(np.arange(len(literals)), literals)
        if isinstance(data, Images):
            no_values = np.zeros((len(train), 0)), np.zeros((len(queries), 0))
            return cls(of_literal, np.arange(len(literals)), (), *no_values)
        position = np.array([encoding.column_of.index(c) for c in range(len(literals))])
        return cls(of_literal, position, data.columns, data.values[train], data.values[queries])

    def features(self, partition: Partition, query: int) -> Int[np.ndarray, " c"]:
        """The feature that each column belongs to at that query point."""
        membership = partition.only(query).membership.flatten().cpu().numpy()
        features: np.ndarray = membership[self.position]
        return features


def _one_by_one(data: Data) -> Iterator[Data]:
    """Each column as data of its own, in the order in which literals are made."""
    if isinstance(data, Images):
        for at in np.ndindex(data.pixels.shape[1:]):
            alone = tuple(slice(i, i + 1) for i in at)
            yield replace(data, pixels=data.pixels[:, *alone])
        return
    for c, column in enumerate(data.columns):
        values = data.values[:, c : c + 1]
        yield replace(data, values=values, columns=(column,), groups={}, sensitive=None)

"""MNIST as a table: 784 numbers a digit, standardised like those of any table."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Column, Table

from .mnist import MNIST


@dataclass(frozen=True)
class MNISTTable:
    """The images of `MNIST` as rows of 28 x 28 numbers in [0, 1], not yet standardised.

    The section 7.1 experiments of [1]_ standardise every pixel by the training rows, which this
    house does with tables and not with images.

    Parameters
    ----------
    digits : see `MNIST`.

    References
    ----------
    .. [1] Hara, Nitanda, Maehara, "Data Cleansing for Models Trained with SGD", NeurIPS 2019.
    """

    digits: tuple[int, ...] = ()

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Columns are called by row and column of their pixel, from the upper left."""
        images = MNIST(self.digits).load()
        height, width = images.pixels.shape[2:]
        return Table(
            name=f"{images.name}_table",
            values=images.pixels.reshape(len(images.pixels), -1).astype(np.float64),
            columns=tuple(Column(f"{i}, {j}") for i in range(height) for j in range(width)),
            targets=images.targets,
            class_names=images.class_names,
            licence=images.licence,
            source=images.source,
            given_split=images.given_split,
        )

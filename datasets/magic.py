"""MAGIC: did a gamma ray or a hadron cause the shower that the telescope saw?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Column, Table
from bench.download import DataFile, contents

_HOME = "https://archive.ics.uci.edu"

FILE = DataFile(
    "magic/magic04.data",
    1_477_391,
    "e9314b7ebd4b4b59a3b3d65f7316663963777b16a46786877651dbbaa640b36a",
    (
        f"{_HOME}/ml/machine-learning-databases/magic/magic04.data",
        f"{_HOME}/static/public/159/magic+gamma+telescope.zip#magic04.data",
    ),
)

_NAMES = (
    *("fLength", "fWidth", "fSize", "fConc", "fConc1"),
    *("fAsym", "fM3Long", "fM3Trans", "fAlpha", "fDist"),
)


@dataclass(frozen=True)
class Magic:
    """19,020 simulated showers by 10 numbers that describe their images; class 1 is the gamma ray.

    12,332 are gamma rays, fewer than in the sky hadrons would be. The rows are in the order of
    the file, all gamma rays first.

    References
    ----------
    .. [1] Bock, "MAGIC Gamma Telescope", UCI Machine Learning Repository, 2004,
       doi:10.24432/C52C8B.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers, each column a feature of its own."""
        rows = [line.split(",") for line in contents(FILE).decode("ascii").split()]
        *numbers, kinds = np.array(rows).T
        return Table(
            name="magic",
            values=np.stack(numbers, axis=1).astype(float),
            columns=tuple(Column(name) for name in _NAMES),
            targets=(kinds == "g").astype(np.int64),
            class_names=("hadron", "gamma"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/159",
        )

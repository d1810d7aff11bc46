"""Messidor: does an image of a retina show signs of diabetic retinopathy?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Table
from bench.download import DataFile

from .columns import category, number
from .copies import any_of

_HOME = "https://archive.ics.uci.edu"


def _file(size: int, sha256: str) -> DataFile:
    name = "messidor_features.arff"
    urls = (
        f"{_HOME}/ml/machine-learning-databases/00329/{name}",
        f"{_HOME}/static/public/329/diabetic+retinopathy+debrecen.zip#{name}",
    )
    return DataFile(f"messidor/{name}", size, sha256, urls)


PUBLISHED = _file(117_224, "b83485dd519127ac1ba06a95da5f1d12d4bde2a362eb32d7d353bdcabfa08a93")
RENAMED = _file(117_250, "a0d15680ac6eaaae8ea4d6376d146c127db0bb4cfb8187ed9d77fcbb66f28b63")
"""The same rows under another header, which calls the attributes V0 to V18."""

_YES_NO = {"0": "no", "1": "yes"}
_LEVELS = {
    "quality": {"0": "bad", "1": "sufficient"},
    "pre_screening": {"0": "no abnormality", "1": "severe abnormality"},
    "am_fm_classification": _YES_NO,
}
_NAMES = (
    *("quality", "pre_screening"),
    *(f"ma{level}" for level in range(1, 7)),
    *(f"exudate{level}" for level in range(1, 9)),
    *("macula_opticdisc_distance", "opticdisc_diameter", "am_fm_classification"),
)


@dataclass(frozen=True)
class Messidor:
    """1,151 images by 16 numbers and 3 binary judgements of programs; 611 show signs.

    `ma` are the microaneurysms that are found at six levels of confidence, `exudate` the
    exudates at eight, divided by the diameter of the region.

    References
    ----------
    .. [1] Antal, Hajdu, "Diabetic Retinopathy Debrecen", UCI Machine Learning Repository, 2014,
       doi:10.24432/C5XP4P.
    .. [2] Antal, Hajdu, "An ensemble-based system for automatic screening of diabetic
       retinopathy", Knowledge-Based Systems, 2014.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        *cells, signs = np.array(_rows(any_of(PUBLISHED, RENAMED))).T
        pairs = [
            category(name, texts, _LEVELS[name]) if name in _LEVELS else number(name, texts)
            for name, texts in zip(_NAMES, cells, strict=True)
        ]
        return Table(
            name="messidor",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=signs.astype(np.int64),
            class_names=("no signs", "signs of retinopathy"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/329",
        )


def _rows(arff: bytes) -> list[list[str]]:
    """The cells below `@data`: as simple an ARFF file as there is, without quotes or comments."""
    lines = arff.decode("ascii").splitlines()
    return [line.split(",") for line in lines[lines.index("@data") + 1 :] if line]

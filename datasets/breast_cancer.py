"""Breast Cancer Wisconsin (Diagnostic): is a tumour malignant or benign?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.data import Column, Table


@dataclass(frozen=True)
class BreastCancer:
    """569 tumours by 30 numbers, bundled with scikit-learn.

    Ten measurements of the cell nuclei in an image, each by its mean, its standard error and
    its worst value (the mean of the three largest): the natural groups are the measurements.

    References
    ----------
    .. [1] Wolberg, Mangasarian, Street, Street, "Breast Cancer Wisconsin (Diagnostic)", UCI
       Machine Learning Repository, 1993, doi:10.24432/C5DW2B.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers in ten groups of three."""
        from sklearn.datasets import load_breast_cancer

        bundled = load_breast_cancer()
        names = [str(name) for name in bundled.feature_names]
        measurements = [name.removeprefix("mean ") for name in names[:10]]
        return Table(
            name="breast_cancer",
            values=bundled.data,
            columns=tuple(Column(name) for name in names),
            targets=bundled.target,
            class_names=tuple(str(name) for name in bundled.target_names),
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/17, bundled with scikit-learn",
            groups={m: (f"mean {m}", f"{m} error", f"worst {m}") for m in measurements},
        )

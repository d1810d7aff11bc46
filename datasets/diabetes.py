"""Diabetes: how far has the disease progressed after one year?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.data import Column, Table


@dataclass(frozen=True)
class Diabetes:
    """442 patients by 10 numbers, bundled with scikit-learn; the target is a number.

    Columns are in their own units, not in scikit-learn's scaling over all rows. `sex` is coded
    1 and 2 and stays a number: the source doesn't say which is which.

    References
    ----------
    .. [1] Efron, Hastie, Johnstone, Tibshirani, "Least Angle Regression", Annals of Statistics
       32(2), 2004.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "number"

    def load(self) -> Table:
        """Numbers; the sensitive column is `sex`."""
        from sklearn.datasets import load_diabetes

        bundled = load_diabetes(scaled=False)
        return Table(
            name="diabetes",
            values=bundled.data,
            columns=tuple(Column(str(name)) for name in bundled.feature_names),
            targets=bundled.target,
            class_names=(),
            licence="none stated by the authors; bundled with scikit-learn (BSD-3-Clause)",
            source="https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
            sensitive="sex",
        )

"""Wine: which of three cultivators grew it?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.data import Column, Table


@dataclass(frozen=True)
class Wine:
    """178 wines by 13 numbers of a chemical analysis, bundled with scikit-learn.

    References
    ----------
    .. [1] Aeberhard, Forina, "Wine", UCI Machine Learning Repository, 1992,
       doi:10.24432/C5PC7J.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers, each column a feature of its own."""
        from sklearn.datasets import load_wine

        bundled = load_wine()
        return Table(
            name="wine",
            values=bundled.data,
            columns=tuple(Column(str(name)) for name in bundled.feature_names),
            targets=bundled.target,
            class_names=tuple(str(name) for name in bundled.target_names),
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/109, bundled with scikit-learn",
        )

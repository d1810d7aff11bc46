"""Outliers of an isolation forest: rows that few random cuts set apart."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence

from .features import Space
from .outlierness import Reference, normality


@dataclass(frozen=True)
class IsolationForestOutliers:
    """Minus the anomaly score: rows that are isolated by few cuts come lowest, called harmful.

    It knows nothing of the query's labels or of the loss.

    Parameters
    ----------
    trees : how many.
    space : of the cuts: `features`, what the last linear layer gets, or `inputs`.
    reference : the forest is grown on the `query` or on the rows of `train`.
    by_class : one forest a class, on the rows with that label; one for all is blind to labels.

    References
    ----------
    Liu, Ting, Zhou, *Isolation Forest*, ICDM 2008. As a baseline of cleansing: Hara, Nitanda,
    Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.2, whose code grows
    one forest for all classes on the validation rows' features.
    """

    trees: int = 100
    space: Space = "features"
    reference: Reference = "query"
    by_class: bool = True

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        from sklearn.ensemble import IsolationForest

        seed = int(rng.integers(2**31))

        def usual(
            others: Float[Tensor, "m d"], rows: Float[Tensor, "k d"]
        ) -> Float[np.ndarray, " k"]:
            forest = IsolationForest(n_estimators=self.trees, random_state=seed)
            found: np.ndarray = forest.fit(others.cpu().numpy()).score_samples(rows.cpu().numpy())
            return found

        return Influence(normality(problem, self.space, self.reference, self.by_class, usual))

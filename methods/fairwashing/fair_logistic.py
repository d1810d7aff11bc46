"""A score of whole numbers: logistic regression under a fairness constraint, rounded."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.models.base import Capability
from bench.rules.rationalize import Suing
from bench.tasks.fairwashing_problem import Candidate, FairwashingProblem, Rationalization

from .fair_grid import grid
from .regions import answered, truest_first
from .surrogates import ScoreCard


@dataclass(frozen=True)
class FairLogistic:
    """Scores that repeat the black box's decisions, for each multiplier of unfairness.

    fairlearn's grid search, whose models are single ones, see `fair_tree.FairTree`. The largest
    weight of each is scaled to `largest`, all are rounded; candidates are all scores of the grid
    that differ on the rows, the most faithful first. None has an objective of its own.

    Parameters
    ----------
    largest : a weight in the score.
    inverse_penalty : scikit-learn's C, of squared weights.
    points : multipliers in the grid; 61 is symmetric, for one gap and for two.
    limit : the largest multiplier.

    References
    ----------
    Agarwal, Beygelzimer, Dudik, Langford, Wallach, *A Reductions Approach to Fair
    Classification*, ICML 2018, Sec. 3.4.
    """

    largest: int = 10
    inverse_penalty: float = 1.0
    points: int = 61
    limit: float = 0.7

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()
    imports: ClassVar[tuple[str, ...]] = ("fairlearn.reductions", "sklearn.linear_model")

    def explain(self, problem: FairwashingProblem, *, rng: np.random.Generator) -> Rationalization:
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(C=self.inverse_penalty, max_iter=1000)

        def found(suing: Suing) -> list[Candidate]:
            fitted = grid(suing, problem.measure, regression, self.points, self.limit)
            scores = (rounded(one, self.largest, suing.values.shape[1]) for one in fitted)
            return truest_first((Candidate(score, score.size) for score in scores), suing)

        return answered(problem, found)


def rounded(fitted: Any, largest: int, columns: int) -> ScoreCard:
    """scikit-learn's regression as a score, or its constant where all rows had one label."""
    if not hasattr(fitted, "coef_") or not fitted.coef_.any():
        label = int(fitted.predict(np.zeros((1, columns)))[0])
        return ScoreCard(np.zeros(columns, dtype=np.int64), 2 * label - 1)
    numbers = np.append(fitted.coef_[0], fitted.intercept_[0])
    *weights, offset = np.rint(largest / np.abs(fitted.coef_).max() * numbers).astype(np.int64)
    return ScoreCard(np.array(weights), int(offset))

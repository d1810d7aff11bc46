"""Data-OOB: how often trees that never saw a row give it its label."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence

from .features import Space, represented


@dataclass(frozen=True)
class DataOOB:
    """The share of a bag's trees, of those that didn't draw the row, that predict its label.

    Each tree is grown on as many rows as there are, drawn with replacement, so a row is out of
    the bag of about 37 % of them. Few right predictions = harmful. It knows nothing of the query,
    and of the model its features alone, where they are asked for. A row that every tree drew has
    the mean of the others.

    Parameters
    ----------
    trees : how many.
    space : what the trees split: `inputs`, or `features`, what the last linear layer gets.

    References
    ----------
    Kwon, Zou, *Data-OOB: Out-of-bag Estimate as a Simple and Efficient Data Value*, ICML 2023,
    Eq. 1.
    """

    trees: int = 300
    space: Space = "inputs"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.trees < 1:
            raise ValueError(f"trees={self.trees}: wanted at least 1")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        from sklearn.tree import DecisionTreeClassifier

        inputs = represented(problem.model, problem.train.inputs, self.space).cpu().numpy()
        targets = problem.train.targets.cpu().numpy()
        n = len(inputs)
        right, asked = np.zeros(n), np.zeros(n)
        for draws in rng.multinomial(n, np.full(n, 1 / n), size=self.trees):
            inside = np.flatnonzero(draws)
            tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31)))
            tree.fit(inputs[inside], targets[inside], sample_weight=draws[inside])
            outside = np.flatnonzero(draws == 0)
            if outside.size:
                right[outside] += tree.predict(inputs[outside]) == targets[outside]
                asked[outside] += 1
        known = asked > 0
        shares = right / np.maximum(asked, 1)
        return Influence(np.where(known, shares, shares[known].mean() if known.any() else 0.0))

"""Rashomon: the set of nearly optimal Lasso models, and the models that stand for it.

Hara, Maehara, *Convex Hull Approximation of Nearly Optimal Lasso Solutions*, PRICAI 2019.
The types that methods and scores agree on.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class RashomonProblem:
    """B(nu) = {beta : L(beta) <= nu}, L(beta) = |X beta - y|^2 / 2n + rho |beta|_1.

    Attributes
    ----------
    inputs : X, standardised. targets : y, centred.
    rho : weight of the penalty. nu : the loss that is still good enough.
    size : K, how many models may stand for the set.
    """

    inputs: Float[np.ndarray, "n p"]
    targets: Float[np.ndarray, " n"]
    rho: float
    nu: float
    size: int

    def loss(self, models: Float[np.ndarray, "k p"]) -> Float[np.ndarray, " k"]:
        """L of each model."""
        residuals = models @ self.inputs.T - self.targets
        fit = (residuals**2).sum(axis=1) / (2 * len(self.targets))
        losses: np.ndarray = fit + self.rho * np.abs(models).sum(axis=1)
        return losses


@dataclass(frozen=True)
class ModelSet:
    """Models whose convex hull stands for B(nu), the most telling first.

    Attributes
    ----------
    coefficients : one model a row.
    """

    coefficients: Float[np.ndarray, "k p"]

"""Representer points: the last layer's scores taken apart into one term a training row."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from bench.models.base import Capability
from bench.models.representation import penultimate
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class RepresenterPoints:
    """Change of the query's loss, to first order, when a row's term leaves the query's scores.

    The last layer (bias included) is trained anew to the minimum W of its mean loss plus
    damping |W|^2. There W f = sum_j alpha_j <f_j, f> with alpha_j = - r_j / (2 damping n), r_j
    the probabilities of row j minus its one-hot label and f_j its features; the value of a row
    is the query's mean of <r, r_j> <f_j, f> / (2 damping n). Negative = harmful.

    Parameters
    ----------
    damping : of the penalty.
    iterations : of L-BFGS, at most.

    References
    ----------
    Yeh, Kim, Yen, Ravikumar, *Representer Point Selection for Explaining Deep Neural Networks*,
    NeurIPS 2018, Theorem 3.1. (The paper ranks by one class' term; the loss of the query is the
    same for all classes.)
    """

    damping: float = 0.003
    iterations: int = 1000

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if self.damping <= 0:
            raise ValueError(f"damping={self.damping}: wanted more than 0")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        train, query = problem.train, problem.validation
        features, asked = (
            _with_one(penultimate(problem.model.module, samples.inputs).double().cpu().numpy())
            for samples in (train, query)
        )
        targets, wanted_of = (part.targets.cpu().numpy() for part in (train, query))
        weights = refit(features, targets, train.n_classes, self.damping, self.iterations)
        residuals = _residuals(features @ weights.T, targets)
        wanted = _residuals(asked @ weights.T, wanted_of).T @ asked / len(query)
        products = np.einsum("nc,cd,nd->n", residuals, wanted, features)
        return Influence(products / (2 * self.damping * len(train)))


def refit(
    features: Float[np.ndarray, "n d"],
    targets: Int[np.ndarray, " n"],
    n_classes: int,
    damping: float,
    iterations: int = 1000,
) -> Float[np.ndarray, "c d"]:
    """The minimum of the mean cross-entropy plus damping |W|^2, which is strictly convex."""

    def loss(flat: Float[np.ndarray, " cd"]) -> tuple[float, Float[np.ndarray, " cd"]]:
        weights = flat.reshape(n_classes, -1)
        scores = features @ weights.T
        fit = -log_softmax(scores, axis=1)[np.arange(len(targets)), targets].mean()
        slope = _residuals(scores, targets).T @ features / len(targets) + 2 * damping * weights
        return float(fit + damping * (flat**2).sum()), slope.ravel()

    start = np.zeros(n_classes * features.shape[1])
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 1e-8}
    found: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return found.reshape(n_classes, -1)


def _residuals(
    scores: Float[np.ndarray, "n c"], targets: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n c"]:
    found: np.ndarray = softmax(scores, axis=1) - np.eye(scores.shape[1])[targets]
    return found


def _with_one(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n e"]:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)

"""Selective classification: a logistic regression decides where it is surest of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.models.base import Capability
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class Surest:
    """A linear model's rows in tiers, those that it is surest of first.

    It takes rows over as a rule list does, but no tier is a conjunction that one could read.

    Attributes
    ----------
    weights, offsets : of each label's logit; a literal counts 1 where it holds.
    labels : in their order.
    thresholds : of each tier, falling: the largest probability of a label is at least that.
    """

    weights: Float[np.ndarray, "d labels"]
    offsets: Float[np.ndarray, " labels"]
    labels: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.thresholds)

    @property
    def literals(self) -> tuple[int, ...]:
        """Those with a weight."""
        return tuple(np.flatnonzero(self.weights.any(axis=1)).tolist())

    def chances(self, values: Bool[np.ndarray, "n d"]) -> Float[np.ndarray, "n labels"]:
        """The probability of each label."""
        logits = values @ self.weights + self.offsets
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return chances

    def decided_by(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The tier of each row, -1 where the model isn't sure enough for any."""
        confidence = self.chances(values).max(axis=1)
        tier = (confidence[:, None] < np.array(self.thresholds)).sum(axis=1)
        return np.where(tier < len(self), tier, -1)

    def predict(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The most probable label of each row, -1 where it isn't decided."""
        likeliest = np.array(self.labels)[self.chances(values).argmax(axis=1)]
        return np.where(self.decided_by(values) >= 0, likeliest, -1)

    def texts(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """Such as `confidence >= 0.914`."""
        return [f"confidence >= {threshold:.3g}" for threshold in self.thresholds]


@dataclass(frozen=True)
class SelectiveClassification:
    """What a partner that can't be read would make of the same literals: a control.

    A logistic regression takes the rows over, a tier of equally many training rows at a time,
    in the order of its own confidence; it knows nothing of the black box. How many tiers there
    are before the black box or the default rule is chosen by the problem's objective, in which
    one costs as much as a rule.

    Parameters
    ----------
    tiers : that all training rows are parted in.
    strength : how little the weights are held back, scikit-learn's C.

    References
    ----------
    Chow, *On Optimum Recognition Error and Reject Tradeoff*, IEEE Transactions on Information
    Theory 16, 1970. El-Yaniv, Wiener, *On the Foundations of Noise-free Selective
    Classification*, JMLR 11, 2010.
    """

    tiers: int = 10
    strength: float = 1.0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()
    imports: ClassVar[tuple[str, ...]] = ("sklearn.linear_model",)

    def __post_init__(self) -> None:
        for name in ("tiers", "strength"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> Surest:
        weights, offsets, labels = _regressed(problem, self.strength)
        confidence = Surest(weights, offsets, labels, ()).chances(problem.train.literals.values)
        thresholds = _thresholds(confidence.max(axis=1), self.tiers)
        prefixes = (thresholds[:m] for m in range(len(thresholds) + 1))
        partners = [Surest(weights, offsets, labels, prefix) for prefix in prefixes]
        return max(partners, key=problem.value)


def _regressed(
    problem: CompanionProblem, strength: float
) -> tuple[Float[np.ndarray, "d labels"], Float[np.ndarray, " labels"], tuple[int, ...]]:
    """Weights of all literals, offsets, and the labels that training rows have."""
    from sklearn.linear_model import LogisticRegression

    values, labels = problem.train.literals.values, problem.train.labels
    present = tuple(np.unique(labels).tolist())
    weights, offsets = np.zeros((values.shape[1], len(present))), np.zeros(len(present))
    if len(present) > 1:
        # Every second literal: the others are their negations.
        fitted = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000)
        fitted.fit(values[:, ::2], labels)
        # Of two labels there is one logit, the second's.
        weights[::2, -len(fitted.coef_) :] = fitted.coef_.T
        offsets[-len(fitted.coef_) :] = fitted.intercept_
    return weights, offsets, present


def _thresholds(confidence: Float[np.ndarray, " n"], tiers: int) -> tuple[float, ...]:
    """Midway between rows' values, so that a tier holds its share of them; the last is 0."""
    distinct, counts = np.unique(confidence.round(9), return_counts=True)
    distinct, shares = distinct[::-1], np.cumsum(counts[::-1]) / len(confidence)
    ends = np.unique(np.searchsorted(shares, np.arange(1, tiers) / tiers - 1e-9))
    ends = ends[ends + 1 < len(distinct)]
    return (*((distinct[ends] + distinct[ends + 1]) / 2).tolist(), 0.0)

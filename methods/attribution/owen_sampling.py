"""Shapley values by sampling the multilinear extension."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from bench.models.base import Capability
from bench.setfunction.table import SetFunction
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class OwenSampling:
    """What deleting a feature takes from F, the mean over random sets of the others.

    A set holds each feature with probability q, and the mean is over all q from 0 to 1, which
    makes it the Shapley value. Sets come in pairs, one with q in [0, 1/2] and its complement,
    which is one with 1 - q. The paper's q are equally spaced, which biases the mean; here each
    pair draws its q from a stratum of its own. All instances share the sets.

    Parameters
    ----------
    samples : values asked an instance, about: samples / (p + 1) sets, at least a pair.

    References
    ----------
    Owen, *Multilinear Extensions of Games*, Management Science 1972 (the integral).
    Okhrati, Lipani, *A Multilinear Sampling Algorithm to Estimate Shapley Values*, ICPR 2020
    (the halved algorithm).
    """

    samples: int = 500

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}: wanted at least 1")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        pairs = max(1, self.samples // (2 * (problem.p + 1)))
        sets = halved_sets(problem.p, pairs, rng=rng)
        return Attribution(marginal_contributions(problem.value, sets))


def halved_sets(p: int, pairs: int, *, rng: np.random.Generator) -> Bool[np.ndarray, "m p"]:
    """Sets that hold each feature with a probability from 0 to 1/2, and their complements."""
    q = (np.arange(pairs) + rng.random(pairs)) / (2 * pairs)
    drawn = rng.random((pairs, p)) < q[:, None]
    return np.concatenate([drawn, ~drawn])


def marginal_contributions(
    value: SetFunction, sets: Bool[np.ndarray, "m p"]
) -> Float[np.ndarray, "n p"]:
    """F of a set without each feature less F with it, the mean over sets: m (p + 1) values."""
    m, p = sets.shape
    changed = sets[:, None] ^ np.eye(p, dtype=bool)
    found = value(np.concatenate([sets, changed.reshape(-1, p)]))
    rise = found[:, m:].reshape(-1, m, p) - found[:, :m, None]
    mean: np.ndarray = np.where(sets, rise, -rise).mean(axis=1)
    return mean

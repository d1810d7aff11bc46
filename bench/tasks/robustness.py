"""Robustness: what an attack does to an explanation, and what a defence leaves of it.

The methods are those of the attribution task, the attack and the defence are in the setting:
the task's `adapt` makes the attacked case for each method, `scores` gets the honest and the
attacked explanation. The types that attacks, detectors and defences agree on.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from bench.models.base import Model
from bench.tasks.attribution import AttributionProblem


@dataclass(frozen=True)
class AttackedProblem:
    """The honest problem and the one that the attack puts in its place.

    Attributes
    ----------
    honest, attacked : the same instances and partition; the attack may have changed the model,
        the inputs or the background.
    fidelity : share of the honest test decisions that the attacked model still makes.
    """

    honest: AttributionProblem
    attacked: AttributionProblem
    fidelity: float


@runtime_checkable
class Sampler(Protocol):
    """What a sampling explainer offers, so that an attack can adapt to it unimported."""

    def sampler(
        self, problem: AttributionProblem, *, rng: np.random.Generator
    ) -> Float[Tensor, "m *features"]:
        """Inputs at which `explain` would ask the model."""
        ...


@runtime_checkable
class Attack(Protocol):
    """Changes a problem so that a method's explanation of it misleads."""

    def attack(
        self, problem: AttributionProblem, method: Any, *, rng: np.random.Generator
    ) -> AttackedProblem:
        """The attacked problem, adapted to `method`."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Says how suspicious each query is; larger is more suspicious."""

    def detect(
        self, model: Model, inputs: Float[Tensor, "n *features"], *, rng: np.random.Generator
    ) -> Float[np.ndarray, " n"]:
        """One number a row."""
        ...


@runtime_checkable
class Defence(Protocol):
    """Keeps queries that a detector trusts."""

    def keep(
        self, model: Model, inputs: Float[Tensor, "n *features"], *, rng: np.random.Generator
    ) -> Bool[np.ndarray, " n"]:
        """Which rows may be used for the explanation."""
        ...

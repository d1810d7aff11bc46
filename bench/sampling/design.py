"""Designs: how a sample of rows comes to be published."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from bench.sampling.draw import case_control, honest, pivotal, successive, systematic
from bench.sampling.plan import Plan

Rule = Literal["pivotal", "systematic", "successive"]


@runtime_checkable
class Design(Protocol):
    """Draws a sample, each time anew."""

    @property
    def inclusion(self) -> Float[np.ndarray, " n"]:
        """How likely each row is to be published, as planned."""
        ...

    def draw(self, *, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        """Rows of the population, ascending, each at most once."""
        ...


@dataclass(frozen=True)
class Weighted:
    """Rows by their planned probabilities, see `bench.sampling.draw` for the rules."""

    plan: Plan
    rule: Rule = "pivotal"

    @property
    def inclusion(self) -> Float[np.ndarray, " n"]:
        """K nu; the rule `successive` keeps to it roughly."""
        return self.plan.inclusion

    def draw(self, *, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        if self.rule == "successive":
            return successive(self.plan.weights, int(self.plan.wanted.sum()), rng=rng)
        return (pivotal if self.rule == "pivotal" else systematic)(self.plan, rng=rng)


@dataclass(frozen=True)
class PerBin:
    """As many rows of each bin as wanted, all rows of a bin alike."""

    bins: Int[np.ndarray, " n"]
    wanted: Int[np.ndarray, " bins"]

    @property
    def inclusion(self) -> Float[np.ndarray, " n"]:
        """A bin's wanted rows over its rows."""
        sizes = np.bincount(self.bins, minlength=len(self.wanted))
        found: np.ndarray = (self.wanted / np.maximum(sizes, 1))[self.bins]
        return found

    def draw(self, *, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        return case_control(self.bins, self.wanted, rng=rng)


@dataclass(frozen=True)
class Simple:
    """Any `size` of n rows, all alike."""

    n: int
    size: int

    @property
    def inclusion(self) -> Float[np.ndarray, " n"]:
        """The same for all."""
        return np.full(self.n, self.size / self.n)

    def draw(self, *, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        return honest(self.n, self.size, rng=rng)

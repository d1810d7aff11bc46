"""A task's tiny problem, changed in ways whose effect on the answer is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from bench.data import Samples
from bench.models.given import BlackBox
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.scores.rank_agreement import auc
from bench.tasks.cleansing import CleansingProblem, Influence

Values = np.ndarray
"""An explanation in numbers: two explanations say the same where these are equal."""

Back = Callable[[Values], Values]
"""From the values of a reordered problem to those of the problem itself."""

Truth = tuple[Any, Callable[[Any], float], float]
"""A problem, how far an explanation of it agrees with the truth, and how far it must."""


@runtime_checkable
class Probe(Protocol):
    """What is known of a task's problems; None where the task has nothing of the kind."""

    def wrong(self, problem: Any, explanation: Any) -> str | None:
        """What is wrong with the explanation's type, shape or numbers."""
        ...

    def values(self, problem: Any, explanation: Any) -> Values:
        """The explanation in numbers."""
        ...

    def reordered(self, problem: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Back]]:
        """The same problem with features or rows in another order."""
        ...

    def first_rows(self, problem: Any) -> Any | None:
        """The first of the instances to be explained, alone."""
        ...

    def constant(self, problem: Any) -> Any | None:
        """The problem with a model that says the same of everything."""
        ...

    def black_box(self, problem: Any) -> Any | None:
        """The problem with a model that offers margins and nothing else."""
        ...

    def truth(self) -> Truth | None:
        """A problem whose answer is known beforehand."""
        ...


def plain(model: Any) -> BlackBox:
    """The same margins, from a model that shows nothing else."""
    return BlackBox(lambda inputs: model.margins(inputs).detach(), model.n_classes)


@dataclass(frozen=True)
class CleansingProbe:
    """Training rows in another order, and wrong labels that are known."""

    def wrong(self, problem: CleansingProblem, explanation: Any) -> str | None:
        if not isinstance(explanation, Influence):
            return f"wanted an Influence, not {type(explanation).__name__}"
        return _wrong_array(explanation.values, (len(problem.train),))

    def values(self, problem: CleansingProblem, explanation: Influence) -> Values:
        return explanation.values

    def reordered(
        self, problem: CleansingProblem, rng: np.random.Generator
    ) -> Iterator[tuple[CleansingProblem, Back]]:
        """Training rows dealt anew to the same batches, so that the run of SGD is the same."""
        order = rng.permutation(len(problem.train))
        place = torch.as_tensor(np.argsort(order))
        train, old = problem.train.rows(order), problem.trajectory
        schedule = replace(old.schedule, batches=tuple(place[b] for b in old.schedule.batches))
        run = replace(old, objective=replace(old.objective, samples=train), schedule=schedule)
        model = replace(problem.model, trajectory=run)  # type: ignore[type-var]
        yield replace(problem, model=model, train=train), lambda values: values[place.numpy()]

    def first_rows(self, problem: CleansingProblem) -> None:
        return None

    def constant(self, problem: CleansingProblem) -> None:
        return None

    def black_box(self, problem: CleansingProblem) -> CleansingProblem:
        return replace(problem, model=plain(problem.model))

    def truth(self) -> Truth:
        """Two clouds far apart; the 4 of 32 rows with a wrong label should come out lowest."""
        rng = np.random.default_rng(0)
        targets = np.arange(64) % 2
        inputs = rng.normal(size=(64, 3)) + 4 * (targets[:, None] - 0.5)
        flipped = np.arange(32) < 4
        labels = np.where(np.arange(64) < 4, 1 - targets, targets)
        samples = Samples(torch.tensor(inputs).float(), torch.tensor(labels), 2)
        train, query = samples.rows(np.arange(32)), samples.rows(np.arange(32, 64))
        model = SGD(MLP(), epochs=5, batch_size=8).fit(train, rng=rng)
        problem = CleansingProblem(model, train, query)
        return problem, lambda explanation: auc(-explanation.values, flipped), 0.9


def _wrong_array(values: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return f"wanted an array of real numbers, not {type(values).__name__}"
    if values.shape != shape:
        return f"wanted the shape {shape}, not {values.shape}"
    return None if np.isfinite(values).all() else "some values aren't finite"


PROBES: dict[str, Probe] = {"cleansing": CleansingProbe()}
"""By the task's name."""

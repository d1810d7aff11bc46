"""TracIn: what each row's steps did to the query's loss, summed over moments of the training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.base import Capability
from bench.models.influence import query_gradient, row_products
from bench.models.trajectory import Objective, Trajectory
from bench.tasks.cleansing import CleansingProblem, Influence

from .row_gradients import all_products


@dataclass(frozen=True)
class TracIn:
    """sum over moments of rate <grad of the query's loss, grad l_j>, both at that moment.

    A step of SGD on row j lowers the query's loss by this much, to first order; without the row
    the loss is higher: negative = harmful. Unlike SGD-influence it takes the query's gradient as
    it was then, and so forgets what later steps did to the effect of earlier ones.

    Parameters
    ----------
    moments : `epochs`, the end of each epoch, for all rows, with that epoch's mean rate and the
        divisor of a mean batch (TracInCP of the paper), on inputs as they are; `steps`, every
        step for the rows in it, with its rate and divisor, augmented as they were then (the
        paper's idealised TracIn).

    References
    ----------
    Pruthi, Liu, Kale, Sundararajan, *Estimating Training Data Influence by Tracing Gradient
    Descent*, NeurIPS 2020, Sec. 3.
    """

    moments: Literal["epochs", "steps"] = "epochs"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        objective = problem.trajectory.objective
        values = problem.trajectory.final.new_zeros(len(problem.train))
        if self.moments == "steps":
            for t, (flat, rows, rate) in countdown(problem.trajectory):
                seen = as_seen(objective, rows, t // problem.trajectory.schedule.steps_per_epoch)
                query = query_gradient(objective, flat, problem.validation)
                every = torch.arange(len(rows), device=rows.device)
                products = row_products(seen, flat, every, query)
                values[rows] += rate / len(rows) * products
        else:
            for flat, rate in checkpoints(problem.trajectory):
                query = query_gradient(objective, flat, problem.validation)
                values += rate * all_products(objective, flat, query)
        return Influence.of(values)


def countdown(
    trajectory: Trajectory,
) -> Iterator[tuple[int, tuple[Float[Tensor, " p"], Int[Tensor, " b"], float]]]:
    """(t, (theta[t], S_t, rate_t)) from the last step to the first."""
    return zip(reversed(range(len(trajectory.schedule))), trajectory.backwards(), strict=True)


def as_seen(objective: Objective, rows: Int[Tensor, " b"], epoch: int) -> Objective:
    """The objective of `rows` alone, augmented as training saw them in that epoch."""
    samples = objective.samples
    inputs = objective.inputs(rows, epoch)
    shown = Samples(inputs, samples.targets[rows], samples.n_classes)
    return replace(objective, samples=shown, augmentation=None)


def checkpoints(trajectory: Trajectory) -> Iterator[tuple[Float[Tensor, " p"], float]]:
    """Parameters at the end of each epoch, and the epoch's rates summed and divided by n.

    A row is in one batch of an epoch, of n / steps rows on average, so that its visits of an
    epoch weigh mean rate / (n / steps).
    """
    schedule, n = trajectory.schedule, len(trajectory.objective.samples)
    for end in range(schedule.steps_per_epoch, len(schedule) + 1, schedule.steps_per_epoch):
        rates = schedule.rates[end - schedule.steps_per_epoch : end]
        yield trajectory.at(end).theta[0], sum(rates) / n

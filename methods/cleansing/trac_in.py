"""TracIn: what each row's steps did to the query's loss, summed over moments of the training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.influence import query_gradient, row_products
from bench.models.trajectory import Trajectory
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
        divisor of a mean batch (TracInCP of the paper); `steps`, every step for the rows in it,
        with its rate and divisor (the paper's idealised TracIn).

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
        values = torch.zeros(len(problem.train), dtype=problem.trajectory.final.dtype)
        if self.moments == "steps":
            for flat, rows, rate in problem.trajectory.backwards():
                query = query_gradient(objective, flat, problem.validation)
                values[rows] += rate / len(rows) * row_products(objective, flat, rows, query)
        else:
            for flat, rate in checkpoints(problem.trajectory):
                query = query_gradient(objective, flat, problem.validation)
                values += rate * all_products(objective, flat, query)
        return Influence(values.double().numpy())


def checkpoints(trajectory: Trajectory) -> Iterator[tuple[Float[Tensor, " p"], float]]:
    """Parameters at the end of each epoch, and the epoch's rates summed and divided by n.

    A row is in one batch of an epoch, of n / steps rows on average, so that its visits of an
    epoch weigh mean rate / (n / steps).
    """
    schedule, n = trajectory.schedule, len(trajectory.objective.samples)
    for end in range(schedule.steps_per_epoch, len(schedule) + 1, schedule.steps_per_epoch):
        rates = schedule.rates[end - schedule.steps_per_epoch : end]
        yield trajectory.at(end).theta[0], sum(rates) / n

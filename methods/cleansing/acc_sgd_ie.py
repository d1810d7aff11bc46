"""Each row's push on the parameters followed forward through all epochs, its own Hessian out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bench.models.base import Capability
from bench.models.chain import Chain
from bench.models.influence import changes, leave_one_out_flops, query_gradient
from bench.models.optimiser import PLAIN
from bench.models.trajectory import Objective, Trajectory
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class AccSGDIE:
    """delta_j, about theta_-j - theta, linear in theta and exact in the weight of row j.

    delta_j <- delta_j - (rate / |S|) sum_{i in S, i != j} H_i delta_j, and where j is in S also
    + (rate / |S|) grad l_j. SGD-influence is the same with H_j left in. It costs more than the
    true leave-one-out, all runs in one batch: a row to compare with, not to use.

    Parameters
    ----------
    read_out : `loss` for the query's loss at theta + delta_j minus that at theta, `linear` for
        the product of delta_j and the query's gradient.
    flops : floating-point operations that may be spent.

    References
    ----------
    Shi, Yang, Su, Zhang, Xu, *Accumulative SGD Influence Estimation for Data Attribution*, arXiv
    2510.26185, 2025. The recursion is derived from its idea; the read-out by the loss: earnest.
    """

    read_out: Literal["loss", "linear"] = "loss"
    flops: float = 3e11

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        trajectory = problem.trajectory
        _chain(trajectory)
        wanted = 2 * leave_one_out_flops(trajectory)
        if wanted > self.flops:
            raise Unsupported(f"takes {wanted:.1g} floating-point operations, over {self.flops:g}")
        moved, objective = shifts(trajectory), trajectory.objective
        if self.read_out == "linear":
            values = moved @ query_gradient(objective, trajectory.final, problem.validation)
        else:
            stack = trajectory.final + torch.cat([torch.zeros_like(moved[:1]), moved])
            values = changes(objective, stack, problem.validation)
        return Influence.of(values)


def shifts(trajectory: Trajectory) -> Float[Tensor, "n_train p"]:
    """delta_j of every row at the end of the run."""
    objective, schedule = trajectory.objective, trajectory.schedule
    chain = _chain(trajectory)
    n, decay = len(objective.samples), objective.weight_decay
    deltas = trajectory.final.new_zeros(n, len(trajectory.final))
    for t, theta in enumerate(_thetas(trajectory)):
        rows, rate = schedule.batch(t), schedule.rates[t]
        curved = _curved(chain, objective, theta, rows, deltas)
        own, gradients = _own(chain, objective, theta, rows, deltas[rows])
        # What the rows of the batch have of their own, the penalty's part included.
        own = own + gradients + decay / len(rows) * (deltas[rows] + theta)
        deltas = deltas - rate * (curved + decay * deltas)
        deltas.index_add_(0, rows, own, alpha=rate)
    return deltas


def _chain(trajectory: Trajectory) -> Chain:
    """The network's; `Unsupported` where these derivatives aren't written out."""
    objective = trajectory.objective
    chain = objective.chain
    if chain is None or objective.augmentation is not None or trajectory.optimiser != PLAIN:
        raise Unsupported("needs a chain of linear layers, trained by SGD without augmentation")
    return chain


def _thetas(trajectory: Trajectory) -> Iterator[Float[Tensor, " p"]]:
    """theta[0], theta[1], ..., before each step."""
    if trajectory.stride == 1:
        yield from trajectory.snapshots[:-1]
        return
    for stretch in reversed(list(trajectory.stretches())):
        yield from stretch.thetas[:-1]


def _curved(
    chain: Chain, objective: Objective, theta: Tensor, rows: Tensor, deltas: Tensor
) -> Float[Tensor, "n_train p"]:
    """(1 / |S|) sum_{i in S} H_i delta_j of every row j, without the penalty."""
    samples, b = objective.samples, len(rows)
    inputs, shares = samples.inputs[rows].flatten(1).T, theta.new_full((1, b), 1 / b)
    tape = chain.tape(theta[None], inputs[None], samples.targets[rows][None], shares)
    objective.calls.forward += b * len(deltas)
    objective.calls.backward += b * len(deltas)
    return tape.expand(len(deltas)).product(deltas)[1]


def _own(
    chain: Chain, objective: Objective, theta: Tensor, rows: Tensor, deltas: Tensor
) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"]]:
    """H_j delta_j / |S| and grad l_j / |S| of each row j of the batch, without the penalty."""
    samples, b = objective.samples, len(rows)
    inputs, shares = samples.inputs[rows].flatten(1)[:, :, None], theta.new_full((b, 1), 1 / b)
    tape = chain.tape(theta.expand(b, -1), inputs, samples.targets[rows][:, None], shares)
    return tape.product(deltas)[1], tape.gradients()

"""Where the error of SGD-influence comes from.

From the truth to the estimate one simplification is made after the other, and each is measured:
the loss is taken for linear, a row is removed from one epoch at a time, a step is taken for
linear in the row's weight, curvature is left out.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.influence import changes, query_gradient, sgd_influence, without_each
from bench.models.trajectory import Trajectory

Values = Float[np.ndarray, " n"]

PARTS = ("read_out", "cross_epoch", "step", "curvature")


@dataclass(frozen=True)
class ErrorSplit:
    """The same change of the query's loss, from the truth to its simplest estimate.

    Attributes
    ----------
    truth : without each row.
    read_out : <u, theta_-j[T] - theta[T]>: of the truth's parameters by the query's gradient u,
        the best that any linear method could say.
    by_epoch : the sum of the same over runs that leave the row out of a single epoch: what it
        does to its own later visits is lost.
    linear : SGD-influence: each visit's push carried on by the curvature of the recorded run.
        What differs from `by_epoch` is the second order of a step and, with kinks, jumps.
    flat : SGD-influence without the Hessian.
    """

    truth: Values
    read_out: Values
    by_epoch: Values
    linear: Values
    flat: Values

    def parts(self) -> dict[str, float]:
        """Each simplification's share in the relative error |truth - flat| / |truth|.

        They add up to it: of the part's vector what lies along the whole error counts. A part
        that makes up for another is negative.
        """
        steps = (self.truth, self.read_out, self.by_epoch, self.linear, self.flat)
        return self._along(steps, PARTS)

    def parts_of_linear(self) -> dict[str, float]:
        """The same for |truth - linear| / |truth|, the error of SGD-influence itself."""
        return self._along((self.truth, self.read_out, self.by_epoch, self.linear), PARTS[:3])

    def _along(self, steps: tuple[Values, ...], names: tuple[str, ...]) -> dict[str, float]:
        error = steps[0] - steps[-1]
        length = max(float(np.linalg.norm(error)), np.finfo(float).tiny)
        size = max(float(np.linalg.norm(self.truth)), np.finfo(float).tiny)
        pairs = zip(steps[:-1], steps[1:], strict=True)
        return {
            name: float((before - after) @ error / length / size)
            for name, (before, after) in zip(names, pairs, strict=True)
        }


def split_error(
    trajectory: Trajectory, query: Samples, rows: Int[np.ndarray, " n"] | None = None
) -> ErrorSplit:
    """Train again without each of `rows`, and without each in each epoch: about E / 2 + 2
    times as much work as the first alone.

    Parameters
    ----------
    rows : all unless given.
    """
    objective, final = trajectory.objective, trajectory.final
    n, per_epoch = len(objective.samples), trajectory.schedule.steps_per_epoch
    chosen = torch.arange(n) if rows is None else torch.from_numpy(rows)
    direction = query_gradient(objective, final, query)
    keep = without_each(chosen, n)

    def read(finals: Float[Tensor, "m_plus_1 p"]) -> Float[Tensor, " m"]:
        moved = finals @ direction
        return moved[1:] - moved[0]

    finals, starts = trajectory.retrain(keep), range(0, len(trajectory.schedule), per_epoch)
    epochs = (trajectory.retrain(keep, start, start + per_epoch) for start in starts)
    found = (
        changes(objective, finals, query),
        read(finals),
        torch.stack([read(of_epoch) for of_epoch in epochs]).sum(0),
        sgd_influence(trajectory, direction)[chosen],
        sgd_influence(trajectory, direction, "none")[chosen],
    )
    return ErrorSplit(*(values.double().cpu().numpy() for values in found))

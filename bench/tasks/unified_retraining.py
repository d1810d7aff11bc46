"""What training again without some rows does to the predictions at the query points."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.base import Model
from bench.models.influence import without_each
from bench.models.network import as_margins
from bench.models.retrained import retrained
from bench.scores.retraining import removal_counts

MODELS = 256
"""Models trained again at once: their parameters are in memory together."""


def grid(percent: float, steps: int, n: int) -> tuple[int, ...]:
    """So many counts of removed rows, about equally far apart, from 0 to K, a percentage of n.

    Raises
    ------
    ValueError
        where K is 0, or leaves no row.
    """
    counts = removal_counts(tuple(percent * np.arange(1, steps + 1) / steps), n)
    k = round(percent / 100 * n)
    if not 0 < k < n:
        raise ValueError(
            f"removed={percent:g}: {percent:g} % of {n} training rows are {k}, wanted at least 1 "
            "and fewer than there are"
        )
    return counts


@dataclass(frozen=True)
class Retraining:
    """f_c(x) of each query point after training without some rows.

    Attributes
    ----------
    model : with a recorded run it is trained again along that run, same start, order and rates,
        many at once; without one, as a forest, in the same way and with the same seed.
    inputs, targets : the query points and c, the class of each that the full model predicts.
    train : the training rows.
    counts : of removed rows, rising from 0 to K, at which an order is looked at.
    """

    model: Model
    inputs: Float[Tensor, "n *features"]
    targets: Int[Tensor, " n"]
    train: Samples
    counts: tuple[int, ...]

    @property
    def n_train(self) -> int:
        """How many training rows there are."""
        return len(self.train)

    def probabilities(self, keep: Bool[np.ndarray, "m n_train"]) -> Float[np.ndarray, "m n"]:
        """f_c(x) of each query point by the model trained on the kept rows alone.

        What is asked twice is trained once.
        """
        _, first, place = np.unique(
            np.packbits(keep, axis=1), axis=0, return_index=True, return_inverse=True
        )
        parts = torch.from_numpy(keep[first]).split(MODELS)
        found = torch.cat([self._probabilities(part) for part in parts])
        return found.numpy()[place.reshape(-1)]

    def curves(self, heads: Int[np.ndarray, "n o K"]) -> Float[np.ndarray, "n o levels"]:
        """G along o orders of each query point, of which the first K rows are given."""
        n, orders, _ = heads.shape
        keep = np.ones((n, orders, len(self.counts), self.n_train), dtype=bool)
        for level, count in enumerate(self.counts):
            np.put_along_axis(keep[:, :, level], heads[..., :count], False, axis=-1)
        return self._own(keep.reshape(n, -1, self.n_train)).reshape(n, orders, -1)

    def drops(self) -> Float[np.ndarray, "n n_train"]:
        """What f_c(x) loses without each row alone: the largest are the strongest supporters."""
        found = self.probabilities(without_each(torch.arange(self.n_train), self.n_train).numpy())
        drops: np.ndarray = (found[0] - found[1:]).T
        return drops

    def brought(
        self, heads: Int[np.ndarray, "n K"], rows: Int[np.ndarray, "n m"]
    ) -> Float[np.ndarray, "n n_train"]:
        """What each of `rows` takes from f_c(x) beside the others in the head of its order.

        -inf for all other rows.
        """
        n, m = rows.shape
        without = np.ones((n, self.n_train), dtype=bool)
        np.put_along_axis(without, heads, False, axis=1)
        kept = np.take_along_axis(without, rows, axis=1)
        keep = np.repeat(without[:, None], m + 1, axis=1)
        keep[np.arange(n)[:, None], np.arange(1, m + 1), rows] = ~kept
        found = self._own(keep)
        change = found[:, 1:] - found[:, :1]
        brought = np.full((n, self.n_train), -np.inf)
        np.put_along_axis(brought, rows, np.where(kept, -change, change), axis=1)
        return brought

    def _own(self, keep: Bool[np.ndarray, "n m n_train"]) -> Float[np.ndarray, "n m"]:
        """f_c(x) of each query point by models of its own; those that are alike share one."""
        n, m, _ = keep.shape
        found = self.probabilities(keep.reshape(n * m, -1)).reshape(n, m, n)
        own: np.ndarray = found[np.arange(n), :, np.arange(n)]
        return own

    def _probabilities(self, keep: Bool[Tensor, "m n_train"]) -> Float[Tensor, "m n"]:
        with torch.no_grad():
            margins = self._margins(keep).double()
        return margins.softmax(-1)[:, torch.arange(len(self.inputs)), self.targets]

    def _margins(self, keep: Bool[Tensor, "m n_train"]) -> Float[Tensor, "m n outputs"]:
        trajectory = self.model.trajectory
        if trajectory is None:
            return torch.stack([again.margins(self.inputs) for again in self.model.retrain(keep)])
        found = trajectory.objective.outputs(retrained(trajectory, keep), self.inputs)
        return as_margins(found, self.model.n_classes)

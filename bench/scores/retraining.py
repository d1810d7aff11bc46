"""What a network gains when rows are removed from its training and it is trained again."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.data import Samples
from bench.models.network import as_margins
from bench.models.retrained import retrained
from bench.models.trajectory import Objective, Trajectory


@dataclass(frozen=True)
class Quality:
    """How `m` models do on held-out rows.

    Attributes
    ----------
    accuracy : share of rows classified rightly. loss : mean loss, without penalty.
    """

    accuracy: Float[np.ndarray, " m"]
    loss: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class Curve:
    """Quality of the models trained without the first `removed[i]` rows of an order.

    Attributes
    ----------
    removed : rising, the first is 0: the model trained on all rows.
    selection : on the rows that choose how many to remove. test : on the rows that score.
    """

    removed: tuple[int, ...]
    selection: Quality
    test: Quality

    @property
    def chosen(self) -> int:
        """Index of the removal with the smallest selection loss, the fewest rows among equals.

        The loss chooses, not the accuracy: on a hundred rows the accuracy of two models
        differs by nothing or by noise.
        """
        return int(np.argmin(self.selection.loss))

    def accuracy_gain(self, i: int) -> float:
        """Change of test accuracy by the `i`-th removal, as a share."""
        return float(self.test.accuracy[i] - self.test.accuracy[0])

    def loss_change(self, i: int) -> float:
        """Change of test loss by the `i`-th removal."""
        return float(self.test.loss[i] - self.test.loss[0])


def removal_counts(percents: tuple[float, ...], n: int) -> tuple[int, ...]:
    """0 and the given percentages of `n` rows, rounded, rising; one row at least stays."""
    return tuple(sorted({0, *(min(round(percent / 100 * n), n - 1) for percent in percents)}))


def without_first(order: Int[np.ndarray, " n"], removed: tuple[int, ...]) -> Bool[Tensor, "m n"]:
    """For each count in `removed`, the rows that stay when the first of `order` go."""
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    return torch.from_numpy(place >= np.array(removed)[:, None])


def removal_curves(
    trajectory: Trajectory,
    orders: tuple[Int[np.ndarray, " n"], ...],
    removed: tuple[int, ...],
    selection: Samples,
    test: Samples,
    *,
    since: int = 0,
) -> tuple[Curve, ...]:
    """A curve for each order of removal, all models trained in one batch.

    Parameters
    ----------
    orders : of the training rows, the first to go comes first.
    removed : how many go, the first count 0; where it is the only one, nothing is trained.
    since : step from which training is repeated: 0 for "Retrain All" of the NeurIPS 2019
        paper, `trajectory.last_epoch` for its "Retrain Last".
    """
    finals = trajectory.final.expand(len(orders), -1)
    if removed != (0,):
        keep = torch.cat([without_first(order, removed) for order in orders])
        finals = retrained(trajectory, keep, since)
    on_selection = quality(trajectory.objective, finals, selection)
    on_test = quality(trajectory.objective, finals, test)
    parts = [slice(k * len(removed), (k + 1) * len(removed)) for k in range(len(orders))]
    return tuple(Curve(removed, _rows(on_selection, part), _rows(on_test, part)) for part in parts)


def quality(objective: Objective, flats: Float[Tensor, "m p"], samples: Samples) -> Quality:
    """Accuracy and mean loss of `m` models on `samples`; the first class wins a tie."""
    accuracies, losses = [], []
    # One model at a time: a stack of them on all test rows would fill the memory.
    for flat in flats.split(1):
        found = objective.outputs(flat, samples.inputs)
        predicted = as_margins(found, samples.n_classes).argmax(-1)
        accuracies.append((predicted == samples.targets).double().mean(1))
        losses.append(objective.loss(found, samples.targets).double().mean(1))
    return Quality(torch.cat(accuracies).cpu().numpy(), torch.cat(losses).cpu().numpy())


def _rows(quality: Quality, part: slice) -> Quality:
    return Quality(quality.accuracy[part], quality.loss[part])

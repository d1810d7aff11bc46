"""SGD-influence: the training run walked back, each row's push on the query summed up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.influence import Hessian, query_gradient, sgd_influence
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class SGDInfluence:
    """Linear influence of each row through all steps of training in which it took part.

    The run may be one of SGD, with momentum or not, or of Adam: the query's gradient goes back
    through the optimiser's own update.

    Parameters
    ----------
    hessian : `exact` carries the query's gradient back through every step's curvature; `none`
        leaves it out; `divided_by_batch` divides it by the batch size once more, as the
        authors' program of Sec. 7.2 does (by the paper's own text, a mistake).
    epochs : only the last so many epochs count (the paper's "last epoch" is 1); all unless given.
    kink_smoothing : beta of a softplus whose second derivative stands for that of each ReLU,
        which autograd takes for 0; not smoothed unless given.

    Raises
    ------
    FloatingPointError
        where the query's gradient overflows on its way back.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019,
    Algorithm 1. Ilyas, Engstrom, *MAGIC: Near-Optimal Data Attribution for Deep Learning*, 2025
    (the same derivative, called a metagradient). The smoothing: earnest.
    """

    hessian: Hessian = "exact"
    epochs: int | None = None
    kink_smoothing: float | None = None

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def __post_init__(self) -> None:
        for name in ("epochs", "kink_smoothing"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value}: wanted more than 0, or nothing")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        trajectory = problem.trajectory
        query = query_gradient(trajectory.objective, trajectory.final, problem.validation)
        values = sgd_influence(
            trajectory,
            query,
            self.hessian,
            epochs=self.epochs,
            kink_smoothing=self.kink_smoothing,
        )
        if not torch.isfinite(values).all():
            raise FloatingPointError(
                "influence grew beyond all numbers on its way back through the run: train for "
                "fewer epochs, at a lower rate, or take epochs=1"
            )
        return Influence.of(values)

"""Outliers of an autoencoder: rows that a narrow network can't give back."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.foreign import seeded

from .outlierness import Reference, normality


@dataclass(frozen=True)
class AutoencoderOutliers:
    """Minus the mean squared error of giving a row's inputs back: the worst are called harmful.

    d - hidden - code - hidden - d with ReLU, trained by Adam. It knows nothing of the query's
    labels or of the loss.

    Parameters
    ----------
    hidden, code : widths.
    steps, batch_size, learning_rate : of the training.
    reference : it is trained on the `query` or on the rows of `train`.
    by_class : one autoencoder a class, on the rows with that label; one for all is blind to
        labels.

    References
    ----------
    Hawkins, He, Williams, Baxter, *Outlier Detection Using Replicator Neural Networks*, DaWaK
    2002. As a baseline of cleansing: Hara, Nitanda, Maehara, *Data Cleansing for Models Trained
    with SGD*, NeurIPS 2019, Sec. 7.2, whose code trains one with convolutions on the validation
    images of all classes.
    """

    hidden: int = 64
    code: int = 8
    steps: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    reference: Reference = "query"
    by_class: bool = True

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        def usual(
            others: Float[Tensor, "m d"], rows: Float[Tensor, "k d"]
        ) -> Float[np.ndarray, " k"]:
            trained = self._trained(others, rng)
            with torch.no_grad():
                errors = (trained(rows) - rows).square().mean(1)
            return np.asarray(-errors.double().cpu().numpy())

        return Influence(normality(problem, "inputs", self.reference, self.by_class, usual))

    def _trained(self, rows: Float[Tensor, "m d"], rng: np.random.Generator) -> nn.Module:
        d, widths = rows.shape[1], (self.hidden, self.code, self.hidden)
        with seeded(rng):
            layers: list[nn.Module] = [nn.Linear(d, widths[0])]
            for fan_in, fan_out in zip(widths, (*widths[1:], d), strict=True):
                layers += [nn.ReLU(), nn.Linear(fan_in, fan_out)]
        module = nn.Sequential(*layers).to(rows.device)
        optimiser = torch.optim.Adam(module.parameters(), self.learning_rate)
        for _ in range(self.steps):
            batch = rows[rng.permutation(len(rows))[: self.batch_size]]
            optimiser.zero_grad()
            (module(batch) - batch).square().mean().backward()
            optimiser.step()
        return module

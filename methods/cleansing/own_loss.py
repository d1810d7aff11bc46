"""A row's own loss at the trained model: what the model finds hard is called harmful."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.sgd import row_losses
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class OwnLoss:
    """Minus the training loss of each row, so that the largest loss is the most harmful.

    It knows nothing of the query: a good detector of wrong labels, a poor one of harm.

    References
    ----------
    Han et al., *Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy
    Labels*, NeurIPS 2018, Sec. 2 (rows of small loss are taken for clean).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        with torch.no_grad():
            margins = problem.model.margins(problem.train.inputs)
        return Influence.of(-row_losses(margins, problem.train.targets))

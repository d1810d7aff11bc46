"""PertMap by gradient steps: the most noise that the label withstands."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.setfunction.pertmap import noisiest
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class PertMap:
    """widest - mean over a feature's positions of w, how much noise a position takes.

    w in [0, widest]^D maximises mean(w) - price E mean_j relu(p_j - p_c) at x + w e with e
    uniform in [-1, 1], p the probabilities, c the target and j its rivals: C-IFS with a hinge,
    noise in place of a reference.

    Parameters
    ----------
    widest : the most noise, in the inputs' unit.
    price : of a lost label.
    steps, rate : of Adam, from w = 0, projected.
    copies : draws of e a step, the same for all instances.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Maximally Invariant Data Perturbation as Explanation*, 2018.
    """

    widest: float = 3.0
    price: float = 100.0
    steps: int = 500
    rate: float = 0.01
    copies: int = 4

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        for name in ("widest", "price", "steps", "rate", "copies"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.model.module is None:
            raise Unsupported("needs a differentiable model")
        if not problem.model.n_classes:
            raise Unsupported("keeps a label: regression has none")
        widths = noisiest(
            problem.model.margins,
            problem.inputs,
            problem.targets,
            widest=self.widest,
            price=self.price,
            steps=self.steps,
            copies=self.copies,
            rate=self.rate,
            rng=rng,
        )
        sizes = problem.partition.sizes
        total = problem.partition.pooled(torch.from_numpy(widths).view(problem.inputs.shape))
        return Attribution(self.widest - total / sizes)

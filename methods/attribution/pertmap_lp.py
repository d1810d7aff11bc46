"""PertMap: the widest box around the instance in which the label holds, by linear programming."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.setfunction.pertmap import linearised, widest_box
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported


@dataclass(frozen=True)
class PertMapLP:
    """2 delta - mean over a feature's positions of u + v, the position's way up and down.

    u, v in [0, delta] and one slack rho >= 0 maximise sum(u + v) - price 2 D rho over D
    positions, subject to sum_i h-_i u_i + h+_i v_i - rho <= z - h n for each rival class and
    noisy copy x + n, z the margin over the rival there and h its gradient. It has no baseline,
    and ends at corners: most features tie.

    Parameters
    ----------
    delta : the farthest that a position may move, in the inputs' unit.
    price : of the slack, lambda on the page of the method; per variable, so that it means the
        same for any number of them.
    copies : noisy copies of the instance, the same noise for all instances.
    noise : they are uniform within this distance at each position.
    notebook_compat : the right-hand side of the authors' notebook, z + h_c n with h_c the
        gradient of the target's own score.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Maximally Invariant Data Perturbation as Explanation*, 2018.
    """

    delta: float = 1.0
    price: float = 1.0
    copies: int = 10
    noise: float = 0.1
    notebook_compat: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        for name in ("delta", "price", "copies"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")
        if self.noise < 0:
            raise ValueError(f"noise={self.noise}: wanted at least 0")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.model.module is None:
            raise Unsupported("needs a differentiable model")
        if not problem.model.n_classes:
            raise Unsupported("keeps a label: regression has none")
        shape = (self.copies, *problem.inputs.shape[1:])
        noise = torch.from_numpy(rng.uniform(-self.noise, self.noise, shape)).to(problem.inputs)
        free = []
        for x, target in zip(problem.inputs, problem.targets.tolist(), strict=True):
            around = linearised(
                problem.model.margins,
                x + noise,
                noise,
                target,
                notebook_compat=self.notebook_compat,
            )
            up, down, _ = widest_box(around, self.delta, self.price)
            free.append(torch.from_numpy(up + down).view(x.shape))
        sizes = problem.partition.sizes
        mean = problem.partition.pooled(torch.stack(free)) / sizes
        return Attribution(2 * self.delta - mean)

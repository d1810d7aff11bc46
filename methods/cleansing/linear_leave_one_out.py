"""True leave-one-out of the parameters, read out linearly: what no linear method can pass."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.models.base import Capability
from bench.models.influence import leave_one_out_flops, query_gradient, without_each
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class LinearLeaveOneOut:
    """<u, theta_-j - theta>: the step that the parameters take without row j, along the query.

    u is the gradient of the query's loss at the trained network. SGD-influence and its kin
    estimate this number and not the change of the loss itself: a ceiling for them, as dear as
    the true leave-one-out.

    Parameters
    ----------
    flops : floating-point operations that may be spent.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 3
    (the linear influence, Eq. 3).
    """

    flops: float = 3e11

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay", "retrain"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        run, n = problem.trajectory, len(problem.train)
        wanted = leave_one_out_flops(run)
        if wanted > self.flops:
            raise Unsupported(f"takes {wanted:.1g} floating-point operations, over {self.flops:g}")
        query = query_gradient(run.objective, run.final, problem.validation)
        finals = run.retrain(without_each(torch.arange(n), n))
        return Influence.of((finals[1:] - finals[0]) @ query)

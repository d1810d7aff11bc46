"""True leave-one-out: the network trained again without each row, all runs in one batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.models.influence import leave_one_out, leave_one_out_flops
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class LeaveOneOut:
    """The change itself that other methods estimate: the ceiling, where it can be paid.

    Parameters
    ----------
    flops : floating-point operations that may be spent; a core does about 10^10 a second on
        small networks.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.1.
    """

    flops: float = 3e11

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"retrain"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        wanted = leave_one_out_flops(problem.trajectory)
        if wanted > self.flops:
            raise Unsupported(f"takes {wanted:.1g} floating-point operations, over {self.flops:g}")
        return Influence(leave_one_out(problem.trajectory, problem.validation).double().numpy())

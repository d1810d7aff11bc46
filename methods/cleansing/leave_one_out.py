"""True leave-one-out: the network trained again without each row, all runs in one batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.models.influence import leave_one_out, leave_one_out_flops
from bench.tasks.base import Method, Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class LeaveOneOut:
    """The change itself that other methods estimate, where it can be paid.

    It takes 6 p E n^2 operations for linear layers, p parameters and E epochs: for p = 600 and
    n = 200 about twice the time of an influence pass, and one run answers every query.

    Parameters
    ----------
    flops : floating-point operations that may be spent; a core does about 10^10 a second on
        small networks.
    otherwise : the method that answers where the truth takes more; nothing does unless given.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.1.
    """

    flops: float = 3e11
    otherwise: Method[CleansingProblem, Influence] | None = None

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"retrain"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        wanted = leave_one_out_flops(problem.trajectory)
        if wanted <= self.flops:
            values = leave_one_out(problem.trajectory, problem.validation)
            return Influence.of(values)
        if self.otherwise is not None:
            return self.otherwise.explain(problem, rng=rng)
        raise Unsupported(f"takes {wanted:.1g} floating-point operations, over {self.flops:g}")

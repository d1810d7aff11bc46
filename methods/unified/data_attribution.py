"""A method of data cleansing as a unified explanation: the data side alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.tasks.base import Method
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.unified import DataRanking, UnifiedProblem


@dataclass(frozen=True)
class DataAttribution:
    """Training rows by what `method` says of the loss -log f_c(x) at each query point alone.

    Supporters, whose removal raises that loss, come first. Its gradient is that of f_c(x) times
    -1 / f_c(x), so that an influence linear in the query's gradient u orders the rows as u = the
    gradient of f_c(x) does, ascending.

    Parameters
    ----------
    method : any method of the task cleansing.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 3 (u
    of any quantity); the comparison: earnest.
    """

    method: Method[CleansingProblem, Influence]

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: UnifiedProblem, *, rng: np.random.Generator) -> DataRanking:
        values = [
            self.method.explain(problem.cleansing(query), rng=own).values
            for query, own in enumerate(rng.spawn(problem.n))
        ]
        return DataRanking(np.argsort(-np.stack(values), axis=1, kind="stable"))

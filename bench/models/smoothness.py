"""Whether influence can be trusted on a run: some rows truly removed, beside their values.

No method built on derivatives sees the jumps that kinks (ReLU, max pooling) and large steps make
in the trained parameters. Fifteen retrainings tell how large they are here; GELU, softplus or
tanh, shorter training and lower rates make them smaller.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from bench.data import Samples
from bench.models.influence import removal_changes
from bench.models.retrained import retrained
from bench.models.trajectory import Trajectory


@dataclass(frozen=True)
class Smoothness:
    """Estimated and true changes of the query's loss without each of some rows.

    Attributes
    ----------
    rows : drawn at random, without looking at the estimates.
    estimates, changes : of these rows.
    """

    rows: Int[np.ndarray, " m"]
    estimates: Float[np.ndarray, " m"]
    changes: Float[np.ndarray, " m"]

    @property
    def relative_error(self) -> float:
        """|estimates - changes| / |changes|: 0 for the truth, about 1 where nothing is known."""
        error, whole = (
            float(np.linalg.norm(v)) for v in (self.estimates - self.changes, self.changes)
        )
        return error / max(whole, sys.float_info.min)

    @property
    def correlation(self) -> float:
        """Pearson's, NaN where all estimates or changes are equal."""
        if not np.ptp(self.estimates) or not np.ptp(self.changes):
            return float("nan")
        return float(np.corrcoef(self.estimates, self.changes)[0, 1])

    def __str__(self) -> str:
        return (
            f"{len(self.rows)} rows removed one by one: correlation {self.correlation:.2f}, "
            f"relative error {self.relative_error:.2f}"
        )


def smoothness(
    trajectory: Trajectory,
    query: Samples,
    values: Float[np.ndarray, " n_train"],
    *,
    rng: np.random.Generator,
    count: int = 15,
    truth: Float[np.ndarray, " n_train"] | None = None,
) -> Smoothness:
    """Train again without each of `count` random rows, all runs in one batch.

    Parameters
    ----------
    values : an influence of each training row on the mean loss on `query`.
    truth : the true change without each row, where it is known: then nothing is trained again.
    """
    rows = np.sort(rng.permutation(len(values))[:count])
    if truth is not None:
        changes = truth[rows]
    else:
        found = removal_changes(trajectory, query, torch.from_numpy(rows), again=retrained)
        changes = found.double().cpu().numpy()
    return Smoothness(rows, np.asarray(values, dtype=float)[rows], changes)

"""How well sums of values foretell what happens when many rows are removed at once."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from bench.data import Samples
from bench.models.influence import changes
from bench.models.retrained import retrained
from bench.models.trajectory import Trajectory
from bench.scores.rank_agreement import spearman


@dataclass(frozen=True)
class Subsets:
    """Random sets of removed rows, all of one size, and what their removal did.

    Attributes
    ----------
    removed : which rows each set removes.
    changes : of the query's mean loss when the set is removed and the network trained again.
    """

    removed: Bool[np.ndarray, "m n"]
    changes: Float[np.ndarray, " m"]

    @classmethod
    def drawn(
        cls,
        trajectory: Trajectory,
        query: Samples,
        percent: float,
        count: int,
        *,
        rng: np.random.Generator,
    ) -> "Subsets":
        """`count` sets of `percent` of the training rows, one row at least."""
        n = len(trajectory.objective.samples)
        size = max(1, round(percent / 100 * n))
        removed = np.zeros((count, n), dtype=bool)
        for rows in removed:
            rows[rng.permutation(n)[:size]] = True
        # The first run keeps all rows: the same program as the others, hence the same round-off.
        keep = torch.from_numpy(~np.vstack([np.zeros((1, n), dtype=bool), removed]))
        found = changes(trajectory.objective, retrained(trajectory, keep), query)
        return cls(removed, found.double().cpu().numpy())

    def __str__(self) -> str:
        """For a note beside a score; a small percentage of few rows is one row."""
        sets, n = self.removed.shape
        return f"{sets} sets of {self.removed[0].sum()} of {n} rows"

    def score(self, values: Float[np.ndarray, " n"]) -> float:
        """The linear datamodeling score: Spearman's correlation of the true changes with the sums
        of the removed rows' values.

        NaN where all sums or all changes are equal.

        References
        ----------
        Park, Georgiev, Ilyas, Leclerc, Madry, *TRAK: Attributing Model Behavior at Scale*, ICML
        2023, Definition 2.3, with the mean loss on the query as the model's output.
        """
        foretold = self.removed.astype(float) @ values
        return float(spearman(foretold[None], self.changes[None])[0])

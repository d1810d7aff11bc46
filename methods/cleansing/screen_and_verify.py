"""Any method, the ends of its ranking put right by training again without them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int

from bench.models.base import Capability
from bench.models.influence import leave_one_out_flops, removal_changes
from bench.scores.rank_agreement import kendall_tau
from bench.tasks.base import Method, Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence


@dataclass(frozen=True)
class ScreenAndVerify:
    """The k smallest and k largest values of `screen` replaced by the true changes.

    The network is trained again without each of these rows, all runs in one batch. The other
    values keep their order; a line, fitted to the half of the verified rows that lies nearer to
    them, brings them to the unit of the truth, so that a row which turns out harmless takes its
    place among them. How well `screen` agrees with the truth on the verified rows, a certificate of
    this very run, is in the notes of the answer: Kendall's tau, and the share of rows whose sign
    it has right.

    Parameters
    ----------
    screen : the method whose ranking is verified.
    verify : k.
    flops : floating-point operations that retraining may take.

    References
    ----------
    The truth: Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS
    2019, Eq. 3. Verifying the ends alone: earnest.
    """

    screen: Method[CleansingProblem, Influence]
    verify: int = 30
    flops: float = 3e11

    version: ClassVar[int] = 3
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay", "retrain"})
    imports: ClassVar[tuple[str, ...]] = ("scipy.stats",)  # of Kendall's tau: half a second

    def __post_init__(self) -> None:
        if self.verify < 1:
            raise ValueError(f"verify={self.verify}: wanted at least 1")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        estimates = np.asarray(self.screen.explain(problem, rng=rng).values, dtype=float)
        rows = extremes(estimates, self.verify)
        wanted = leave_one_out_flops(problem.trajectory, len(rows))
        if wanted > self.flops:
            raise Unsupported(f"takes {wanted:.1g} floating-point operations, over {self.flops:g}")
        found = removal_changes(problem.trajectory, problem.validation, torch.from_numpy(rows))
        truth = found.double().cpu().numpy()
        notes = {
            "verified": float(len(rows)),
            "verified_kendall_tau": kendall_tau(estimates[rows], truth),
            "verified_sign_agreement": float(np.mean((estimates[rows] < 0) == (truth < 0))),
        }
        return Influence(merged(estimates, rows, truth), notes)


def extremes(values: Float[np.ndarray, " n"], k: int) -> Int[np.ndarray, " m"]:
    """The `k` rows with the smallest and the `k` with the largest values, each once."""
    order = np.argsort(values, kind="stable")
    return np.unique(np.concatenate([order[:k], order[-k:]]))


def merged(
    estimates: Float[np.ndarray, " n"],
    rows: Int[np.ndarray, " m"],
    truth: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " n"]:
    """`truth` at `rows`, elsewhere the estimates on the line that fits its inner half best.

    A few rows far out would turn a line through all of them so that rows nobody verified come
    before verified ones. Where the line doesn't rise, the estimates say nothing about the truth:
    they keep their order within a thousandth of its spread around its mean.
    """
    inner = np.argsort(estimates[rows], kind="stable")[len(rows) // 4 : len(rows) - len(rows) // 4]
    known, true = estimates[rows][inner], truth[inner]
    centred, spread = known - known.mean(), np.ptp(estimates)
    slope = centred @ true / max(centred @ centred, np.finfo(float).tiny)
    least = 1e-3 * np.ptp(truth) / max(spread, np.finfo(float).tiny)
    values: Float[np.ndarray, " n"]
    values = true.mean() + max(slope, least) * (estimates - known.mean())
    values[rows] = truth
    return values

"""Test error before and after removing rows, at each number of rows: means with intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from bench.board.panels import Curve, by_rank, curves, problems_of
from bench.board.statistics import over_seeds
from bench.record import Record

TASK = "cleansing"
AT_RANDOM = "at random"
AGAIN = {"all epochs": "accuracy", "last epoch": "accuracy_last"}
"""What is trained again without the rows, and the field of the details that holds accuracies."""


@dataclass(frozen=True)
class Removal:
    """What training again without `removed` rows gives; 95 % intervals by Student's t over seeds.

    Attributes
    ----------
    error : share of test rows that are told wrongly, mean over seeds. low, high : its interval;
        NaN for one seed.
    gain : error before minus error after, both of the same seed; > 0: removal helped. gain_low,
        gain_high : its interval.
    seeds : how many have an error.
    """

    removed: int
    error: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    seeds: int


REMOVALS = (
    *("task", "setting", "dataset", "model", "method", "trained_again"),
    *Removal.__dataclass_fields__,
)


def removal_table(records: Sequence[Record]) -> pd.DataFrame:
    """Test errors of each method at each number of removed rows.

    Returns
    -------
    The columns `REMOVALS`, a row for each problem, method, number of rows and what was trained
    again; the method `at random` removes as many rows at random.
    """
    done = [r for r in records if r.task == TASK and r.status == "ok"]
    rows = [row for cell, group in problems_of(done).items() for row in _rows(cell, group)]
    return pd.DataFrame(rows, columns=list(REMOVALS))


def _rows(
    cell: tuple[str, str, str], group: Sequence[Record]
) -> Iterator[dict[str, str | int | float]]:
    # All methods of a seed share one curve of random removal: it counts once.
    by_seed = list({record.seed: record for record in group}.values())
    lines = [(AT_RANDOM, "all epochs", by_seed, "accuracy_random")]
    for method in by_rank(group):
        own = [record for record in group if record.method == method]
        lines += [(method, again, own, field) for again, field in AGAIN.items()]
    for method, again, own, field in lines:
        for found in removals(own, field):
            named = dict(zip(REMOVALS, (TASK, *cell, method, again), strict=False))
            yield {**named, **asdict(found)}


def removals(records: Sequence[Record], accuracy: str) -> list[Removal]:
    """Over seeds of one problem and method, at each number of removed rows.

    Parameters
    ----------
    accuracy : the field of the details that holds test accuracies. Records without it, or with
        other numbers of rows than the first that has it, aren't counted.
    """
    found = [c for c in curves(records, "removed", accuracy) if _starts_at_none(c)]
    if not found:
        return []
    counts = found[0][0]
    errors = np.array([1 - values for removed, values in found if np.array_equal(removed, counts)])
    gains = errors[:, :1] - errors
    return [
        Removal(int(m), *over_seeds(after), *over_seeds(gain), int(np.isfinite(after).sum()))
        for m, after, gain in zip(counts, errors.T, gains.T, strict=True)
    ]


def _starts_at_none(curve: Curve) -> bool:
    """Whether the curve begins before removal, with counts that are numbers."""
    return bool(curve[0][0] == 0 and np.isfinite(curve[0]).all())

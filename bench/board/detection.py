"""How often each detector catches each fairwash: power and AUROC over seeds, with intervals."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import ndtri

from bench.board.fairwashing import share
from bench.board.panels import by_rank, problems_of, score
from bench.board.rows import metrics_of, number
from bench.board.statistics import LEVEL, over_seeds
from bench.record import Record

TASK = "fairwashing"
POWER, AUROC = "power_", "auroc_"
TESTED = 0.05
"""The level at which detectors call something dishonest."""


@dataclass(frozen=True)
class Caught:
    """What one detector says of one method's fairwash of a problem.

    Attributes
    ----------
    power : share of audits in which it is called dishonest, mean over seeds. low, high : a 95 %
        interval, Student's t over seeds, never narrower than Wilson's of all audits together.
    auroc : share of pairs of a washed and an honest publication in which the washed one is the
        more suspicious, mean over seeds. auroc_low, auroc_high : over seeds; NaN for one seed.
    level : share of honest publications that are called dishonest, mean over seeds; NaN where no
        record tells. seeds, audits : how many.
    """

    power: float
    low: float
    high: float
    auroc: float
    auroc_low: float
    auroc_high: float
    level: float
    seeds: int
    audits: int


DETECTION = (
    *("task", "setting", "dataset", "model", "method", "detector"),
    *Caught.__dataclass_fields__,
)


def detection_table(records: Sequence[Record]) -> pd.DataFrame:
    """Power and AUROC of each detector against each method.

    Returns
    -------
    The columns `DETECTION`, a row for each problem, method and detector that looked at it; see
    `Caught`. Nothing is averaged over problems or settings.
    """
    done = [r for r in records if r.task == TASK and r.status == "ok"]
    rows = [row for cell, group in problems_of(done).items() for row in _rows(cell, group, done)]
    return pd.DataFrame(rows, columns=list(DETECTION))


def _rows(
    cell: tuple[str, str, str], group: Sequence[Record], all_records: Sequence[Record]
) -> Iterator[dict[str, object]]:
    setting, dataset, model = cell
    for method in by_rank(group):
        own = [record for record in group if record.method == method]
        for detector in detectors_of(all_records):
            if found := caught(own, detector):
                yield {
                    "task": TASK,
                    "setting": setting,
                    "dataset": dataset,
                    "model": model,
                    "method": method,
                    "detector": detector,
                    **asdict(found),
                }


def detectors_of(records: Sequence[Record]) -> list[str]:
    """Those that looked at what some record published, in the task's order."""
    names = [name for metrics in metrics_of(records).values() for name in metrics]
    detectors = [name.removeprefix(POWER) for name in names if name.startswith(POWER)]
    return [d for d in detectors if any(math.isfinite(_power(r, d)) for r in records)]


def caught(records: Sequence[Record], detector: str) -> Caught | None:
    """Over the seeds of one problem and method; None where the detector looked at none of them."""
    own = [record for record in records if math.isfinite(_power(record, detector))]
    if not own:
        return None
    audits = sum(_audits(record, detector) for record in own)
    mean, *ends = _shares(np.array([_power(record, detector) for record in own]))
    low, high = wilson(mean, audits)
    auroc = np.array([share(score(record, f"{AUROC}{detector}")) for record in own])
    levels = np.array([_level(record, detector) for record in own])
    return Caught(
        mean,
        float(np.fmin(low, ends[0])),
        float(np.fmax(high, ends[1])),
        *_shares(auroc),
        _shares(levels)[0],
        len(own),
        audits,
    )


def wilson(rate: float, n: int) -> tuple[float, float]:
    """The interval of a rate over n independent trials; all of [0, 1] without any.

    References
    ----------
    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    if not n:
        return 0.0, 1.0
    z = float(ndtri((1 + LEVEL) / 2))
    centre, scale = rate + z**2 / (2 * n), 1 + z**2 / n
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def _shares(values: Float[np.ndarray, " seeds"]) -> tuple[float, float, float]:
    """Mean and interval of shares; NaN where there is nothing to tell it from."""
    mean, low, high = over_seeds(values)
    return mean, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def _power(record: Record, detector: str) -> float:
    return share(score(record, f"{POWER}{detector}"))


def _audits(record: Record, detector: str) -> int:
    count = number(record.scores[f"{POWER}{detector}"].get("n"))
    return int(count) if count > 0 else 0


def _level(record: Record, detector: str) -> float:
    """Of honest publications, as the details tell it."""
    told = record.details.get("detectors")
    one = told.get(detector) if isinstance(told, dict) else None
    return share(one.get("level")) if isinstance(one, dict) else math.nan

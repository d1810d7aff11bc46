"""Whether influence can be trusted on each problem, by the rows that were removed one by one."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bench.board.rows import number
from bench.board.table import printable
from bench.record import Record

TRUSTED, WITH_CARE = 0.9, 0.6
"""Correlations of SGD-influence with the truth from which it is trusted, and with care."""
METRIC = "check_correlation"
"""The metric of a task that checks."""
LONGEST = 200
"""Characters of a reason that are told."""
UNKNOWN = "its records don't say why"
REMEDY = (
    "; no derivative can be trusted here: GELU, softplus or tanh, shorter training and lower "
    "rates help"
)


def check_lines(records: Sequence[Record]) -> list[str]:
    """A line a problem that could hold `details["check"]`, averaged over its seeds.

    All methods of a seed share one check: it counts once.
    """
    known: dict[tuple[str, str, str, str], dict[int, tuple[float, float, float]]] = {}
    reasons: dict[tuple[str, str, str, str], str] = {}
    for record in records:
        found = _check(record)
        if found is None and not (record.status == "ok" and METRIC in record.metrics):
            continue
        cell = record.task, record.dataset, record.model, record.setting
        by_seed = known.setdefault(cell, {})
        if found is not None:
            by_seed.setdefault(record.seed, found)
        elif isinstance(reason := record.details.get("unchecked"), str):
            reasons.setdefault(cell, reason[:LONGEST])
    lines = []
    for cell, by_seed in known.items():
        _, dataset, model, setting = cell
        problem = f"{dataset} · {model} {setting}".strip()
        lines.append(printable(_line(problem, list(by_seed.values()), reasons.get(cell, UNKNOWN))))
    return lines


def verdict(correlation: float) -> str:
    """What may be said of influence in words."""
    if correlation >= TRUSTED:
        return "influence can be trusted"
    return f"influence {'with care' if correlation >= WITH_CARE else 'cannot be trusted'}"


def _check(record: Record) -> tuple[float, float, float] | None:
    """(rows, correlation, relative error) of a record, None without them."""
    held = record.details.get("check")
    if not isinstance(held, Mapping):
        return None
    rows, correlation, error = (
        number(held.get(name)) for name in ("rows", "correlation", "relative_error")
    )
    return None if math.isnan(rows + correlation + error) else (rows, correlation, error)


def _line(problem: str, checks: Sequence[tuple[float, float, float]], unchecked: str) -> str:
    if not checks:
        return f"not checked whether influence can be trusted: {problem}: {unchecked}"
    rows, correlation, error = np.mean(checks, axis=0).tolist()
    seeds = f"{len(checks)} seed{'s' if len(checks) > 1 else ''}"
    return (
        f"{verdict(correlation)}: {problem}: correlation {correlation:.2f}, relative error "
        f"{error:.2f} ({rows:.0f} rows removed one by one, {seeds})"
        f"{REMEDY if correlation < WITH_CARE else ''}"
    )

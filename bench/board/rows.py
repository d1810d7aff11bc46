"""Records as a table: a row for each record and metric."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from bench.record import Record

CELL = ("task", "setting", "dataset", "model", "method", "seed")
COPIED = (
    *("suite", "key", *CELL, "method_version", "data_hash", "status", "error_type", "stage"),
    *("cpu_seconds", "peak_memory", "device", "hardware", "environment", "commit", "dirty"),
    *("started", "attempt", "schema_version"),
)
STAGES = ("load", "train", "case", "attack", "explain", "score")
CALLS = ("forward", "backward", "values")
SCORED = ("metric", "direction", "least", "largest", "value", "n", "se", "note")

Metrics = Mapping[str, Mapping[str, Any]]


def rows(records: Iterable[Record]) -> pd.DataFrame:
    """A row for each record and metric; a failed cell keeps a row per metric, with no value.

    Returns
    -------
    The columns `COPIED` from the record and `SCORED` from the metric (`least` and `largest` are
    its range), `seconds.*` by stage, `calls.*`, `versions` as JSON, and a `setting.*` for each
    field of a setting. A task's first metric is its headline.
    """
    records = list(records)
    expected = metrics_of(records)
    columns = [
        *COPIED,
        *SCORED,
        *(f"seconds.{stage}" for stage in STAGES),
        *(f"calls.{kind}" for kind in CALLS),
        "versions",
    ]
    table = pd.DataFrame([row for r in records for row in _rows(r, expected[r.task])])
    settings = sorted(name for name in table.columns if name.startswith("setting."))
    return table.reindex(columns=[*columns, *settings])


def current(records: Iterable[Record]) -> list[Record]:
    """The newest record of each cell, sorted by cell: what an older version left is history."""
    newest: dict[tuple[Any, ...], Record] = {}
    for record in records:
        cell = tuple(getattr(record, name) for name in CELL)
        known = newest.get(cell)
        if known is None or (known.started, known.attempt) <= (record.started, record.attempt):
            newest[cell] = record
    return [newest[cell] for cell in sorted(newest)]


def metrics_of(records: Iterable[Record]) -> dict[str, Metrics]:
    """task -> metric -> what it is, the headline first; from all records of the task."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        known = found.setdefault(record.task, {})
        for name in (*record.metrics, *record.scores):
            known.setdefault(name, record.metrics.get(name, {}))
    return {task: known or {"": {}} for task, known in found.items()}


def number(value: Any) -> float:
    """A finite float, or NaN for whatever else a record may hold."""
    if isinstance(value, int | float):
        with suppress(OverflowError):  # whole numbers in a file have no largest
            return float(value) if math.isfinite(value) else math.nan
    return math.nan


def _rows(record: Record, metrics: Metrics) -> Iterator[dict[str, Any]]:
    common = {
        **{name: getattr(record, name) for name in COPIED},
        **{f"seconds.{stage}": number(record.seconds.get(stage)) for stage in STAGES},
        **{f"calls.{kind}": number(record.calls.get(kind)) for kind in CALLS},
        "versions": json.dumps(record.versions, sort_keys=True),
        **{f"setting.{name}": value for name, value in record.settings.items()},
    }
    for name, info in metrics.items():
        score = record.scores.get(name, {}) if record.status == "ok" else {}
        least, largest = info.get("range") or (None, None)
        yield {
            **common,
            "metric": name,
            "direction": info.get("direction", "none"),
            "least": number(least),
            "largest": number(largest),
            "value": number(score.get("value")),
            "n": number(score.get("n")),
            "se": number(score.get("se")),
            "note": score.get("note", ""),
        }

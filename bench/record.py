"""A record: what a cell left behind, one file, written atomically."""

import contextlib
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

Status = Literal["ok", "unsupported", "failed", "timeout", "memory", "crashed"]
STATUSES: tuple[Status, ...] = ("ok", "unsupported", "failed", "timeout", "memory", "crashed")


@dataclass(frozen=True)
class Record:
    """Everything that one cell left behind; a score's absence is a record too.

    Attributes
    ----------
    key : sha256 of the canonical JSON of `config`.
    suite : the experiment that it was run for.
    task, setting, dataset, model, method, seed : the cell; `setting` is a short text,
        `settings` its fields, `method` the yaml's name with its overrides.
    method_version : the method's declared version.
    data_hash : the data set's fingerprint.
    status, error_type, reason, stage : how it ended, and where (load, train, explain, score).
    scores : metric -> {value, n, se, note}; value None where undefined or the cell failed.
    metrics : metric -> {direction, range, unit, definition, source}, the headline first.
    details : what figures need.
    seconds : wall seconds by stage.
    cpu_seconds, peak_memory, calls : of `explain` alone; bytes; {forward, backward, values}.
    device, hardware, environment, versions : where it ran.
    commit, dirty : the code's commit, None outside a checkout.
    started : ISO time, UTC. attempt : 1, 2, ... for reruns.
    config : what the key was hashed from. choices : yaml names and overrides to run it again.
    source : digest of the components' files.
    traceback, log : of a failure, the last lines.
    """

    key: str
    suite: str
    task: str
    setting: str
    dataset: str
    model: str
    method: str
    seed: int
    status: Status
    settings: Mapping[str, Any] = field(default_factory=dict)
    method_version: int = 1
    data_hash: str = ""
    error_type: str = ""
    reason: str = ""
    stage: str = ""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    calls: Mapping[str, int] = field(default_factory=dict)
    device: str = "cpu"
    hardware: str = ""
    environment: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    started: str = ""
    attempt: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    traceback: str = ""
    log: str = ""
    schema_version: int = SCHEMA_VERSION


_KEY = re.compile("[0-9a-f]{64}")


def canonical(config: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: equal configurations give equal texts."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def key_of(config: Mapping[str, Any]) -> str:
    """The key of a cell: the one function that the planner and the writer share."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


def write(record: Record, folder: Path) -> Path:
    """Write `record` to `folder/<key>.json`: whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.key}.json"
    draft = folder / f".{record.key}.{os.getpid()}.tmp"
    try:
        with draft.open("w", encoding="utf-8") as file:
            # `json.dump` takes five times as long: it goes piece by piece.
            file.write(json.dumps(_finite(asdict(record)), ensure_ascii=False, allow_nan=False))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def read(path: Path) -> Record:
    """The record in a file.

    Raises
    ------
    ValueError
        where the file holds no whole record, or one whose key is not its configuration's.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no whole JSON file: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{path} holds no record")
    known = {f.name for f in fields(Record)}
    missing = {"key", "task", "method", "status", "config"} - loaded.keys()
    if missing or loaded["status"] not in STATUSES:
        raise ValueError(f"{path} holds no record: {', '.join(sorted(missing)) or 'status'} wrong")
    if key_of(loaded["config"]) != loaded["key"] or path.stem != loaded["key"]:
        raise ValueError(f"{path}: its key is not that of its configuration")
    return Record(**{name: value for name, value in loaded.items() if name in known})


def sweep_drafts(folder: Path, older_than: float = 60.0) -> None:
    """Remove drafts that killed processes left; a younger one is just being written."""
    for draft in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > older_than:
                draft.unlink()


def read_all(folder: Path) -> Iterator[Record]:
    """All records of a folder; a damaged file is named, set aside as `.damaged`, and skipped."""
    for path in sorted(p for p in folder.glob("*.json") if _KEY.fullmatch(p.stem)):
        try:
            yield read(path)
        except (ValueError, TypeError) as error:
            aside = path.with_suffix(".damaged")
            log.warning("%s; set aside as %s, its cell counts as missing", error, aside.name)
            path.replace(aside)


def _finite(value: Any) -> Any:
    """What JSON can hold: None for a number that isn't there, plain numbers for NumPy's."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value

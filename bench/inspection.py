"""Looking at what is there: a record, a yaml, failures, a leaderboard, this machine."""

import importlib
import importlib.resources
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.board import rule_list, washed
from bench.board.command import command_of
from bench.cache import cache_root
from bench.components import ConfigError, Shelf, did_you_mean
from bench.record import Record, read_all

GROUPS = ("task", "dataset", "model", "experiment")


def show(name: str, root: Path) -> int:
    """Print a record found by its key's first digits, or a yaml found by its name."""
    record = _find_record(name, root)
    if record is not None:
        fields = {
            key: value for key, value in asdict(record).items() if value not in ("", {}, None)
        }
        fields.pop("details", None)
        print(json.dumps(fields, indent=2, ensure_ascii=False))
        if table := rule_list.rule_table(record):
            print(f"\n{rule_list.as_text(table)}\n")
        if models := washed.washed(record):
            print(f"\n{washed.as_text(models)}\n")
        print(f"# again: {command_of(record)}")
        return 0
    found = _yamls(name)
    for path in found:
        print(f"# {path.parent.name}/{path.name}\n{path.read_text()}")
    if not found:
        shelf = Shelf()
        groups = (*GROUPS, *(f"method/{task}" for task in shelf.names("task")))
        raise did_you_mean(name, {n for g in groups for n in shelf.names(g)}, "record or name")
    return 0


def _find_record(name: str, root: Path) -> Record | None:
    if not name.isalnum() or not root.is_dir():
        return None
    paths = sorted(root.glob(f"*/{name}*.json"))
    if len(paths) > 1 and len({path.stem for path in paths}) > 1:
        keys = ", ".join(path.stem[:12] for path in paths[:5])
        raise ConfigError(f"{name} begins {len(paths)} keys ({keys} ...): give more digits")
    return next(iter(r for p in paths for r in read_all(p.parent) if r.key == p.stem), None)


def _yamls(name: str) -> list[Path]:
    conf = Path(str(importlib.resources.files("earnest.conf")))
    return sorted(conf.rglob(f"{name}.yaml")) if name.replace("_", "").isalnum() else []


def failures(suite: Path) -> int:
    """Print every cell of a suite that did not end well; returns 3 if there are any."""
    failed = [r for r in read_all(suite) if r.status not in ("ok", "unsupported")]
    for record in failed:
        cell = f"{record.dataset} / {record.model} / {record.setting} / seed {record.seed}"
        print(f"{record.status:9} {record.task}/{record.method}  {cell}  {record.key[:12]}")
        print(f"          {record.stage}: {record.reason}")
        for text in (record.traceback, record.log):
            if text.strip():
                print(
                    "".join(f"          | {line}\n" for line in text.strip().splitlines()[-8:]),
                    end="",
                )
    print(f"{len(failed)} failed in {suite}" if failed else f"no failures in {suite}")
    return 3 if failed else 0


def leaderboard(suite: Path, form: str | None, metrics: Sequence[str] = ()) -> int:
    """Print the leaderboard of a suite: a text table, Markdown, JSON, CSV, or write the page."""
    from bench import board

    if form == "html":
        if metrics:
            raise ConfigError("--html has all metrics: leave --metric out")
        print(board.publish(suite))
        return 0
    if not any(suite.glob("*.json")):
        raise ConfigError(f"{suite} holds no records: run an experiment into it first")
    texts = {
        "json": board.as_json,
        "csv": board.as_csv,
        "markdown": board.as_markdown,
        None: board.summary,
    }
    print(texts[form](suite, metrics))
    return 0


def doctor() -> int:
    """Print what earnest finds here: versions, device, folders, data, extras."""
    import torch

    print(f"python      {platform.python_version()} on {platform.platform()}")
    for name in ("torch", "torchvision", "hydra", "numpy", "pandas", "sklearn"):
        print(f"{name:11} {getattr(importlib.import_module(name), '__version__', 'here')}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu only"
    print(f"device      {device}, {os.cpu_count()} cores")
    for extra in ("numba", "playwright"):
        here = importlib.util.find_spec(extra)
        print(f"{extra:11} {'here' if here else 'not installed (optional)'}")
    print(f"chromium    {shutil.which('chromium') or 'not found (needed by browser tests only)'}")
    print(f"cache       {_writable(cache_root())}")
    print(f"results     {_writable(Path(os.environ.get('EARNEST_RESULTS', 'results/runs')))}")
    data = os.environ.get("EARNEST_DATA")
    print(f"data        {data or 'EARNEST_DATA is not set: downloads go to the cache'}")
    return 0


def _writable(folder: Path) -> str:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    state = "writable" if os.access(existing, os.W_OK) else "NOT WRITABLE"
    return f"{folder} ({state}, {free:.0f} GiB free)"

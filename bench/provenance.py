"""Where and when a cell ran: the machine, the versions, the commit, the time."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.devices import device_name
from bench.record import canonical


@cache
def _machine() -> dict[str, Any]:
    versions = {name: _version(name) for name in ("earnest", "torch", "numpy", "scikit-learn")}
    versions["python"] = platform.python_version()
    hardware = f"{platform.machine()} {_processor()} x{os.cpu_count()}"
    environment = sha256(canonical(versions).encode()).hexdigest()[:12]
    commit, dirty = _commit()
    return {
        "hardware": hardware,
        "environment": environment,
        "versions": versions,
        "commit": commit,
        "dirty": dirty,
    }


def where(device: str) -> dict[str, Any]:
    """Where and when a cell ran: device and machine, the versions, the commit, the time."""
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {**_machine(), "device": device_name(device), "started": started}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this code lies in, and whether it has been changed."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None, None
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        status = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())

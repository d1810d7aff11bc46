import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from tqdm import tqdm

from bench.isolation import Limits, Unsupported, Worker

LIMITS = Limits(seconds=20)
WARNING = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
from test_isolation import LIMITS, Worker, warn
if __name__ == "__main__":
    with Worker(Path(__file__).parent / "log") as worker:
        assert worker.call(warn, limits=LIMITS).status == "ok"
"""


def double(x: int) -> int:
    return 2 * x


def refuse() -> None:
    raise Unsupported("needs a differentiable model")


def fail() -> None:
    print("about to fail")
    raise KeyError("nowhere")


def leave() -> None:
    sys.exit("enough")


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def sleep() -> None:
    time.sleep(600)


def eat() -> int:
    return len([np.ones(2**20) for _ in range(4000)])


def unsendable() -> object:
    return lambda: 0


def draw_bar() -> bool:
    list(tqdm(range(3), disable=False))
    return isinstance(tqdm.get_lock(), type(threading.RLock()))


def warn() -> None:
    logging.getLogger("bench.cache").warning("cache entry x is damaged")
    print("chatter", file=sys.stderr)


def spawn_child() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_worker_answers_call_after_call(log: Path):
    """A value comes back, and an error of one call doesn't end the worker."""
    with Worker(log) as worker:
        assert worker.call(double, 4, limits=LIMITS).value == 8
        failed = worker.call(fail, limits=LIMITS)
        assert (failed.status, failed.error_type) == ("failed", "KeyError")
        assert "nowhere" in failed.traceback
        assert failed.log == "about to fail\n"
        again = worker.call(fail, limits=LIMITS)
        assert again.log == "about to fail\n"
        assert worker.call(double, 5, limits=LIMITS).value == 10


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (refuse, "unsupported", "needs a differentiable model"),
        (leave, "failed", "enough"),
        (segfault, "crashed", "SIGSEGV"),
        (unsendable, "failed", "can't be sent"),
    ],
)
def test_each_end_is_a_status(log: Path, function, status: str, reason: str):
    """An answer, an exit, a signal and an unsendable value are told apart, with a reason."""
    with Worker(log) as worker:
        outcome = worker.call(function, limits=LIMITS)
        assert outcome.status == status
        assert reason in outcome.reason


def test_what_earnest_warns_of_reaches_the_terminal(tmp_path: Path):
    """And nothing else that a call prints."""
    script = tmp_path / "script.py"
    script.write_text(WARNING)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "cache entry x is damaged" in done.stderr.splitlines()
    assert "chatter" not in done.stderr
    assert "chatter" in (tmp_path / "log").read_text()


def test_time_limit(log: Path):
    """A call that sleeps for ever is stopped at its limit, and its worker is gone."""
    with Worker(log) as worker:
        start = time.perf_counter()
        outcome = worker.call(sleep, limits=Limits(seconds=0.3))
        assert outcome.status == "timeout"
        assert "0.3 s" in outcome.reason
        assert time.perf_counter() - start < 5
        assert not worker.alive


def test_memory_limit(log: Path):
    """A call that takes more than its memory is stopped before the machine suffers."""
    with Worker(log) as worker:
        outcome = worker.call(eat, limits=Limits(seconds=60, memory=2**30))
        assert outcome.status == "memory"
        assert "MiB" in outcome.reason


def test_closing_ends_what_the_call_started(log: Path):
    """No process outlives its worker."""
    with Worker(log) as worker:
        pid = worker.call(spawn_child, limits=LIMITS).value
        assert psutil.pid_exists(pid)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_progress_bar_leaves_no_semaphore(log: Path):
    """Its lock is one of threads: one between processes would outlive a stopped worker."""
    with Worker(log) as worker:
        assert worker.call(draw_bar, limits=LIMITS).value is True

"""Work in a process of its own: an error, a time limit, a memory limit or a signal is a status."""

import contextlib
import ctypes
import faulthandler
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from bench.record import Status

TICK = 0.02
"""Seconds between two looks at a child's memory."""


class Unsupported(Exception):
    """A method's answer to a problem that it cannot explain: the reason, in a sentence.

    It becomes the status `unsupported` of the cell, not a failure.
    """


@dataclass(frozen=True)
class Limits:
    """What one stage of a cell may take.

    Attributes
    ----------
    seconds : wall time. memory : resident bytes of the process.
    """

    seconds: float = 600.0
    memory: int = 6 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes
    ----------
    status : ok, unsupported, failed, timeout, memory or crashed.
    value : what the function returned, None unless ok.
    error_type, reason, traceback : of a failure; `log` the last lines that it printed.
    seconds : wall seconds of the call.
    """

    status: Status
    value: Any = None
    error_type: str = ""
    reason: str = ""
    traceback: str = ""
    log: str = ""
    seconds: float = 0.0


class Worker:
    """A process forked from a server that has the heavy imports loaded already.

    It answers one call after the other; once a call is stopped or dies, the worker is gone
    (`alive` is False) and another must be made. Use it as a context manager.

    Parameters
    ----------
    log : file that takes what the process prints.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._mine, theirs = _context().Pipe()
        self._process = _context().Process(target=_serve, args=(theirs, log), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def threads(self) -> int:
        """How many run in the process; 0 where it is gone."""
        try:
            return psutil.Process(self._process.pid).num_threads()
        except psutil.NoSuchProcess:
            return 0

    def call(self, function: Callable[..., Any], *args: Any, limits: Limits) -> Outcome:
        """`function(*args)` in the worker, within `limits`."""
        start, printed = time.perf_counter(), self._size()
        try:
            self._mine.send((function, args))
            outcome = self._wait(start, limits)
        except (EOFError, ConnectionError):
            outcome = self._died()
        except Exception as error:  # what came back is no answer: a method wrote into the pipe
            self.close()
            outcome = Outcome(
                "crashed", error_type=type(error).__name__, reason=f"sent no answer: {error}"
            )
        seconds = time.perf_counter() - start
        log = "" if outcome.status == "ok" else self._tail(printed)
        return Outcome(**{**vars(outcome), "seconds": seconds, "log": log})

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process.is_alive():
            for child in _descendants(self._process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self._process.kill()
        self._process.join()
        self._mine.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _wait(self, start: float, limits: Limits) -> Outcome:
        process = psutil.Process(self._process.pid)
        while not self._mine.poll(TICK):
            if time.perf_counter() - start > limits.seconds:
                self.close()
                return Outcome("timeout", reason=f"stopped after {limits.seconds:g} s")
            try:
                resident = process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            if resident > limits.memory:
                self.close()
                return Outcome("memory", reason=f"stopped at {resident / 2**20:.0f} MiB resident")
        outcome: Outcome = self._mine.recv()
        return outcome

    def _died(self) -> Outcome:
        self._process.join()
        code = self._process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            return Outcome("crashed", error_type=name, reason=f"killed by {name}")
        return Outcome("crashed", error_type="exit", reason=f"left with exit code {code}")

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _tail(self, start: int) -> str:
        """The last that was printed since the log had `start` bytes."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(start, self._size() - 4000))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


def preload(modules: Sequence[str]) -> None:
    """Name what the server imports once, before it forks; call it before the first worker."""
    _context().set_forkserver_preload(list(modules))


def _context() -> "multiprocessing.context.ForkServerContext":
    return multiprocessing.get_context("forkserver")


def _descendants(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _serve(connection: Connection, log: Path) -> None:
    _die_with_parent()
    gc.freeze()  # what the server imported is looked through, and copied, no more
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends its workers
    # What earnest itself warns of (a damaged cache entry, a download) is the user's to read.
    terminal = os.fdopen(os.dup(2), "w")
    logging.getLogger("bench").addHandler(logging.StreamHandler(terminal))
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file=sys.__stderr__ or sys.stderr)
    # tqdm's own lock, made with the first bar, is a semaphore that outlives a stopped worker.
    tqdm.set_lock(threading.RLock())
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        outcome = attempt(function, *args)
        try:
            connection.send(outcome)
        except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
            reason = f"its result can't be sent between processes: {error}"
            connection.send(Outcome("failed", error_type=type(error).__name__, reason=reason))
        sys.stdout.flush()


def attempt(function: Callable[..., Any], *args: Any) -> Outcome:
    """`function(*args)` here and now, an exception turned into an outcome."""
    try:
        return Outcome("ok", value=function(*args))
    except Unsupported as refusal:
        return Outcome("unsupported", reason=str(refusal))
    except MemoryError as error:
        return Outcome("memory", error_type="MemoryError", reason=str(error) or "out of memory")
    except (Exception, SystemExit) as error:
        return Outcome(
            "memory" if type(error).__name__ == "OutOfMemoryError" else "failed",  # a GPU's
            error_type=type(error).__name__,
            reason=str(error) or type(error).__name__,
            traceback=traceback.format_exc(),
        )


def _die_with_parent() -> None:
    """Ask Linux to end this process when the server that forked it ends.

    The server ends when nobody holds the other end of its pipe, so this process lets go of it.
    """
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)

"""The processes in which methods explain."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.clock import Costs
from bench.isolation import Limits, Outcome, Worker


class Explainers:
    """The processes in which methods explain, each a fork that has seen one method's problems only.

    A fork costs more than a quick answer does. So a method's process is kept for its next seed
    where the answer was quick and small; others, and all that failed, end with their answer. What
    fails in a kept process is tried again in a new one, so that no failure is of an earlier seed's
    making. A problem of another kind ends those that are kept. Use it as a context manager.

    Parameters
    ----------
    log : file that takes what the processes print.
    """

    QUICK = 1.0
    """Seconds of a call up to which a fork is worth saving."""
    SMALL = 2**26
    """Bytes that an answer may take: what a process once took it may hold for ever."""
    MOST = 16
    """Processes that are kept at a time."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._kind = ""
        self._kept: dict[str, Worker] = {}

    def call(
        self, kind: str, method: str, explain: Callable[..., Costs], *args: Any, limits: Limits
    ) -> Outcome:
        """`explain(*args)` in the process of `method`: its value are the costs.

        Parameters
        ----------
        kind : of the problem, whatever its seed.
        """
        if self._kind != kind:
            self.close()
            self._kind = kind

        def answer(worker: Worker, threads: float) -> Outcome:
            return self._answer(method, worker, threads, explain, *args, limits=limits)

        kept = self._kept.pop(method, None)
        if kept is not None:
            outcome = answer(kept, kept.threads)
            if outcome.status in ("ok", "unsupported"):
                return outcome
        return answer(Worker(self._log), math.inf)

    def _answer(
        self,
        method: str,
        worker: Worker,
        threads: float,
        explain: Callable[..., Costs],
        *args: Any,
        limits: Limits,
    ) -> Outcome:
        """From `worker`, which is kept or closed: also where more than `threads` are left, which
        would work on at the next seed's cost."""
        keep = False
        try:
            outcome = worker.call(explain, *args, limits=limits)
            keep = self._worth(outcome) and 0 < worker.threads <= threads
            return outcome
        finally:
            if keep:
                self._kept[method] = worker
            else:
                worker.close()

    def close(self) -> None:
        """End those that are kept."""
        while self._kept:
            self._kept.popitem()[1].close()

    def __enter__(self) -> "Explainers":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _worth(self, outcome: Outcome) -> bool:
        return (
            outcome.status == "ok"
            and outcome.seconds < self.QUICK
            and outcome.value.peak_memory < self.SMALL
            and len(self._kept) < self.MOST
        )

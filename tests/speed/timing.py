"""CPU seconds of calls that are made several times, ours and a peer's in turn."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(*calls: Callable[[], Any], rounds: int) -> list[float]:
    """Median CPU seconds of each; they take turns, so that a busy machine slows all alike.

    One call more of each comes before.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for call, found in zip(calls, taken, strict=True):
            start = time.process_time()
            call()
            if turn:
                found.append(time.process_time() - start)
    return [statistics.median(found) for found in taken]

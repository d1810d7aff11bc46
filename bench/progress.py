"""What is shown while cells run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from bench.record import STATUSES, Record

REFUSALS = 10
"""Reasons that are printed when a run ends, at most."""


class Progress:
    """Counts records as they come; use it as a context manager.

    Parameters
    ----------
    total : how many cells there are to run.
    suite : the name shown.
    every : seconds between two plain lines.
    """

    def __init__(self, total: int, suite: str, every: float = 15.0) -> None:
        self._bar = tqdm(total=total, desc=suite, unit="cell", disable=not sys.stderr.isatty())
        self._total, self._suite, self._every = total, suite, every
        self._counts: Counter[str] = Counter()
        self._started = self._last = time.monotonic()

    def tick(self, record: Record) -> None:
        """One more cell has left its record."""
        self._counts[record.status] += 1
        self._bar.set_postfix_str(self._text(), refresh=False)
        self._bar.update()
        now = time.monotonic()
        if self._bar.disable and (now - self._last >= self._every or self._n == self._total):
            self._last = now
            left = (now - self._started) / self._n * (self._total - self._n)
            line = (
                f"{self._suite}: {self._n}/{self._total} cells, {self._text()}, {left:.0f} s left"
            )
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._bar.close()

    @property
    def _n(self) -> int:
        return self._counts.total()

    def _text(self) -> str:
        return " ".join(f"{self._counts[s]} {s}" for s in STATUSES if self._counts[s])


def status_table(records: Sequence[Record]) -> str:
    """Status x method, one line a method; below what failed, and what was refused, with reasons:
    of refusals the `REFUSALS` most frequent."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        counts.setdefault((record.task, record.method), Counter())[record.status] += 1
    statuses = [s for s in STATUSES if any(c[s] for c in counts.values())]
    width = max((len(f"{task}/{method}") for task, method in counts), default=6) + 2
    lines = ["method".ljust(width) + "".join(s.rjust(13) for s in statuses)]
    for (task, method), count in counts.items():
        cells = "".join(str(count[s] or "·").rjust(13) for s in statuses)
        lines.append(f"{task}/{method}".ljust(width) + cells)
    failed = Counter(_reason(r) for r in records if r.status not in ("ok", "unsupported"))
    refused = Counter(_reason(r) for r in records if r.status == "unsupported")
    told = [*failed.items(), *refused.most_common(REFUSALS)]
    return "\n".join([*lines, *(f"{count} x {reason}" for reason, count in told)])


def _reason(record: Record) -> str:
    return f"{record.task}/{record.method} {record.status} ({record.stage}): {record.reason}"

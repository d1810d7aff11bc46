"""What is printed when a run ends."""

from dataclasses import replace

from bench.progress import REFUSALS, status_table
from bench.record import Record

RECORD = Record("0", "s", "attribution", "default", "wine", "mlp", "random", 0, "ok")


def refused(reason: str, times: int) -> list[Record]:
    return [replace(RECORD, status="unsupported", stage="train", reason=reason)] * times


def test_refusals_are_told_with_their_reasons():
    """The most frequent first, failures before them, no more than a screen holds."""
    failed = replace(RECORD, status="failed", stage="explain", reason="it broke")
    many = [r for k in range(2 * REFUSALS) for r in refused(f"reason {k}", k + 1)]
    lines = status_table([RECORD, *many, failed]).splitlines()
    assert lines[2] == "1 x attribution/random failed (explain): it broke"
    most = 2 * REFUSALS
    assert lines[3] == f"{most} x attribution/random unsupported (train): reason {most - 1}"
    assert len(lines) == 3 + REFUSALS

"""From a suite's records to its leaderboard: a table, a page, figures. Runs no method.

Only what a finished suite needs is imported at once; pandas and matplotlib come with the first
table or figure.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_csv", "as_json", "as_markdown", "leaderboard", "publish", "summary"]

PAGE, TABLE, FIGURES, STAMP = "leaderboard.html", "leaderboard.csv", "figures", ".leaderboard"
KINDS = ("*.py", "*.html", "*.css", "*.js")


def publish(suite: Path) -> Path:
    """Write a suite's page, tables and figures where its records have changed; the page's path.

    The tables are `leaderboard.csv` and, where there is something to compare, `agreement.csv` and
    `references.csv`, see `bench.board.agreement`, `detection.csv`, see `bench.board.detection`,
    and `removals.csv`, see `bench.board.removals`.
    """
    digest = _digest(suite)
    stamp, page = suite / STAMP, suite / PAGE
    if page.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return page
    from bench.board.figures import draw
    from bench.board.page import render
    from bench.board.table import FIELDS, as_csv

    records, table = _read(suite, digest)
    figures = draw(records, suite / FIGURES)
    _write(suite / TABLE, as_csv(table[list(FIELDS)]))
    for name, more in _further(records).items():
        if len(more):
            _write(suite / f"{name}.csv", as_csv(more))
        else:
            (suite / f"{name}.csv").unlink(missing_ok=True)
    _write(page, render(suite.resolve().name, records, table, figures))
    _write(stamp, digest)
    return page


def leaderboard(suite: Path, metrics: Sequence[str] = ()) -> "pd.DataFrame":
    """The leaderboard of a suite, see `bench.board.table.leaderboard`; all metrics unless named."""
    from bench.board.table import FIELDS, of_metrics

    table = _read(suite, _digest(suite))[1][list(FIELDS)]
    return of_metrics(table, metrics) if metrics else table


def as_json(suite: Path, metrics: Sequence[str] = ()) -> str:
    """An object of lists of objects: `leaderboard`, and further tables.

    `agreement` holds Kendall's tau between two methods' rankings of the features, `references`
    that between the rankings of the methods under two references (`bench.board.agreement`),
    `detection` how often each detector catches each fairwash (`bench.board.detection`), `removals`
    the test error before and after rows are removed (`bench.board.removals`).
    """
    from bench.board.table import as_json

    tables = {
        "leaderboard": leaderboard(suite, metrics),
        **_further(_read(suite, _digest(suite))[0]),
    }
    texts = [f'"{name}": {as_json(table)}' for name, table in tables.items()]
    return "{" + ",\n".join(texts) + "}"


def as_csv(suite: Path, metrics: Sequence[str] = ()) -> str:
    """The leaderboard of a suite as comma-separated values."""
    from bench.board.table import as_csv

    return as_csv(leaderboard(suite, metrics))


def as_markdown(suite: Path, metrics: Sequence[str] = ()) -> str:
    """Methods by problems, a table for each metric, the headline of each task unless named."""
    from bench.board.markdown import as_markdown
    from bench.board.panels import settings_in_short
    from bench.board.table import of_metrics

    records, table = _read(suite, _digest(suite))
    return as_markdown(of_metrics(table, metrics), settings_in_short(records))


def summary(suite: Path, metrics: Sequence[str] = ()) -> str:
    """The named metrics of a suite for a terminal, the headline of each task where none is named,
    and whether influence is trusted."""
    from bench.board.checks import check_lines
    from bench.board.table import as_text, of_metrics

    records, table = _read(suite, _digest(suite))
    text = as_text(of_metrics(table, metrics))
    return "\n\n".join(filter(None, [text, "\n".join(check_lines(records))]))


def trust(suite: Path) -> str:
    """Whether influence is trusted, a line a problem; empty where no task of the suite asks."""
    from bench.board.checks import check_lines
    from bench.board.rows import current
    from bench.record import read_all

    return "\n".join(check_lines(current(read_all(suite))))


def _further(records: list[Any]) -> "dict[str, pd.DataFrame]":
    """The tables beside the leaderboard, by the names of their files."""
    from bench.board.agreement import agreement_table, reference_table
    from bench.board.detection import detection_table
    from bench.board.removals import removal_table

    return {
        "agreement": agreement_table(records),
        "references": reference_table(records),
        "detection": detection_table(records),
        "removals": removal_table(records),
    }


@lru_cache(maxsize=1)
def _read(suite: Path, _digest: str) -> tuple[list[Any], "pd.DataFrame"]:
    """The current records of a suite and their ranked table, kept while its digest stays."""
    from bench.board.rows import current, rows
    from bench.board.table import ranked
    from bench.record import read_all

    records = current(read_all(suite))
    return records, ranked(rows(records))


def _digest(suite: Path) -> str:
    """Names, times and sizes of the records, and of the files that make the page."""
    own = Path(__file__).parent
    files = [*suite.glob("*.json"), *(p for kind in KINDS for p in own.glob(kind))]
    stats = sorted(filter(None, map(_stat, files)))
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def _stat(path: Path) -> tuple[str, int, int] | None:
    """Name, time and size; None where another shard has just set the file aside."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return path.name, found.st_mtime_ns, found.st_size


def _write(path: Path, text: str) -> None:
    """Whole or not at all: other shards may publish the same suite now."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

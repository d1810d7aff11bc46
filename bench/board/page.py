"""The leaderboard as one HTML file that needs no network, no server and no JavaScript."""

import base64
import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from bench.board import rule_list, washed
from bench.board.checks import check_lines
from bench.board.command import command_of
from bench.board.figures import Figure
from bench.board.panels import GRID, INK
from bench.board.rows import metrics_of
from bench.board.statistics import MANY
from bench.board.table import (
    FIELDS,
    OVERALL,
    as_csv,
    in_order,
    lines_of,
    rank_text,
    seconds_text,
)
from bench.record import STATUSES, Record

FOLDER = Path(__file__).parent
MAIN = 4
"""Metrics of a task in front: its headline and the next ones."""
PAYLOAD = (
    *("key", "task", "setting", "settings", "dataset", "model", "method", "method_version"),
    *("seed", "status", "reason", "scores", "seconds", "calls", "peak_memory", "started"),
    *("device", "hardware", "commit", "dirty"),
)


@dataclass(frozen=True)
class Cell:
    """A mean and its interval as they are shown; `sort` is the number that orders the column."""

    sort: float
    text: str
    interval: str = ""


@dataclass(frozen=True)
class Bar:
    """Where a row's mean and interval lie on the scale of its table, in percent."""

    mean: float
    low: float
    width: float


@dataclass(frozen=True)
class Line:
    """One method in a table."""

    method: str
    rank: Cell
    best: bool
    mean: Cell
    bar: Bar | None
    problems: tuple[Cell, ...]
    coverage: Cell
    seconds: Cell


@dataclass(frozen=True)
class Board:
    """One metric under one setting. `zero` is where 0 lies on the scale of the bars, if it does."""

    setting: str
    metric: str
    higher: bool
    problems: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    zero: float | None


@dataclass(frozen=True)
class Section:
    """All that the page shows of a task; `more` are the metrics that stand behind the others,
    `checks` say whether influence is trusted."""

    task: str
    metrics: Mapping[str, Mapping[str, Any]]
    more: frozenset[str]
    settings: tuple[str, ...]
    datasets: tuple[str, ...]
    boards: tuple[Board, ...]
    checks: tuple[str, ...]
    figures: tuple[Figure, ...]


def render(
    suite: str, records: Sequence[Record], table: pd.DataFrame, figures: Sequence[Figure]
) -> str:
    """The page of a suite.

    Parameters
    ----------
    suite : its name.
    records : its current records. table : of `bench.board.table.ranked`, theirs.
    figures : files to draw into the page, each below its task.
    """
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(drawn=_drawn, brief=_brief)
    sections = [
        _section(task, metrics, table[table.task == task], figures, records)
        for task, metrics in metrics_of(records).items()
    ]
    return environment.get_template("page.html").render(
        suite=suite,
        sections=[s for s in sections if s.boards],
        statuses={s: n for s in STATUSES if (n := sum(r.status == s for r in records))},
        failures=[r for r in records if r.status not in ("ok", "unsupported")],
        unsupported=Counter(
            (r.task, r.method, r.dataset, r.reason) for r in records if r.status == "unsupported"
        ),
        where=_where(records),
        many=MANY,
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        payload=_payload(suite, records, table),
    )


def _section(
    task: str,
    metrics: Mapping[str, Mapping[str, Any]],
    table: pd.DataFrame,
    figures: Sequence[Figure],
    records: Sequence[Record],
) -> Section:
    groups = table.groupby(["setting", "metric"], sort=False)
    boards = [_board(group) for _, group in groups if group["mean"].notna().any()]
    known = {board.metric for board in boards}
    shown = {name: info for name, info in metrics.items() if name in known}
    return Section(
        task,
        shown,
        frozenset(list(shown)[MAIN:]) if len(shown) > MAIN + 1 else frozenset(),
        tuple(dict.fromkeys(board.setting for board in boards)),
        tuple(dict.fromkeys(dataset for board in boards for dataset, _ in board.problems)),
        tuple(boards),
        tuple(check_lines([record for record in records if record.task == task])),
        tuple(figure for figure in figures if figure.task == task),
    )


def _board(group: pd.DataFrame) -> Board:
    overall = in_order(group[group.dataset == OVERALL])
    parts = group[group.dataset != OVERALL]
    problems = tuple(dict.fromkeys(zip(parts.dataset, parts.model, strict=True)))
    by_problem = {(p.method, p.dataset, p.model): p for p in lines_of(parts)}
    digits = _digits(group["mean"])
    ends = overall[["mean", "low", "high"]].to_numpy(dtype=float)
    left, right = _scale(ends)
    lines = tuple(
        Line(
            method=line.method,
            rank=Cell(line.rank_low or math.inf, rank_text(line.rank_low, line.rank_high)),
            best=line.rank_low == 1,
            mean=_mean_cell(line, digits),
            bar=_bar(line, left, right),
            problems=tuple(
                _mean_cell(by_problem.get((line.method, *problem)), digits) for problem in problems
            ),
            coverage=Cell(line.coverage, f"{math.floor(100 * line.coverage)} %"),
            seconds=Cell(_sortable(line.seconds), seconds_text(line.seconds)),
        )
        for line in lines_of(overall)
    )
    first = overall.iloc[0]
    zero = -left / (right - left) * 100 if left < 0 < right else None
    higher = first.direction == "higher"
    return Board(first.setting, first.metric, higher, problems, lines, zero)


def _mean_cell(line: Any, digits: int) -> Cell:
    if line is None or math.isnan(line.mean):
        return Cell(math.inf, "–")
    between = ""
    if not math.isnan(line.low):
        between = f"{_number(line.low, digits)} to {_number(line.high, digits)}"
    return Cell(line.mean, _number(line.mean, digits), between)


def _bar(line: Any, left: float, right: float) -> Bar | None:
    if math.isnan(line.mean):
        return None

    def place(value: float) -> float:
        return round((value - left) / (right - left) * 100, 2)

    low, high = (line.mean, line.mean) if math.isnan(line.low) else (line.low, line.high)
    return Bar(place(line.mean), place(low), round(place(high) - place(low), 2))


def _scale(ends: Any) -> tuple[float, float]:
    """The least and largest number to draw; one wide interval doesn't flatten all others."""
    finite = ends[pd.notna(ends)]
    left, right = float(finite.min()), float(finite.max())
    return (left, right) if right > left else (left - 0.5, right + 0.5)


def _digits(means: "pd.Series[float]") -> int:
    largest = means.abs().max()
    if not largest > 0:
        return 3
    return int(min(4, max(0, 2 - math.floor(math.log10(largest)) + (1 <= largest < 2))))


def _number(value: float, digits: int) -> str:
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _brief(value: float) -> str:
    """A number that orders a column, as JavaScript reads it."""
    return f"{value:.6g}" if math.isfinite(value) else "Infinity"


def _sortable(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _where(records: Sequence[Record]) -> dict[str, str]:
    """What the foot of the page says about code and machine."""
    started = sorted(r.started[:16].replace("T", " ") for r in records if r.started)
    commits = sorted(
        {f"{r.commit[:12]}{' (changed)' if r.dirty else ''}" for r in records if r.commit}
    )
    machines = sorted({_machine(r) for r in records if r.hardware})
    return {
        "run": " to ".join(dict.fromkeys((started[0], started[-1]))) if started else "",
        "commit": ", ".join(commits),
        "machine": ", ".join(machines),
        "mixed": "yes" if len(machines) > 1 else "",
    }


def _machine(record: Record) -> str:
    """What a cell ran on, its GPU first where it had one."""
    return " on ".join([record.device] * (record.device != "cpu") + [record.hardware])


def _payload(suite: str, records: Sequence[Record], table: pd.DataFrame) -> str:
    """What the script needs: JSON, compressed tenfold, in letters that can't end its element."""
    data = {
        "suite": suite,
        "csv": as_csv(table[list(FIELDS)]),
        "records": [
            {
                **{name: getattr(record, name) for name in PAYLOAD},
                "command": command_of(record),
                "rule_list": rule_list.as_objects(rule_list.rule_table(record)),
                "washed": washed.as_objects(washed.washed(record)),
            }
            for record in records
        ],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _drawn(figure: Figure) -> str:
    """A figure's SVG as a data URI, its ink and grid following the reader's colour scheme."""
    svg = figure.svg.read_text(encoding="utf-8")
    svg = svg.replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    scheme = (
        f"<style>:root{{--ink:{INK};--grid:{GRID}}}@media(prefers-color-scheme:dark)"
        "{:root{--ink:#d8d8d2;--grid:#3a3d42}}</style>"
    )
    start = svg.index(">", svg.index("<svg")) + 1
    encoded = base64.b64encode((svg[:start] + scheme + svg[start:]).encode()).decode()
    return f"data:image/svg+xml;base64,{encoded}"

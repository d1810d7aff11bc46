"""Tables for a text that people write: methods by problems, means with intervals, in Markdown."""

import html
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.board.table import OVERALL, printable

Problem = tuple[str, str, str]
PROBLEM = ("setting", "dataset", "model")


def as_markdown(table: pd.DataFrame, settings: Mapping[str, str]) -> str:
    """A table for each task and metric of `table`: a row a method, a column a problem.

    A cell is `mean ± half` of the 95 % interval, `mean (low to high)` where the interval isn't
    as wide on both sides, having been cut to the metric's range, and the mean alone for one
    seed; the number of seeds stands there where others have more. Methods are sorted by the mean
    of their places in the columns, those that miss some last.

    Parameters
    ----------
    table : of `bench.board.table.ranked`.
    settings : a setting's text -> what is told of it above a column.
    """
    parts = table[table.dataset != OVERALL].groupby(["task", "metric"], sort=False)
    return "\n\n".join("\n".join(_lines(part, settings)) for _, part in parts)


def _lines(part: pd.DataFrame, settings: Mapping[str, str]) -> Iterator[str]:
    first, known = part.iloc[0], part[part["mean"].notna()]
    better = "" if first.direction == "none" else f", {first.direction} is better"
    yield f"{_plain(first.task)}: {_code(first.metric)}{better}"
    yield ""
    if known.empty:
        yield "No value."
        return
    most = int(known.n.max())
    problems = list(dict.fromkeys(zip(*(known[name] for name in PROBLEM), strict=True)))
    cells = {
        problem: dict(zip(lines.method, _cells(lines, most), strict=True))
        for problem, lines in known.groupby([*PROBLEM])
    }
    yield _row(["method", *_headings(problems, settings)])
    yield _row(["---", *["---:"] * len(problems)])
    for method in _sorted(part, known):
        yield _row([_code(method), *(cells[problem].get(method, "") for problem in problems)])


def _headings(problems: Sequence[Problem], settings: Mapping[str, str]) -> list[str]:
    """What tells the problems apart: the data set, and where others have it too its model and
    setting."""
    models = Counter(dataset for dataset, _ in {problem[1:] for problem in problems})
    several = len({setting for setting, *_ in problems}) > 1
    named = [
        (dataset, model * (models[dataset] > 1), settings.get(setting, setting) * several)
        for setting, dataset, model in problems
    ]
    return [" ".join(_plain(text) for text in texts if text) for texts in named]


def _sorted(part: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    means = known.pivot(index="method", columns=[*PROBLEM], values="mean")
    places = means.rank(ascending=part.direction.iloc[0] == "lower")
    complete = places.mean(axis=1, skipna=False).sort_values(kind="stable", na_position="last")
    return [*complete.index, *(m for m in part.method.unique() if m not in complete.index)]


def _cells(column: pd.DataFrame, most: int) -> list[str]:
    digits = _digits(column)
    return [_cell(line, digits, most) for line in column.itertuples(index=False)]


def _digits(column: pd.DataFrame) -> int:
    """So many that half an interval has two that count; where there is none, the means three."""
    size, wanted = _typical((column.high - column.low) / 2), 2
    if not size > 0:
        size, wanted = _typical(column["mean"].abs()), 3
    return min(6, max(0, wanted - 1 - math.floor(math.log10(size)))) if size > 0 else wanted


def _typical(sizes: "pd.Series[float]") -> float:
    return float(sizes[sizes > 0].median())


def _cell(line: Any, digits: int, most: int) -> str:
    mean, low, high = (f"{value:z.{digits}f}" for value in (line.mean, line.low, line.high))
    fewer = f", {line.n} seed{'s' * (line.n > 1)}" if line.n < most else ""
    if line.low != line.low:
        return mean + fewer
    above, below = line.high - line.mean, line.mean - line.low
    if math.isclose(above, below, rel_tol=1e-6, abs_tol=1e-12):
        return f"{mean} ± {above:.{digits}f}{fewer}"
    return f"{mean} ({low} to {high}){fewer}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    plain = printable(text).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _plain(text: str) -> str:
    """A name from a stranger's record, of which nothing is markup."""
    plain = html.escape(printable(text), quote=False)
    return "".join(f"\\{c}" if c in "\\`*[]|~" else c for c in plain)

"""The leaderboard: a line for each method, metric, setting and data set, and one over them all."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bench.board.statistics import coverage, interval, rank_intervals
from bench.components import did_you_mean

FIELDS = (
    *("task", "setting", "dataset", "model", "method", "metric", "direction"),
    *("mean", "low", "high", "n", "coverage", "seconds"),
)
RANKS = ("rank_low", "rank_high")
OVERALL = "all"


def leaderboard(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval of each method, by data set and over all data sets of its setting.

    Parameters
    ----------
    rows : of `bench.board.rows`.

    Returns
    -------
    The columns `FIELDS`. Nothing is averaged over settings. A row with dataset `all` is the mean
    over the list of all (data set, model) where the metric is defined, and has no mean where the
    method lacks one of them. n : seeds, the fewest of any data set. coverage : share of all
    cells that gave a value. seconds : of `explain`, the median over seeds, averaged over data
    sets.
    """
    return ranked(rows)[list(FIELDS)]


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard with the interval of each method's rank, 0 where it has none."""
    groups = rows.groupby(["task", "setting", "metric"], sort=False)
    lines = [line for _, group in groups for line in _lines(group)]
    return pd.DataFrame(lines, columns=[*FIELDS, *RANKS])


def _lines(group: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """All lines of one task, setting and metric: each problem's, then those over all."""
    for _, problem in group.groupby(["dataset", "model"], sort=False):
        yield from _block(problem, problem.dataset.iloc[0], problem.model.iloc[0])
    models = group.model.unique()
    yield from _block(group, OVERALL, models[0] if len(models) == 1 else OVERALL)


def _block(group: pd.DataFrame, dataset: str, model: str) -> Iterator[dict[str, Any]]:
    """The lines of all methods over the problems of `group`."""
    first = group.iloc[0]
    values, seconds, methods, problem = _matrices(group)
    listed = np.isin(problem, problem[np.isfinite(values).any(0)])
    if not listed.any():
        listed[:] = True
    among = values[:, listed], problem[listed]
    ranks = np.zeros((len(methods), 2), dtype=int)
    if first.direction != "none":
        ranks = rank_intervals(*among, first.direction == "higher")
    rng = np.random.default_rng(0)  # the same records, the same table
    for i, method in enumerate(methods):
        mean, low, high = interval(among[0][i], among[1], rng=rng)
        yield {
            "task": first.task,
            "setting": first.setting,
            "dataset": dataset,
            "model": model,
            "method": method,
            "metric": first.metric,
            "direction": first.direction,
            "mean": mean,
            # A confidence interval stays one when it is cut to the possible values.
            "low": np.fmax(low, np.minimum(mean, first.least)) if low == low else low,
            "high": np.fmin(high, np.maximum(mean, first.largest)) if high == high else high,
            "n": min(np.isfinite(values[i, problem == p]).sum() for p in set(among[1])),
            "coverage": coverage(values[i]),
            "seconds": _typical(seconds[i, listed], among[1]),
            "rank_low": ranks[i, 0],
            "rank_high": ranks[i, 1],
        }


def _matrices(
    group: pd.DataFrame,
) -> tuple[Float[np.ndarray, "k u"], Float[np.ndarray, "k u"], list[str], Int[np.ndarray, " u"]]:
    """(values, seconds of `explain`, methods, the problem of each column), a column a seed."""
    methods = list(dict.fromkeys(group.method))
    cells = list(zip(group.dataset, group.model, strict=True))
    problems = {problem: i for i, problem in enumerate(dict.fromkeys(cells))}
    at = [(problems[cell], seed) for cell, seed in zip(cells, group.seed, strict=True)]
    units = {unit: i for i, unit in enumerate(dict.fromkeys(at))}
    place = [methods.index(method) for method in group.method], [units[unit] for unit in at]
    values, seconds = np.full((2, len(methods), len(units)), np.nan)
    values[place], seconds[place] = group.value, group["seconds.explain"]
    return values, seconds, methods, np.array([problem for problem, _ in units])


def _typical(seconds: Float[np.ndarray, " u"], problem: Int[np.ndarray, " u"]) -> float:
    """The median over seeds, averaged over problems; NaN where a problem was never timed."""
    timed = [seconds[(problem == p) & np.isfinite(seconds)] for p in np.unique(problem)]
    return float(np.mean([np.median(t) if t.size else math.nan for t in timed]))


def as_json(table: pd.DataFrame) -> str:
    """A list of objects with the columns as fields; null where there is no number."""
    objects = table.astype(object).where(table.notna(), None).to_dict("records")
    return json.dumps(objects, ensure_ascii=False, indent=1, default=lambda x: x.item())


def as_csv(table: pd.DataFrame) -> str:
    """Comma-separated values that no spreadsheet takes for formulas."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_csv_cell(v) for v in line] for line in table.itertuples(index=False))
    return file.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value != value or value is None else value


def of_metrics(table: pd.DataFrame, names: Sequence[str] = ()) -> pd.DataFrame:
    """The lines of the named metrics; those of each task's headline, its first, where none is.

    Raises
    ------
    ConfigError
        Where the table has no such metric.
    """
    for name in names:
        if name not in set(table.metric):
            raise did_you_mean(name, table.metric.unique(), "metric")
    if not names:
        return table[table.metric == table.groupby("task", sort=False).metric.transform("first")]
    return table[table.metric.isin(names)]


def as_text(table: pd.DataFrame) -> str:
    """Each metric of `table`, one of `ranked`, for a terminal, the best method first."""
    groups = table.groupby(["task", "setting", "metric"], sort=False)
    return "\n\n".join("\n".join(_text_lines(group)) for _, group in groups)


def _text_lines(group: pd.DataFrame) -> Iterator[str]:
    overall = in_order(group[group.dataset == OVERALL])
    parts = group[group.dataset != OVERALL]
    problems = list(dict.fromkeys(zip(parts.dataset, parts.model, strict=True)))
    means = parts.set_index(["method", "dataset", "model"])["mean"]
    often = Counter(dataset for dataset, _ in problems)
    headings = [f"{data} {model}" if often[data] > 1 else data for data, model in problems]
    lines = [["rank", "method", "mean", "95 %", *headings, "done", "time"]]
    for line in lines_of(overall):
        by_problem = [means.get((line.method, *p), math.nan) for p in problems]
        lines.append(
            [
                rank_text(line.rank_low, line.rank_high),
                line.method,
                _text(line.mean),
                f"{_text(line.low)} .. {_text(line.high)}" if line.low == line.low else "",
                *map(_text, by_problem),
                f"{line.coverage:.0%}",
                seconds_text(line.seconds),
            ]
        )
    first = overall.iloc[0]
    yield printable(f"{first.task}: {first.metric} ({first.direction} is better), {first.setting}")
    cells = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(
            cell.ljust(w) if i == 1 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of one metric, the best first, those without a mean last."""
    lower = table.direction.iloc[0] == "lower"
    return table.sort_values("mean", ascending=lower, na_position="last", kind="stable")


def lines_of(table: pd.DataFrame) -> list[Any]:
    """The lines of a table, their fields as attributes."""
    return list(table.itertuples(index=False))


def rank_text(low: int, high: int) -> str:
    """`1–3`, `2`, or nothing for a method without a rank."""
    return "" if not low else str(low) if low == high else f"{low}\N{EN DASH}{high}"


def seconds_text(seconds: float) -> str:
    """`0.82 ms`, `14 ms`, `3.1 s`, nothing for NaN."""
    if seconds != seconds:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:,.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds * 1e3:.2f} ms"


def _text(value: float) -> str:
    return f"{value:z.3f}" if value == value else "-"


def printable(text: str) -> str:
    """Without control characters: a name may come from a stranger's record."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)

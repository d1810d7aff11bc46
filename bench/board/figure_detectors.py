"""Which fairwash is caught by which detector: power and AUROC as a table in colour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from bench.board.detection import Caught, caught, detectors_of
from bench.board.fairwashing import published
from bench.board.figure_companion import of_each_data_set
from bench.board.panels import (
    GRID,
    SCORES,
    SOFT,
    Sketch,
    by_rank,
    drawing,
    entitle,
    headed,
    left_out,
    plain_names,
    problems_of,
    short,
)
from bench.record import Record

FIGURES = 6
"""Problems drawn, each as a figure, at most."""
ROWS, COLUMNS = 24, 12
"""Methods and detectors of a figure at most."""
WIDE, HIGH, HEAD = 0.92, 0.52, 0.3
"""Of a cell, and of the line above the methods of a kind, in inches."""
DARK = "#23272c"
"""Letters on a light colour, also where the reader's colour scheme is dark."""
KINDS = {"model": "published models", "sample": "published samples"}
"""What detectors look at."""
DEEP = 0.62
"""Power from which on letters are white."""


@dataclass(frozen=True)
class Table:
    """What is known of one problem.

    Attributes
    ----------
    rows : what kind was published, and by which method. columns : detectors.
    cells : by row and column; none where the detector doesn't look at it.
    """

    rows: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Caught | None, ...], ...]


def detectors(records: Sequence[Record]) -> Iterator[Sketch]:
    """A figure a problem: models and samples beside each other."""
    looked_at = [r for kind in KINDS for r in published(records, kind) if detectors_of([r])]
    held, missing = of_each_data_set(looked_at, FIGURES)
    for i, ((setting, dataset, model), group) in enumerate(problems_of(held).items()):
        yield Sketch(
            "detectors" if not i else f"detectors_{i + 1}",
            "Which fairwash is caught.",
            f"{dataset}, {model}, {setting}: the percentage of audits in which a detector calls "
            "dishonest, at 5 %, what was published, mean over seeds; below it a 95 % interval, "
            "over seeds and no narrower than Wilson's of all audits together; then AUROC against "
            "honest publications, .50 where they look alike. Grey: the detector doesn't look at "
            f"what was published.{left_out(missing) if not i else ''}",
            _drawn(table_of(group), headed(dataset, model)[0]),
        )


def table_of(records: Sequence[Record]) -> Table:
    """A row for each method, models before samples, best first; a column for each detector."""
    columns = tuple(detectors_of(records)[:COLUMNS])
    rows = [
        (kind, method)
        for kind in KINDS
        if (own := published(records, kind))
        for method in plain_names(by_rank(own))
    ][:ROWS]
    cells = [
        tuple(
            caught([r for r in published(records, kind) if r.method == method], detector)
            for detector in columns
        )
        for kind, method in rows
    ]
    return Table(tuple(rows), columns, tuple(cells))


def _drawn(table: Table, title: str) -> Drawing:
    tops, end = _places(table.rows)
    figure = drawing(WIDE * len(table.columns) + 3.0, end + 1.2)
    axes = figure.add_subplot()
    axes.set(xlim=(0, WIDE * len(table.columns)), ylim=(end, 0))
    axes.set_aspect("equal")
    axes.grid(visible=False)
    entitle(axes, title, "")
    axes.spines[:].set_visible(False)
    for top, row in zip(tops, table.cells, strict=True):
        for column, one in enumerate(row):
            _draw(axes, WIDE * column, top, one)
    for kind, top in _heads(table.rows, tops):
        axes.text(0, top - 0.07, KINDS[kind], color=SOFT, fontsize=8.5, va="bottom")
    names = [short(method) for _, method in table.rows]
    axes.set_yticks([top + HIGH / 2 for top in tops], names, fontsize=8.5)
    places = [WIDE * (column + 0.5) for column in range(len(table.columns))]
    names = [name.replace("_", "_\n", 1) for name in map(_name, table.columns)]
    axes.set_xticks(places, names, fontsize=8.5)
    return figure


def _name(detector: str) -> str:
    return short(detector, 24)


def _places(rows: Sequence[tuple[str, str]]) -> tuple[list[float], float]:
    """Inches from the top to each row, and to the end: a kind's first row has a head."""
    tops, end, last = list[float](), 0.0, None
    for kind, _ in rows:
        end += HEAD if kind != last else 0.0
        tops.append(end)
        end, last = end + HIGH, kind
    return tops, end


def _heads(rows: Sequence[tuple[str, str]], tops: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Each kind, and where its first row begins."""
    firsts: dict[str, float] = {}
    for (kind, _), top in zip(rows, tops, strict=True):
        firsts.setdefault(kind, top)
    yield from firsts.items()


def _draw(axes: Axes, left: float, top: float, one: Caught | None) -> None:
    """A cell: power, its interval, AUROC."""
    colour = GRID if one is None else SCORES(one.power)
    axes.add_patch(Rectangle((left, top), WIDE, HIGH, facecolor=colour, edgecolor="white", lw=1))
    if one is None:
        return
    style: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": "white" if one.power > DEEP else DARK,
    }
    low, high = (f"{100 * end:.0f}" for end in (one.low, one.high))
    told = f"AUROC {one.auroc:.2f}" if one.auroc == one.auroc else ""
    lines = ((0.24, 9.0, f"{100 * one.power:.0f} %"), (0.55, 6.8, f"{low} to {high}"))
    for place, size, text in (*lines, (0.8, 6.8, told)):
        axes.text(left + WIDE / 2, top + place * HIGH, text, fontsize=size, **style)

"""The figures of a suite, drawn from its records alone, as SVG and PNG."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import seaborn as sns

from bench.board.figure_agreement import agreement_matrix
from bench.board.figure_cleansing import removal
from bench.board.figure_companion import transparency
from bench.board.figure_costs import against_costs, call_budget, tau_against_seconds
from bench.board.figure_curves import deletion_and_inclusion
from bench.board.figure_detectors import detectors
from bench.board.figure_error_split import error_split
from bench.board.figure_exhibits import exhibits
from bench.board.figure_fronts import fronts
from bench.board.figure_gap import gap_over_time
from bench.board.figure_maps import attribution_maps
from bench.board.figure_mislabels import gain_against_auc
from bench.board.figure_ranks import mean_ranks
from bench.board.figure_references import by_reference
from bench.board.figure_rejections import against_rate, against_size
from bench.board.figure_rule_list import rule_lists
from bench.board.figure_scores import by_method
from bench.board.figure_stability import stability
from bench.board.figure_subsets import lds_by_share
from bench.board.figure_unified import both_sides, table_of_sides
from bench.board.figure_users import over_users
from bench.board.figure_washed import washed_models
from bench.board.panels import STYLE, Sketch
from bench.board.rows import metrics_of
from bench.record import Record

log = logging.getLogger(__name__)

Sketcher = Callable[[Sequence[Record]], Iterable[Sketch]]

OF_TASK: dict[str, tuple[Sketcher, ...]] = {
    "attribution": (
        deletion_and_inclusion,
        attribution_maps,
        by_reference,
        against_costs,
        call_budget,
        agreement_matrix,
    ),
    "cleansing": (
        removal,
        exhibits,
        tau_against_seconds,
        lds_by_share,
        gain_against_auc,
        error_split,
    ),
    "companion": (transparency, rule_lists, gap_over_time, stability),
    "fairwashing": (
        fronts,
        washed_models,
        over_users,
        detectors,
        against_rate,
        against_size,
    ),
    "unified": (both_sides, table_of_sides),
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its task, its file (a PNG lies beside it), its width in pixels."""

    task: str
    title: str
    caption: str
    svg: Path
    width: int


def draw(records: Sequence[Record], folder: Path) -> list[Figure]:
    """Draw every figure for which the records hold what is needed, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Figure] = []
    with mpl.rc_context(sns.axes_style("whitegrid") | STYLE):
        for task in metrics_of(records):
            done = [r for r in records if r.task == task and r.status == "ok"]
            for sketcher in (by_method, mean_ranks, *OF_TASK.get(task, ())) if done else ():
                drawn += _drawn(sketcher, done, task, folder)
    return drawn


def _drawn(sketcher: Sketcher, records: list[Record], task: str, folder: Path) -> Iterator[Figure]:
    """Its figures, or a warning: what is wrong with details must not stop the numbers."""
    try:
        for sketch in sketcher(records):
            yield _saved(sketch, task, folder)
    except Exception as error:  # a stranger's details may hold anything
        name, kind = sketcher.__name__, type(error).__name__
        log.warning("figure %s of %s left out: %s: %s", name, task, kind, error)


def _saved(sketch: Sketch, task: str, folder: Path) -> Figure:
    name = re.sub(r"[^\w-]+", "_", f"{task}_{sketch.name}")
    svg = folder / f"{name}.svg"
    sketch.drawing.savefig(svg, facecolor="none", metadata={"Date": None})
    sketch.drawing.set_layout_engine("none")  # it is laid out: once is enough
    sketch.drawing.savefig(folder / f"{name}.png", dpi=150)
    width = int(sketch.drawing.get_size_inches()[0] * 96)
    return Figure(task, sketch.title, sketch.caption, svg, width)

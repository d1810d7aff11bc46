"""The pictures of both sides: what is drawn is what the records say."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bench.board.figure_unified import both_sides, places, table_of_sides
from bench.board.figures import OF_TASK, draw
from bench.board.panels import SCORES, SOFT
from bench.record import Record

Make = Callable[..., Record]
NAN = math.nan


def unified(
    make: Make, method: str, seed: int = 0, scores=(NAN, NAN, NAN), **fields: Any
) -> Record:
    """A record with the feature side's score, the data side's, and the fidelity."""
    names = ("ideal_influence", "data_influence", "fidelity")
    known = {
        name: {"value": None if math.isnan(value) else value, "note": ""}
        for name, value in zip(names, scores, strict=True)
    }
    values = [value for value in scores[:2] if not math.isnan(value)]
    both = {"value": sum(values) / 2 if values else None, "note": ""}
    metrics = {
        name: {"direction": "higher", "range": [None, None]} for name in ("both_sides", *names)
    }
    made = make("unified", method, seed, **{"settings": {"transparency": 0.6}} | fields)
    return replace(made, scores={"both_sides": both, **known}, metrics=metrics)


@pytest.fixture
def records(make: Make) -> list[Record]:
    return [
        unified(make, "companion", 0, (0.2, 0.1, 1.0)),
        unified(make, "companion", 1, (0.4, 0.3, 0.5)),
        unified(make, "lime", 0, (0.9, NAN, NAN)),
        unified(make, "sgd_influence", 0, (NAN, 0.8, NAN)),
        unified(make, "refused", 0),
    ]


def test_means_over_seeds_and_what_is_missing(records: list[Record]):
    """The companion has both sides and comes first; what has neither is left out."""
    first, second, third = places(records)
    assert (first.method, first.features, first.data) == pytest.approx(("companion", 0.3, 0.2))
    assert first.fidelity == pytest.approx(0.75)
    assert [p.method for p in (second, third)] == ["lime", "sgd_influence"]
    assert first.whole
    assert not second.whole
    assert math.isnan(second.data)
    assert (third.point.cost, third.point.score) == (0, 0.8)


def test_points_stand_where_the_scores_say(records: list[Record]):
    """A diamond in the colour of its fidelity; circles in grey on the axes."""
    (sketch,) = both_sides(records)
    axes = sketch.drawing.axes[0]
    drawn = [line for line in axes.lines if line.get_marker() in ("D", "o")]
    where = {(round(float(x.get_xdata()[0]), 9), round(float(x.get_ydata()[0]), 9)) for x in drawn}
    assert where == {(0.3, 0.2), (0.9, 0.0), (0.0, 0.8)}
    (diamond,) = [line for line in drawn if line.get_marker() == "D"]
    assert to_hex(diamond.get_color()) == to_hex(SCORES(0.75))
    assert {to_hex(line.get_color()) for line in drawn if line is not diamond} == {SOFT}
    assert {text.get_text() for text in axes.texts} >= {"companion", "lime", "sgd_influence"}


def test_the_table_holds_both_scores_and_the_fidelity(records: list[Record]):
    """A row a method, best headline first, in hundredths; what isn't there stays empty."""
    (sketch,) = table_of_sides(records)
    axes = sketch.drawing.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["features", "data", "fidelity"]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["lime", "sgd_influence", "companion"]
    written = {
        (round(text.get_position()[1] - 0.52), round(text.get_position()[0] - 0.5)): text.get_text()
        for text in axes.texts
        if text.get_text().strip("\N{MINUS SIGN}").isdigit()
    }
    wanted = {(0, 0): "90", (1, 1): "80", (2, 0): "30", (2, 1): "20", (2, 2): "75"}
    assert written == wanted


def test_nothing_is_drawn_of_records_without_sides(make: Make):
    assert list(both_sides([unified(make, "refused")])) == []
    assert list(table_of_sides([unified(make, "refused")])) == []


def test_the_task_has_its_figures(records: list[Record], tmp_path):
    """Both files lie in the folder, whatever a record's scores are."""
    assert set(OF_TASK["unified"]) == {both_sides, table_of_sides}
    strange = replace(records[0], scores={"ideal_influence": {"value": "much"}}, seed=7)
    drawn = {figure.svg.name for figure in draw([*records, strange], tmp_path)}
    assert {"unified_sides.svg", "unified_sides_table.svg"} <= drawn
    assert np.all([(tmp_path / name).with_suffix(".png").is_file() for name in drawn])

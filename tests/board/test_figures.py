"""Figures are drawn from what the records hold, and left out where they lack it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.board.figures import draw
from bench.record import Record

Make = Callable[..., Record]


@pytest.mark.parametrize("task", ["attribution", "cleansing", "companion"])
def test_every_task_has_its_two_figures(task: str, records: list[Record], tmp_path: Path):
    """One of the scores, one of what was measured; as SVG and as PNG."""
    drawn = draw([r for r in records if r.task == task and r.seed < 2], tmp_path)
    assert [figure.task for figure in drawn] == [task] * 2
    for figure in drawn:
        assert figure.svg.read_text().startswith("<?xml")
        assert figure.svg.with_suffix(".png").stat().st_size > 5_000


@pytest.mark.parametrize(
    "details",
    [{}, {"instance": 3}, {"instance": {"deletion": {}, "inclusion": {}, "pixels": "x"}}],
)
def test_details_that_lack_something_cost_one_figure(details: dict, make: Make, tmp_path: Path):
    """A stranger's details may hold anything."""
    drawn = draw([replace(make(value=0.5), details=details)], tmp_path)
    assert [figure.title for figure in drawn] == ["ideal_influence by method."]


def test_tabular_instances_have_curves_without_pictures(make: Make, tmp_path: Path):
    """Features in a table aren't drawn as an image."""
    curves = {"method": [1.0, 0.5, 0.1], "ideal": [1.0, 0.2, 0.1], "chance": [1.0, 0.6, 0.1]}
    details = {"instance": {"deletion": curves, "inclusion": curves, "input": [0.1, 0.2]}}
    drawn = draw([replace(make(value=0.5), details=details)], tmp_path)
    assert len(drawn) == 2


def test_a_task_without_values_has_no_figure(make: Make, tmp_path: Path):
    """Failed and undefined cells leave nothing to draw."""
    assert draw([make(status="failed"), make(seed=1, value=None)], tmp_path) == []


def test_names_are_text(make: Make, tmp_path: Path):
    """Dollars start no formula, angle brackets no element, slashes no folder."""
    (figure,) = draw([make("../a<b", method="$x_<script>$", value=1.0)], tmp_path)
    assert figure.svg.parent == tmp_path
    assert "<script" not in figure.svg.read_text()

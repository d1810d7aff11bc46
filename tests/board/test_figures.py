"""Figures are drawn from what the records hold, and left out where they lack it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bench.board import figure_costs, figure_ranks
from bench.board.figures import draw
from bench.record import Record

Make = Callable[..., Record]


NAMES = {
    "attribution": {
        "by_method",
        "deletion_inclusion",
        *("maps", "maps_2", "maps_3"),
        "references",
        *("costs", "agreement", "ranks"),
    },
    "cleansing": {
        "by_method",
        *("removal", "removal_last", "test_error"),
        *("exhibits", "exhibits_2", "exhibits_3", "exhibits_4"),
        *("costs", "error_split"),
    },
    "companion": {"by_method", "transparency"},
}


@pytest.mark.parametrize("task", ["attribution", "cleansing", "companion"])
def test_every_task_has_its_figures(task: str, records: list[Record], tmp_path: Path):
    """One of the scores, and those of what was measured; as SVG and as PNG."""
    drawn = draw([r for r in records if r.task == task and r.seed < 2], tmp_path)
    assert {figure.svg.stem for figure in drawn} == {f"{task}_{name}" for name in NAMES[task]}
    for figure in drawn:
        assert figure.task == task
        assert figure.svg.read_text().startswith("<?xml")
        assert figure.svg.with_suffix(".png").stat().st_size > 5_000


ODD = {"deletion": 3, "inclusion": {"method": ["x"]}}
SHOWN = {"shown": [{"pixels": "x"}], "values": [[1.0, None]], "instance": {"membership": [[9]]}}


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"instance": 3, "curves": 3, "shown": 3, "values": 3, "ideal_influence": 3},
        {"curves": ODD, **SHOWN},
        {"shown": [3], "values": [3], "instance": {}, "curves": {}},
        {"values": [[1.0, 2.0], [1.0]], "ideal_influence": [None]},
    ],
)
def test_details_that_lack_something_cost_their_figures(details: dict, make: Make, tmp_path: Path):
    """A stranger's details may hold anything: the scores are drawn all the same."""
    made = [make(method=m, value=0.5) for m in ("a", "b")]
    drawn = draw([replace(record, details=details) for record in made], tmp_path)
    assert {f.svg.stem for f in drawn} <= {f"attribution_{n}" for n in ("by_method", "costs")}
    assert drawn[0].title == "ideal_influence by method."


def test_tables_have_no_maps(make: Make, tmp_path: Path):
    """Features in a table aren't drawn as an image; their curves are."""
    curves = {"method": [1.0, 0.5, 0.1], "ideal": [1.0, 0.2, 0.1], "chance": [1.0, 0.6, 0.1]}
    details = {"curves": {"deletion": curves, "inclusion": curves}, "shown": []}
    drawn = draw([replace(make(value=0.5), details=details)], tmp_path)
    assert [f.svg.stem.removeprefix("attribution_") for f in drawn] == [
        "by_method",
        "deletion_inclusion",
        "costs",
    ]


@pytest.mark.parametrize("count", [1, 40])
def test_figures_fit_few_and_many_methods(
    count: int, make: Make, tmp_path: Path, attribution_details: Callable[..., dict]
):
    """One method or forty, with a score that is undefined: no warning, a size that fits a page."""
    rng = np.random.default_rng(0)
    records = [
        replace(
            make(method=f"method_{i}", seed=seed, value=None if i == 1 else i / 40),
            details=attribution_details(i / 40, rng),
            cpu_seconds=0.01 * (i + 1),
        )
        for i in range(count)
        for seed in range(2)
    ]
    for figure in draw(records, tmp_path):
        width, height = imread(figure.svg.with_suffix(".png")).shape[1::-1]
        assert figure.width < 1300
        assert width < 2100
        assert height < 2500


def test_coloured_images_and_partitions_of_their_own(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Three channels; features of each instance from one image, or from a list of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 6)).tolist()
    own = np.arange(24).reshape(4, 6) // 6
    shown = [
        {"target": 0, "pixels": pixels},
        {"target": 1, "pixels": pixels, "membership": own.tolist()},
    ]
    both = np.stack([np.stack([own] * 3), np.stack([own.max() - own] * 3)]).tolist()
    details = {"shown": shown, "values": [[1, 2, 3, 4]] * 2, "instance": {"membership": both}}
    drawn = draw([replace(make(value=0.5), details=details)], tmp_path)
    assert "attribution_maps" in {f.svg.stem for f in drawn}
    assert not caplog.records


def test_budgets_join_what_differs_in_one_number(make: Make, tmp_path: Path):
    """Three sample counts of one method make a line; another field's value, another line."""

    def record(samples: int, ridge: float) -> Record:
        config = {"_target_": "lime", "samples": samples, "inner": {"ridge": ridge}}
        named = make(
            method=f"lime samples={samples}",
            value=samples / 1000,
            calls={"forward": samples},
            config={"method": {"config": config}, "n": [samples, ridge]},
        )
        return replace(named, seed=int(ridge))

    records = [record(s, 1.0) for s in (10, 100, 500)]
    assert list(figure_costs.families(records)) == ["lime, samples"]
    assert figure_costs.families(records)["lime, samples"].calls == pytest.approx([10, 100, 500])
    assert not figure_costs.families([*records[:2], record(500, 2.0)])
    assert any(f.svg.stem == "attribution_budget" for f in draw(records, tmp_path))


def test_critical_distance_is_demsars():
    """Table 5 of Demsar (2006): q = 2.343 for two-tailed tests of 3 methods, 2.569 of 4."""
    for methods, problems, q in ((4, 14, 2.569), (3, 10, 2.343)):
        wanted = q * math.sqrt(methods * (methods + 1) / (6 * problems))
        assert figure_ranks.critical_distance(methods, problems) == pytest.approx(wanted, abs=1e-3)


def test_ranks_want_problems_enough(make: Make, tmp_path: Path):
    """Six problems of three methods are drawn, five aren't."""
    records = [
        make(method=m, value=v + 0.01 * d, dataset=f"data {d}")
        for m, v in {"a": 0.1, "b": 0.2, "c": 0.3}.items()
        for d in range(6)
    ]
    (sketch,) = figure_ranks.mean_ranks(records)
    labels = [label.get_text() for label in sketch.drawing.axes[0].get_yticklabels()]
    assert labels == ["c", "b", "a"]
    assert not list(figure_ranks.mean_ranks([r for r in records if r.dataset != "data 5"]))


@pytest.mark.parametrize(("low", "high"), [(300, 450), (30, 60), (2, 3), (11, 110), (2, 9e4)])
def test_costs_are_named_in_plain_numbers(low: float, high: float, make: Make):
    """At least two on each axis, and none as a formula, also within a power of ten."""
    calls = np.geomspace(low, high, 4).round().astype(int).tolist()
    records = [
        replace(make(method=f"m{i}", value=0.1 * i), calls={"forward": c}, cpu_seconds=c / 1e3)
        for i, c in enumerate(calls)
    ]
    (sketch,) = figure_costs.against_costs(records)
    sketch.drawing.draw_without_rendering()
    for axes in sketch.drawing.axes:
        least, most = axes.get_xlim()
        shown = [
            label.get_text()
            for minor in (False, True)
            for label, at in zip(
                axes.get_xticklabels(minor=minor), axes.get_xticks(minor=minor), strict=True
            )
            if least <= at <= most and label.get_text()
        ]
        assert 2 <= len(set(shown)) == len(shown) <= 7, shown
        assert not any("$" in text for text in shown)


def test_the_front_holds_what_no_cheaper_method_equals():
    """Points are on the Pareto front exactly if no other is as cheap and as good."""
    rng = np.random.default_rng(0)
    points = [figure_costs.Point(str(i), *map(float, rng.integers(1, 9, 2))) for i in range(30)]
    best = {(p.cost, p.score) for p in figure_costs.front(points)}
    truth = {
        (p.cost, p.score)
        for p in points
        if not any(
            (q.cost <= p.cost and q.score >= p.score) and (q.cost, q.score) != (p.cost, p.score)
            for q in points
        )
    }
    assert best == truth


def test_a_task_without_values_has_no_figure(make: Make, tmp_path: Path):
    """Failed and undefined cells leave nothing to draw."""
    assert draw([make(status="failed"), make(seed=1, value=None)], tmp_path) == []


def test_names_are_text(make: Make, tmp_path: Path):
    """Dollars start no formula, angle brackets no element, slashes no folder."""
    (figure,) = draw([make("../a<b", method="$x_<script>$", value=1.0)], tmp_path)
    assert figure.svg.parent == tmp_path
    assert "<script" not in figure.svg.read_text()

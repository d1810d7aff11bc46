"""Fronts of fairwashing: what is drawn is the least unfairness that the records hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.board.figure_fronts import DOTS, Front, front, fronts, staircases, thinned
from bench.record import Record

from .fairwashes import CANDIDATES, a_model, fairwash

Make = Callable[..., Record]


def random_front(rng: np.random.Generator, k: int) -> Front:
    return Front(rng.random(k).round(2), rng.random(k), float(rng.random()))


def test_the_least_unfairness_of_each_fidelity():
    """By going through the candidates one by one; the black box explains itself, too."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, floors = random_front(rng, 6), rng.random(9)
        for floor, found in zip(floors, one.least(floors), strict=True):
            pairs = zip(one.fidelity, one.unfairness, strict=True)
            assert found == min([one.own, *(u for f, u in pairs if f >= floor)])


def test_staircases_hold_the_least_between_their_bends():
    """Horizontal or vertical everywhere; a step's height is that of its right end."""
    rng = np.random.default_rng(1)
    found = [random_front(rng, 5) for _ in range(3)]
    lines = staircases(found)
    assert len({tuple(x) for x, _ in lines}) == 1
    for one, (x, y) in zip(found, lines, strict=True):
        assert not (np.diff(x).astype(bool) & np.diff(y).astype(bool)).any()
        middles, heights = ((x[1:] + x[:-1]) / 2)[1::2], y[1::2]
        np.testing.assert_array_equal(one.least(middles), heights)


def test_the_mean_over_seeds_is_drawn(make: Make):
    """At .9 one seed's candidate has .02, the other's .08; the black box is in the middle."""
    other = {
        "candidates": [{"fidelity": 0.92, "unfairness": 0.08}],
        "black_box": {"unfairness": 0.3},
    }
    (sketch,) = fronts([a_model(make), a_model(make, seed=1, **other)])
    (axes,) = sketch.drawing.axes
    lines = {line.get_label(): line for line in axes.lines}
    x, y = lines["laundry_ml"].get_data()
    assert y[np.searchsorted(x, 0.9)] == pytest.approx(0.05)
    assert x[-1] == 0.95
    assert lines["black box"].get_xydata().tolist() == [[1.0, pytest.approx(0.25)]]
    dots = next(line for line in axes.lines if line.get_alpha() == 0.35)
    drawn = {tuple(point) for point in dots.get_xydata().tolist()}
    wanted = {tuple(one.values()) for one in [*CANDIDATES, *other["candidates"]]}
    assert drawn == wanted


def test_a_panel_for_each_problem_and_a_line_for_each_method(make: Make):
    """Samples and models for one person each have no front; honest lists are grey."""
    records = [
        a_model(make, method, dataset=dataset, settings={"measure": measure})
        for method in ("laundry_ml", "honest_list", "random_list")
        for dataset in ("compas", "adult")
        for measure in ("demographic_parity", "equal_opportunity")
    ]
    (sketch,) = fronts([*records, fairwash(make, "case_control", "sample")])
    assert len(sketch.drawing.axes) == 4
    lines = {line.get_label(): line for line in sketch.drawing.axes[0].lines}
    assert {"laundry_ml", "honest_list", "random_list", "black box"} <= set(lines)
    assert lines["honest_list"].get_color() == lines["random_list"].get_color()
    assert lines["honest_list"].get_linestyle() != lines["random_list"].get_linestyle()


def test_of_many_candidates_some_are_drawn():
    """The least and the most faithful among them, and none twice."""
    rng = np.random.default_rng(0)
    many = random_front(rng, 500)
    dots = thinned([many])
    assert len({tuple(dot) for dot in dots}) == DOTS
    assert {many.fidelity.min(), many.fidelity.max()} <= set(dots[:, 0])
    assert len(thinned([random_front(rng, 4)])) == 4


@pytest.mark.parametrize(
    "told",
    [
        {"candidates": None},
        {"candidates": []},
        {"candidates": {"fidelity": 1}},
        {"candidates": [3]},
        {"candidates": [{"fidelity": 0.9}]},
        {"candidates": [*CANDIDATES, {"fidelity": 2, "unfairness": 0.1}]},
        {"candidates": [{"fidelity": "high", "unfairness": 0.1}]},
        {"candidates": CANDIDATES * 10_000},
        {"black_box": 0.2},
        {"black_box": {}},
        {"black_box": {"unfairness": 1e400}},
    ],
)
def test_what_is_no_front_is_left_out(told: dict[str, Any], make: Make):
    broken = a_model(make, "broken", **told)
    assert front(broken) is None
    assert list(fronts([broken])) == []
    (sketch,) = fronts([broken, a_model(make)])
    assert "broken" not in {line.get_label() for line in sketch.drawing.axes[0].lines}


def test_a_fair_black_box_has_a_panel(make: Make):
    """Nothing to wash, nothing to scale by."""
    told = {
        "black_box": {"unfairness": 0.0},
        "candidates": [{"fidelity": 1.0, "unfairness": 0.0}],
    }
    (sketch,) = fronts([a_model(make, **told)])
    least, most = sketch.drawing.axes[0].get_ylim()
    assert least <= 0 < most

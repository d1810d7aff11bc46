"""What people see of the black box's unfairness: the curves count the records' people."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.board.figure_users import cumulative, over_users, users
from bench.record import Record

from .fairwashes import a_model, fairwash

Make = Callable[..., Record]
PEOPLE = [
    {"black_box": 0.3, "unfairness": 0.0, "fidelity": 0.9},
    {"black_box": 0.2, "unfairness": 0.1, "fidelity": 0.9},
]


def of_people(make: Make, method: str = "laundry_ml", seed: int = 0, told: Any = None) -> Record:
    given = {"users": PEOPLE if told is None else told}
    return fairwash(make, method, "people", seed, settings={"scope": "local"}, **given)


def height(line: Any, x: float) -> float:
    """Of a line that bends, to the right of x."""
    xs, ys = line.get_data()
    return float(ys[np.searchsorted(xs, x, side="right") - 1])


def test_the_share_of_values_up_to_x():
    """By counting them."""
    values = np.random.default_rng(0).integers(0, 5, 20) / 10
    x, y = cumulative(values)
    for at in np.arange(0, 0.5, 0.05):
        below = np.searchsorted(x, at, side="right") - 1
        assert (y[below] if below >= 0 else 0) == np.mean(values <= at)


def test_people_of_all_seeds_are_counted(make: Make):
    """The black box once a seed, though two methods tell of it."""
    more = [{"black_box": 0.5, "unfairness": 0.4}]
    records = [
        *(of_people(make, method) for method in ("laundry_ml", "honest_list")),
        of_people(make, "laundry_ml", 1, more),
    ]
    (sketch,) = over_users(records)
    lines = {line.get_label(): line for line in sketch.drawing.axes[0].lines}
    assert list(lines) == ["black box", "laundry_ml", "honest_list"]
    assert lines["black box"].get_linestyle() == "--"
    assert [height(lines["black box"], x) for x in (0.1, 0.25, 0.35, 0.5)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert [height(lines["laundry_ml"], x) for x in (0.05, 0.15, 0.5)] == pytest.approx(
        [1 / 3, 2 / 3, 1]
    )
    assert [height(lines["honest_list"], x) for x in (0.05, 0.15)] == [0.5, 1]


@pytest.mark.parametrize(
    "told", [3, [], [3], {"black_box": 1}, [{"unfairness": 0.1}], [{**PEOPLE[0], "black_box": 7}]]
)
def test_what_are_no_people_is_left_out(told: Any, make: Make):
    broken = of_people(make, "broken", told=told)
    assert users(broken) == {}
    assert list(over_users([broken])) == []
    (sketch,) = over_users([broken, of_people(make)])
    labels = [line.get_label() for line in sketch.drawing.axes[0].lines]
    assert labels == ["black box", "laundry_ml"]


def test_other_kinds_have_no_people(make: Make):
    assert list(over_users([a_model(make), fairwash(make, "case_control", "sample")])) == []


def test_people_who_see_no_unfairness_have_a_panel(make: Make):
    (sketch,) = over_users([of_people(make, told=[{"black_box": 0, "unfairness": 0}])])
    left, right = sketch.drawing.axes[0].get_xlim()
    assert left <= 0 < right

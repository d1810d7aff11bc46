"""Covered rows of several seeds compared."""

import numpy as np
import pytest

from bench.board.figure_stability import alike, covered, jaccard, stability
from bench.record import Record

from .conftest import made


def record(method: str, seed: int, held: np.ndarray, **told) -> Record:
    """A companion's record whose list covers these of the sample's rows."""
    bits = {"rows": len(held), "bits": np.packbits(held).tobytes().hex()}
    return made("companion", method, seed, value=0.8, details={"covered": {**bits, **told}})


def sets(n: int = 100) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(n) < share for share in (0.3, 0.5, 0.7)]


def test_rows_are_read_back():
    """Of any number, not only of whole bytes."""
    for n in (1, 8, 101):
        rows = np.random.default_rng(n).random(n) < 0.5
        np.testing.assert_array_equal(covered(record("greedy", 0, rows)), rows)


@pytest.mark.parametrize(
    "told",
    [
        {"rows": "x"},
        {"rows": True},
        {"rows": -1},
        {"rows": 10**9},
        {"rows": 9999},
        {"bits": "zz"},
        {"bits": 7},
        {"bits": "00"},
    ],
)
def test_what_can_t_be_read_is_left_out(told: dict):
    assert covered(record("greedy", 0, sets()[0], **told)) is None
    assert list(stability([record("greedy", seed, sets()[0], **told) for seed in (0, 1)])) == []


def test_jaccard_is_the_mean_over_pairs():
    """Both over either, by hand; two empty sets are alike; none without a pair."""
    a, b, c = (np.array(list(bits)) == "1" for bits in ("1100", "0110", "0000"))
    assert jaccard([a, b]) == pytest.approx(1 / 3)
    assert jaccard([a, b, c]) == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert jaccard([c, c]) == 1
    assert np.isnan(jaccard([a]))
    assert np.isnan(jaccard([a, b[:2]]))


def test_seeds_of_one_problem_are_compared():
    """Two data sets apart, never with each other."""
    rows = sets()
    own = [record("greedy", seed, rows[0]) for seed in (0, 1)]
    other = [
        made(
            "companion",
            "greedy",
            seed,
            value=0.8,
            dataset="wine",
            details={"covered": record("greedy", seed, rows[seed]).details["covered"]},
        )
        for seed in (0, 1)
    ]
    assert alike(own) == 1
    assert alike(own + other) == pytest.approx((1 + jaccard(rows[:2])) / 2)


def test_a_bar_for_each_method():
    """Its length is the index; a method of a single seed has none."""
    rows = sets()
    records = [record("greedy", seed, rows[seed]) for seed in range(3)]
    records += [record("annealing", seed, rows[0]) for seed in range(3)]
    records.append(record("beam", 0, rows[1]))
    (sketch,) = stability(records)
    (axes,) = sketch.drawing.axes
    widths = sorted(bar.get_width() for bar in axes.patches)
    assert widths == pytest.approx(sorted([jaccard(rows), 1.0]))


def test_single_seeds_are_not_drawn():
    assert list(stability([record("greedy", 0, sets()[0]), record("beam", 0, sets()[1])])) == []

"""The table of test errors before and after removal."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import t

from bench import board
from bench.board.removals import REMOVALS, removal_table, removals
from bench.record import Record, write

Make = Callable[..., Record]
BEFORE, AFTER = (0.80, 0.82, 0.87), (0.84, 0.85, 0.88)


def records_of(make: Make, **more: Any) -> list[Record]:
    """A seed each."""
    found = []
    for seed, (before, after) in enumerate(zip(BEFORE, AFTER, strict=True)):
        details = {
            "removed": [0, 5],
            "n_train": 100,
            "accuracy": [before, after],
            "accuracy_last": [before, before],
            "accuracy_random": [before, before - 0.01],
        }
        record = make("cleansing", "sgd_influence", seed, settings={"flip": 0.1})
        found.append(replace(record, details=details | more))
    return found


def test_errors_and_paired_gains_with_student_s_interval(make: Make):
    """The spread of accuracies over seeds is not in the gain's interval."""
    table = removal_table(records_of(make))
    assert tuple(table.columns) == REMOVALS
    asked = (table.method == "sgd_influence") & (table.trained_again == "all epochs")
    (row,) = table[asked & (table.removed == 5)].to_dict("records")
    assert row["error"] == pytest.approx(1 - sum(AFTER) / 3)
    gains = [after - before for before, after in zip(BEFORE, AFTER, strict=True)]
    mean = sum(gains) / 3
    spread = (sum((g - mean) ** 2 for g in gains) / 2) ** 0.5
    half = t.ppf(0.975, 2) * spread / 3**0.5
    wanted = (mean, mean - half, mean + half)
    assert (row["gain"], row["gain_low"], row["gain_high"]) == pytest.approx(wanted)
    assert row["high"] - row["low"] > row["gain_high"] - row["gain_low"]
    assert row["seeds"] == 3


def test_removal_at_random_counts_once_a_seed(make: Make):
    """It is the same for all methods of a seed."""
    both = records_of(make) + [replace(r, method="own_loss") for r in records_of(make)]
    table = removal_table(both)
    at_random = table[(table.method == "at random") & (table.removed == 5)]
    assert at_random.seeds.tolist() == [3]
    assert at_random.gain.tolist() == pytest.approx([-0.01])


@pytest.mark.parametrize(
    "spoilt",
    [
        {"removed": [1, 5]},
        {"removed": [0]},
        {"removed": [0, "x"]},
        {"removed": [0, None]},
        {"removed": "all", "accuracy": None},
    ],
)
def test_details_that_hold_no_curve_are_left_out(make: Make, spoilt: dict[str, Any]):
    """Records may come from strangers."""
    assert not removals(records_of(make, **spoilt), "accuracy")


def test_it_stands_beside_the_leaderboard(make: Make, tmp_path: Path):
    """As a file, and in the JSON."""
    for record in records_of(make):
        write(record, tmp_path)
    board.publish(tmp_path)
    assert (tmp_path / "removals.csv").read_text().startswith(",".join(REMOVALS))
    # Two amounts for random removal, for all epochs and for the last one.
    assert len(json.loads(board.as_json(tmp_path))["removals"]) == 6

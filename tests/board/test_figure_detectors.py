"""Which fairwash is caught: the table beside the leaderboard, and the one in colour."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, t

from bench import board
from bench.board.detection import DETECTION, caught, detection_table, wilson
from bench.board.figure_detectors import detectors, table_of
from bench.board.figures import OF_TASK, draw
from bench.record import Record, write

from .fairwashes import MODEL, OF_MODELS, OF_SAMPLES, a_model, fairwash, watched

Make = Callable[..., Record]


@pytest.fixture
def records(make: Make) -> list[Record]:
    """Three seeds of two published models and a sample."""
    return [
        record
        for seed, more in enumerate((0.0, 0.1, 0.3))
        for record in (
            a_model(make, seed=seed, scores=watched(OF_MODELS, 0.2 + more, 0.0)),
            a_model(make, "honest_list", seed=seed, scores=watched(OF_MODELS, 0.05, 0.04)),
            fairwash(make, "case_control", "sample", seed, scores=watched(OF_SAMPLES, 0.9, 1.0)),
        )
    ]


@pytest.mark.parametrize(("rejected", "n"), [(0, 10), (3, 10), (10, 10), (57, 1000)])
def test_wilsons_interval_is_scipys(rejected: int, n: int):
    wanted = binomtest(rejected, n).proportion_ci(0.95, "wilson")
    assert wilson(rejected / n, n) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert wilson(0.3, 0) == (0, 1)


def test_power_over_seeds(records: list[Record]):
    """Student's interval where the seeds differ, Wilson's of all 300 audits where they don't."""
    own = [r for r in records if r.method == "laundry_ml"]
    found = caught(own, "fraud_detect")
    assert found
    rates = np.array([0.2, 0.3, 0.5])
    half = t.ppf(0.975, 2) * rates.std(ddof=1) / math.sqrt(3)
    assert found.power == pytest.approx(rates.mean())
    assert (found.low, found.high) == pytest.approx((0, rates.mean() + half))
    assert found.auroc == pytest.approx(0.5 + rates.mean() / 2)
    assert found.auroc_low < found.auroc < found.auroc_high
    assert (found.seeds, found.audits) == (3, 300)
    never = caught(own, "error_gap")
    assert never
    assert (never.low, never.high) == pytest.approx(wilson(0, 300))
    assert caught(own, "mmd") is None


def test_one_seed_has_wilsons_interval(records: list[Record]):
    """And no interval for AUROC."""
    found = caught(records[:1], "fraud_detect")
    assert found
    assert (found.low, found.high) == pytest.approx(wilson(0.2, 100))
    assert math.isnan(found.auroc_low)


def test_the_honest_who_are_accused(make: Make):
    """The level that the details tell, in the mean over seeds."""
    told = [{"fraud_detect": {"level": level}} for level in (0.03, 0.05)]
    records = [
        a_model(make, seed=seed, scores=watched(OF_MODELS, 0.2, 0.1), detectors=one)
        for seed, one in enumerate(told)
    ]
    found = [caught(records, name) for name in OF_MODELS]
    assert found[0]
    assert found[1]
    assert found[0].level == pytest.approx(0.04)
    assert math.isnan(found[1].level)


def test_the_table_beside_the_leaderboard(records: list[Record], tmp_path: Path):
    """A row for each method and detector that looked; the same in JSON; gone with its records."""
    for record in records:
        write(record, tmp_path)
    board.publish(tmp_path)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "detection.csv").read_text())))
    assert tuple(lines[0]) == DETECTION
    found = {(line["method"], line["detector"]): float(line["power"]) for line in lines}
    assert found == pytest.approx(
        {
            ("laundry_ml", "fraud_detect"): 1 / 3,
            ("laundry_ml", "error_gap"): 0.0,
            ("honest_list", "fraud_detect"): 0.05,
            ("honest_list", "error_gap"): 0.04,
            ("case_control", "ks_by_feature"): 0.9,
            ("case_control", "mmd"): 1.0,
        }
    )
    assert len(json.loads(board.as_json(tmp_path))["detection"]) == 6
    for path in tmp_path.glob("*.json"):
        path.unlink()
    board.publish(tmp_path)
    assert not (tmp_path / "detection.csv").exists()


def test_no_other_task_has_the_table(make: Make):
    other = make("attribution", value=0.5)
    scores = {**other.scores, "power_x": {"value": 0.5, "n": 3}}
    assert detection_table([replace(other, scores=scores)]).empty


def test_models_and_samples_in_one_table(records: list[Record]):
    """Models first, the best method first; no cell where a detector doesn't look."""
    table = table_of(records)
    assert table.columns == OF_SAMPLES + OF_MODELS
    assert [kind for kind, _ in table.rows] == ["model", "model", "sample"]
    looked = [[one is not None for one in row] for row in table.cells]
    assert looked == [[False, False, True, True]] * 2 + [[True, True, False, False]]


def test_the_cells_say_what_the_table_says(records: list[Record]):
    """Power in percent, its interval, AUROC; grey where nothing is."""
    (sketch,) = detectors(records)
    (axes,) = sketch.drawing.axes
    written = [text.get_text() for text in axes.texts]
    assert {"published models", "published samples"} <= set(written)
    cell = written.index("33 %")
    assert written[cell : cell + 3] == ["33 %", "0 to 71", "AUROC 0.67"]
    assert written.count("0 %") == 1
    assert len([text for text in written if text.startswith("AUROC")]) == 6
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert len(colours) == 12
    assert max(map(colours.count, colours)) == 6
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [method for _, method in table_of(records).rows]


@pytest.mark.parametrize("value", ["much", None, math.nan, -1, 7, [1]])
def test_scores_that_are_no_shares_are_left_out(value: Any, make: Make):
    record = a_model(make, scores={"power_fraud_detect": value})
    assert detection_table([record]).empty
    assert list(detectors([record])) == []


@pytest.mark.parametrize("n", ["many", None, -3, math.inf])
def test_without_audits_nothing_is_sure(n: Any, make: Make):
    record = a_model(make, scores=watched(OF_MODELS, 0.2, 0.1))
    record.scores["power_fraud_detect"]["n"] = n
    found = caught([record], "fraud_detect")
    assert found
    assert (found.low, found.high, found.audits) == (0, 1, 0)


def test_the_task_has_its_figures(records: list[Record], tmp_path: Path):
    """All lie in the folder, of names in which nothing is run, beside records of nonsense."""
    assert len(OF_TASK["fairwashing"]) == 6
    hostile = "<script>$x_{</script>"
    named = replace(
        records[0], method=hostile, details={**MODEL, "kind": "model", "groups": [hostile] * 2}
    )
    strange = [
        replace(records[0], seed=9 + i, details=told)
        for i, told in enumerate(
            (
                {"kind": "model", "published": 3, "black_box": [], "detectors": 3},
                {"kind": ["people"], "users": 3},
                {"kind": "sample", "candidates": {}, "detectors": {"mmd": 3}},
                {"kind": None},
            )
        )
    ]
    drawn = draw([*records, named, *strange], tmp_path)
    assert {figure.svg.stem.removeprefix("fairwashing_") for figure in drawn} == {
        *("by_method", "fronts", "washed", "detectors")
    }
    assert not any("<script" in figure.svg.read_text() for figure in drawn)
    assert all(figure.width < 1300 for figure in drawn)

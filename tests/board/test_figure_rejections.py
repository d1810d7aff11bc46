"""Rejections against a number of the setting: places, heights and bands are the records'."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from bench.board.fairwashing import without
from bench.board.figure_rejections import against_rate, against_size, families
from bench.record import Record

from .fairwashes import OF_MODELS, OF_SAMPLES, a_model, fairwash, watched

Make = Callable[..., Record]


def sample(
    make: Make, method: str, seed: int, power: float, dataset: str = "coin", **settings: float
) -> Record:
    scores = watched(OF_SAMPLES, power, power / 2)
    return fairwash(make, method, "sample", seed, settings, scores, dataset)


@pytest.fixture
def records(make: Make) -> list[Record]:
    """Two seeds of two methods at three rates, in no order."""
    base = {"case_control": 0.8, "honest_sample": 0.04}
    return [
        sample(make, method, seed, round(level * abs(rate - 0.6) * 5, 3) + 0.02 * seed, rate=rate)
        for rate in (0.8, 0.4, 0.6)
        for method, level in base.items()
        for seed in (0, 1)
    ]


def test_a_panel_for_each_detector_a_line_for_each_method(records: list[Record]):
    """Mean over seeds in order of the rate; Wilson's band of both seeds' 200 audits."""
    (sketch,) = against_rate(records)
    panels = sketch.drawing.axes
    assert [panel.get_title() for panel in panels] == [*OF_SAMPLES]
    lines = {line.get_label(): line for line in panels[0].lines}
    x, y = lines["case_control"].get_data()
    np.testing.assert_allclose(x, [0.4, 0.6, 0.8])
    np.testing.assert_allclose(y, [0.81, 0.01, 0.81])
    (band, _) = panels[0].collections
    low, high = binomtest(162, 200).proportion_ci(0.95, "wilson")
    ends = band.get_paths()[0].vertices
    heights = ends[np.isclose(ends[:, 0], 0.4), 1]
    assert (heights.min(), heights.max()) == pytest.approx((low, high))
    seeds = [line for line in panels[0].lines if line.get_alpha() == 0.4]
    assert sorted(seeds[0].get_ydata()) == pytest.approx([0, 0.02, 0.8, 0.8, 0.82, 0.82])


def test_one_rate_has_no_figure(records: list[Record], make: Make):
    """Nor has what differs in something else as well, nor a model."""
    assert list(against_rate([r for r in records if r.settings["rate"] == 0.4])) == []
    assert list(against_size(records)) == []
    mixed = [
        sample(make, "case_control", 0, 0.5, rate=0.4, audit_size=100),
        sample(make, "case_control", 0, 0.5, rate=0.5, audit_size=200),
        sample(make, "case_control", 0, 0.5, dataset="other", rate=0.6, audit_size=200),
    ]
    assert list(against_rate(mixed)) == []
    models = [
        a_model(make, settings={"rate": rate}, scores=watched(OF_MODELS, 0.5, 0.5))
        for rate in (0.4, 0.5)
    ]
    assert list(against_rate(models)) == []


def test_sizes_of_samples_and_models(make: Make):
    """Both kinds in one figure; a detector's panel has what it looks at."""
    records = [
        record
        for size in (50, 200)
        for record in (
            sample(make, "case_control", 0, size / 400, audit_size=size),
            a_model(
                make,
                dataset="coin",
                settings={"audit_size": size},
                scores=watched(OF_MODELS, size / 200, 0.1),
            ),
        )
    ]
    (sketch,) = against_size(records)
    found = {
        panel.get_title(): [
            line.get_label() for line in panel.lines if not line.get_label().startswith("_")
        ]
        for panel in sketch.drawing.axes
        if panel.lines
    }
    assert found == {
        **dict.fromkeys(OF_SAMPLES, ["case_control"]),
        **dict.fromkeys(OF_MODELS, ["laundry_ml"]),
    }
    assert "audit_size" not in sketch.caption


def test_settings_are_told_apart_by_all_else(make: Make):
    """Words are taken from the short text where they stand alone, not where they are part."""
    record = replace(make("fairwashing", settings={"rate": 0.5, "error": "x rate=0.5"}), key="k")
    record = replace(record, setting="other_rate=0.5 rate=0.5 measure=a")
    key, text = without(record, "rate")
    assert text == "other_rate=0.5 measure=a"
    assert key == '{"error": "x rate=0.5"}'


@pytest.mark.parametrize("rate", [None, "high", math.nan, [0.5]])
def test_a_rate_that_is_none_has_no_place(rate: object, records: list[Record]):
    strange = [replace(r, settings={**r.settings, "rate": rate}) for r in records]
    assert families(strange, "rate") == {}
    assert families([*records, *strange], "rate").keys() == families(records, "rate").keys()

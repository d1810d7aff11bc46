"""The washed model beside the honest one: every number and line is the record's."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import board, inspection
from bench.board.figure_washed import MOST, cut, washed_models
from bench.board.washed import as_objects, as_text, folded, washed
from bench.record import Record, write

from .fairwashes import MODEL, a_model, fairwash

Make = Callable[..., Record]
HOSTILE = '<img src=x onerror="window.hacked=1">\x1b[31m'


def written(sketch: Any) -> list[str]:
    return [text.get_text() for text in sketch.drawing.axes[0].texts]


def test_what_an_auditor_sees(make: Make):
    """Black box, honest, washed, each on the suing group and on people not seen before."""
    found = washed(a_model(make))
    assert found
    assert found.washed == tuple(MODEL["published"]["text"])
    assert found.honest == tuple(MODEL["honest"]["text"])
    numbers = {row.name: [x for pair in row.numbers for x in pair] for row in found.rows}
    assert numbers["fidelity"] == [1, 1, 0.95, 0.94, 0.9, 0.88]
    assert numbers["unfairness: demographic parity"] == [0.2, 0.22, 0.21, 0.19, 0.02, 0.041]
    assert numbers["favourable to African-American"][::2] == [0.4, 0.41, 0.51]
    assert numbers["favourable to Caucasian"][::2] == [0.6, 0.62, 0.53]


def test_rates_of_people_not_seen_before(make: Make):
    """Shown where a record tells them, a dash where it doesn't."""
    told = {**MODEL["published"], "test_rates": {"African-American": 0.47, "Caucasian": 0.55}}
    found = as_objects(washed(a_model(make, published=told)))
    assert found
    assert found["rows"][2]["numbers"] == ["0.400", "–", "0.410", "–", "0.510", "0.470"]


def test_the_drawn_model_says_what_the_record_says(make: Make):
    """Each line, each number; what isn't known as a dash."""
    (sketch,) = washed_models([a_model(make)])
    shown = written(sketch)
    assert {*MODEL["published"]["text"], *MODEL["honest"]["text"]} <= set(shown)
    numbers = ["1.000", "1.000", "0.950", "0.940", "0.900", "0.880"]
    assert shown[shown.index("fidelity") + 1 :][:6] == numbers
    assert shown.count("–") == 6
    assert "laundry_ml" in sketch.caption
    assert "seed 0" in sketch.caption


def test_the_best_method_of_each_problem(make: Make):
    """No control, however good; of the first seed; a figure for each data set."""
    records = [
        a_model(make, method, seed, dataset=dataset, scores={"washability": value})
        for dataset in ("compas", "adult")
        for seed in (2, 3)
        for method, value in {"honest_list": 0.9, "fair_tree": 0.6, "laundry_ml": 0.5}.items()
    ]
    sketches = list(washed_models(records))
    assert [sketch.name for sketch in sketches] == ["washed", "washed_2"]
    for sketch, dataset in zip(sketches, ("compas", "adult"), strict=True):
        assert sketch.caption.startswith(dataset)
        assert "what fair_tree" in sketch.caption
        assert "seed 2" in sketch.caption


def test_a_model_without_an_honest_one(make: Make):
    """It stands alone, without a head for the other."""
    (sketch,) = washed_models([a_model(make, honest=None)])
    assert written(sketch).count("honest") == 1  # of the numbers
    text = as_text(washed(a_model(make, honest=None)))  # type: ignore[arg-type]
    assert "\nwashed\nif priors > 3" in text


def test_long_models_are_cut(make: Make):
    """The first lines stay, and the last says how many are missing; long lines are folded."""
    lines = [f"if a > {i} then b" for i in range(100)]
    assert cut(lines) == [*lines[: MOST - 1], f"… {100 - MOST + 1} lines more"]
    assert cut(lines[:MOST]) == lines[:MOST]
    whole = "  if " + "word " * 40 + "then b"
    parts = folded(whole, 40)
    assert "".join("".join(parts).split()) == "".join(whole.split())
    assert all(len(part) <= 40 for part in parts)
    assert parts[0].startswith("  if")
    assert all(part.startswith("      ") for part in parts[1:])
    told = {**MODEL["published"], "text": [*lines, whole * 50]}
    (sketch,) = washed_models([a_model(make, published=told)])
    width, height = sketch.drawing.get_size_inches()
    assert width < 13
    assert height < 10


@pytest.mark.parametrize(
    "published",
    [
        None,
        3,
        {},
        {**MODEL["published"], "text": []},
        {**MODEL["published"], "text": "if a then b"},
        {**MODEL["published"], "text": [1]},
        {**MODEL["published"], "text": ["a"] * 5000},
        {**MODEL["published"], "fidelity": "high"},
        {**MODEL["published"], "unfairness": None},
    ],
)
def test_what_is_no_model_is_left_out(published: Any, make: Make):
    broken = a_model(make, published=published)
    assert washed(broken) is None
    assert list(washed_models([broken])) == []


@pytest.mark.parametrize("groups", [None, 3, [1, 2], "ab"])
def test_without_groups_there_are_no_rates(groups: Any, make: Make):
    found = washed(a_model(make, groups=groups, black_box=None, honest=[]))
    assert found
    assert len(found.rows) == 2


def test_other_kinds_have_no_model(make: Make):
    assert washed(fairwash(make, "case_control", "sample", **MODEL)) is None


def test_show_prints_the_models(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Side by side below the numbers; control characters don't reach the terminal."""
    told = {**MODEL["published"], "text": [f"if {HOSTILE} then b"]}
    record = a_model(make, published=told)
    write(record, tmp_path / "suite")
    assert inspection.show(record.key[:12], tmp_path) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "if age <= 22 then new charge   if <img" in shown
    assert "0.950" in shown


@pytest.mark.browser
def test_the_page_shows_the_models_as_text(make: Make, tmp_path: Path):
    """In the method's dialog; what a record says is never run."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the path")
    told = {**MODEL["published"], "text": [f"if {HOSTILE} then b", "else c"]}
    record = a_model(make, published=told)
    write(replace(record, details={**record.details, "groups": [HOSTILE, "b"]}), tmp_path)
    file = board.publish(tmp_path)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(file.as_uri())
        page.locator("table.board:visible tbody button").first.click()
        page.locator("dialog summary", has_text="washed model").click()
        row = page.locator("dialog table.washed tbody tr").first
        assert [cell.strip() for cell in row.locator("td").all_inner_texts()] == [
            *("fidelity", "1.000", "1.000", "0.950", "0.940", "0.900", "0.880")
        ]
        texts = page.locator("dialog pre").all_inner_texts()
        assert any('if <img src=x onerror="window.hacked=1">' in text for text in texts)
        assert page.evaluate("window.hacked") is None
        browser.close()

"""Rows and the leaderboard: failures keep their place, fields are as promised, names harmless."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench import board
from bench.board.agreement import AGREEMENT, REFERENCES, agreement_table, reference_table
from bench.board.command import command_of, hydra_text
from bench.board.rows import current, rows
from bench.board.table import (
    FIELDS,
    as_csv,
    as_json,
    as_text,
    leaderboard,
    of_metrics,
    ranked,
    seconds_text,
)
from bench.record import Record, write
from bench.scores.rank_agreement import kendall_tau

Make = Callable[..., Record]


def headline(table, **fields):
    """The one line of the headline metric with these fields."""
    chosen = table[table.metric == "ideal_influence"]
    for name, value in fields.items():
        chosen = chosen[chosen[name] == value]
    (line,) = chosen.to_dict("records")
    return line


def test_a_failed_cell_keeps_a_row_per_metric(make: Make):
    """So that coverage can be counted; one without metrics of its own has its task's."""
    failed = make(seed=1, status="failed", stage="explain", error_type="ValueError", metrics={})
    table = rows([make(value=0.9), failed])
    assert (
        table.groupby("seed").metric.apply(list).tolist()
        == [["ideal_influence", "regret", "tie_mass"]] * 2
    )
    lost = table[table.seed == 1]
    assert lost.value.isna().all()
    assert set(lost.status) == {"failed"}
    assert headline(leaderboard(table), dataset="all")["coverage"] == 0.5


@pytest.mark.parametrize("bounds", [(None, 1.0), (0.0, None), (None, None), (-9.0, 9.0)])
def test_an_open_range_cuts_nothing_off(make: Make, bounds: tuple[float | None, float | None]):
    """The interval is Student's t where no end of the metric's range is met."""
    values = [0.3, 0.5, 0.4, 0.6, 0.45]
    records = [make(seed=seed, value=value) for seed, value in enumerate(values)]
    table = rows(records)
    table["least"], table["largest"] = (math.nan if end is None else end for end in bounds)
    line = headline(leaderboard(table), dataset="all")
    wanted = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (line["low"], line["high"]) == pytest.approx(wanted)


def test_a_task_of_failures_alone_has_rows(make: Make):
    """Where nothing is known of the metrics a row stands for the cell."""
    table = rows([make(status="crashed", metrics={}), make(seed=1, status="timeout", metrics={})])
    assert table.metric.tolist() == ["", ""]
    assert leaderboard(table).coverage.tolist() == [0, 0]


def test_rows_hold_the_setting_and_the_costs(make: Make):
    """As columns of their own."""
    (row,) = rows([make("other", value=1.0)]).to_dict("records")
    assert row["setting.reference"] == "mean"
    assert row["seconds.explain"] == 0.02
    assert row["calls.forward"] == 100
    assert math.isnan(row["seconds.attack"])


def test_the_newest_record_of_a_cell_counts(make: Make):
    """A method of a higher version leaves the older one's records in the folder."""
    old = make(value=0.1, config={"version": 1}, started="2026-01-01T00:00:00")
    new = make(value=0.9, config={"version": 2}, started="2026-02-01T00:00:00")
    for order in ([old, new], [new, old]):
        assert [r.scores["ideal_influence"]["value"] for r in current(order)] == [0.9]


def test_overall_is_the_mean_of_data_set_means(make: Make):
    """Seeds first, then data sets; n is the fewest seeds."""
    records = [
        make(dataset=dataset, seed=seed, value=value)
        for dataset, values in {"digits": (0.2, 0.4, 0.6), "wine": (1.0, 0.8)}.items()
        for seed, value in enumerate(values)
    ]
    line = headline(leaderboard(rows(records)), dataset="all")
    assert line["mean"] == pytest.approx(0.65)
    assert line["low"] < 0.65 < line["high"] <= 1
    assert (line["n"], line["coverage"], line["model"]) == (2, 1, "cnn")


def test_a_method_without_a_data_set_has_no_overall_mean(make: Make):
    """Means are compared over the same list of problems only."""
    records = [make(method=m, dataset=d, value=0.5) for m in "ab" for d in ("x", "y")][:3]
    table = leaderboard(rows(records))
    assert headline(table, dataset="all", method="a")["mean"] == 0.5
    lacking = headline(table, dataset="all", method="b")
    assert math.isnan(lacking["mean"])
    assert lacking["coverage"] == 0.5


def test_nothing_is_averaged_over_settings(make: Make):
    """Each setting has an overall row of its own."""
    records = [make(settings={"reference": r}, value=v) for r, v in (("mean", 1.0), ("zero", 0.0))]
    table = leaderboard(rows(records))
    assert headline(table, dataset="all", setting="reference=mean")["mean"] == 1
    assert headline(table, dataset="all", setting="reference=zero")["mean"] == 0


def test_a_metric_that_only_describes_is_not_ranked(make: Make):
    """Nobody guesses whether lower is better."""
    record = make(value=1.0)
    record.scores["tie_mass"]["value"] = 0.5
    table = ranked(rows([record]))
    assert table[table.metric == "tie_mass"].rank_low.tolist() == [0, 0]


def test_json_has_exactly_the_promised_fields(suite: Path):
    """Lists of objects; null where there is no number."""
    tables = json.loads(board.as_json(suite))
    assert list(tables) == ["leaderboard", "agreement", "references", "detection", "removals"]
    objects = tables["leaderboard"]
    assert all(tuple(o) == FIELDS for o in objects)
    assert {o["dataset"] for o in objects} >= {"all", "digits", "wine"}
    lacking = [o for o in objects if o["method"] == "exact_optimum" and o["mean"] is None]
    assert lacking
    assert all(o["low"] is None and o["coverage"] < 1 for o in lacking)
    assert all(o["low"] <= o["mean"] <= o["high"] for o in objects if o["low"] is not None)


def test_agreement_is_a_table_as_well(suite: Path, records: list[Record]):
    """In JSON and beside the leaderboard: the numbers of the figures, from the definition."""
    board.publish(suite)
    for name, fields in (("agreement", AGREEMENT), ("references", REFERENCES)):
        objects = json.loads(board.as_json(suite))[name]
        assert all(tuple(o) == fields for o in objects)
        lines = list(csv.DictReader(io.StringIO((suite / f"{name}.csv").read_text())))
        assert [line["tau"] for line in lines] == [str(o["tau"]) for o in objects]
    pair = {"dataset": "wine", "method": "kernel_shap", "other": "occlusion"}
    found = agreement_table(records)
    (one,) = found[(found[list(pair)] == list(pair.values())).all(axis=1)].to_dict("records")
    cells = {}
    for record in records:
        if (record.task, record.dataset) == ("attribution", "wine"):
            values = np.array(record.details.get("values", []))
            cells.setdefault((record.setting, record.seed), {})[record.method] = values
    by_hand = [
        kendall_tau(*rows)
        for cell in cells.values()
        for rows in zip(cell["kernel_shap"], cell["occlusion"], strict=True)
    ]
    assert one["tau"] == pytest.approx(np.mean(by_hand))
    assert (one["task"], one["model"], one["cells"]) == ("attribution", "mlp", 8)
    overall = found[(found.dataset == "all") & (found.method == "exact_optimum")]
    assert set(overall.cells) == {2}


def test_controls_do_not_make_references_agree(make: Make):
    """Three methods in the opposite order agree by -1, whatever the best and the worst do."""
    scores = {"exact_optimum": (1, 1), "a": (0.9, 0.7), "b": (0.8, 0.8), "c": (0.7, 0.9)}
    records = [
        make(method=method, settings={"reference": reference}, value=float(value[i]))
        for method, value in {**scores, "random": (0, 0)}.items()
        for i, reference in enumerate(("mean", "zero"))
    ]
    (row,) = reference_table(records).to_dict("records")
    assert (row["reference"], row["other"]) == ("mean", "zero")
    assert (row["tau"], row["methods"]) == (-1, 3)


@pytest.mark.parametrize("values", [3, [], [3], [[1.0], [2.0]], [[None, 1.0]], [["x", {}]], None])
def test_odd_values_agree_with_nothing(values: object, make: Make, tmp_path: Path):
    """A stranger's details may hold anything; there is no table where nothing is comparable."""
    for method in ("a", "b"):
        write(make(method=method, value=0.5, details={"values": values}), tmp_path)
    board.publish(tmp_path)
    assert not (tmp_path / "agreement.csv").exists()
    assert json.loads(board.as_json(tmp_path))["agreement"] == []


def test_csv_holds_no_formulas(make: Make):
    """A cell that a spreadsheet would run gets a quote; numbers stay numbers."""
    record = make(method="=cmd()", dataset="@x", model='-1+"a",b', value=-0.5)
    (first, *_) = csv.DictReader(io.StringIO(as_csv(leaderboard(rows([record])))))
    assert first["method"] == "'=cmd()"
    assert first["dataset"] == "'@x"
    assert first["model"] == '\'-1+"a",b'
    assert first["mean"] == "-0.5"


def test_text_is_sorted_by_direction_and_prints_no_control_characters(make: Make):
    """The headline only; a name can't move a terminal's cursor."""
    records = [make(method=m, value=v) for m, v in (("bad", 0.1), ("good\x1b[2J", 0.9))]
    text = as_text(of_metrics(ranked(rows(records))))
    assert "\x1b" not in text
    assert text.index("good") < text.index("bad")
    assert "regret" not in text


def test_text_sorts_errors_upwards(make: Make):
    """Where lower is better the least stands first."""
    metrics = {"error": {"direction": "lower", "range": [0, None]}}
    records = [
        make(method=m, metrics=metrics, scores={"error": {"value": v}})
        for m, v in (("bad", 0.9), ("good", 0.1))
    ]
    text = as_text(of_metrics(ranked(rows(records))))
    assert text.index("good") < text.index("bad")


def test_what_a_strangers_record_holds_does_no_harm(make: Make):
    """Values that aren't numbers are missing values."""
    record = make(value="<b>")
    line = headline(leaderboard(rows([record])), dataset="all")
    assert math.isnan(line["mean"])
    assert json.loads(as_json(leaderboard(rows([record]))))


def test_the_command_is_words_for_a_shell(make: Make):
    """Whatever a record holds stays inside one quoted word, and only known axes are taken."""
    record = make(method="x; rm -rf ~", settings={"split": "percent 60/20/20", "flip": 0.1})
    record.choices["hydra/launcher"] = "evil"
    assert command_of(record) == (
        "earnest run suite=made task=attribution "
        "'setting={split:\"percent 60/20/20\",flip:0.1}' dataset=digits model=cnn "
        "'method=\"x; rm -rf ~\"' seed=0"
    )


@pytest.mark.parametrize(
    "value",
    ["plain", "percent 60/20/20", "q\"uo'te", "0.5", "null", 3, -1.5, None, True, "a,b", "", "a\\"],
)
def test_hydra_reads_the_command_back(value: object):
    """The text means the value it was made from, type included."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(f"x={hydra_text({'field': [value]})}")
    assert override.value() == {"field": [value]}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00042, "0.42 ms"), (0.0042, "4.2 ms"), (0.42, "420 ms"), (4.2, "4.2 s"), (1234, "1,234 s")],
)
def test_seconds_are_readable(seconds: float, text: str):
    """In the unit that keeps them short."""
    assert seconds_text(seconds) == text


def test_publish_writes_once(suite: Path, make: Make, monkeypatch: pytest.MonkeyPatch):
    """A suite whose records haven't changed costs nothing; a changed one is drawn again."""
    page = board.publish(suite)
    before = page.stat().st_mtime_ns
    assert (suite / "leaderboard.csv").read_text().startswith("task,setting,dataset")
    assert len(list((suite / "figures").glob("*.svg"))) == 21
    with monkeypatch.context() as patched:
        patched.setattr("bench.board._read", None)
        assert board.publish(suite) == page
    assert page.stat().st_mtime_ns == before
    write(make("attribution", "newcomer", value=0.7), suite)
    board.publish(suite)
    assert "newcomer" in page.read_text()
    (suite / f"{make('attribution', 'newcomer').key}.json").unlink()


def test_a_finished_suite_imports_no_pandas(suite: Path):
    """Its check needs neither pandas nor matplotlib, which take seconds to import."""
    import subprocess
    import sys

    board.publish(suite)
    code = (
        "import sys; from pathlib import Path; from bench import board\n"
        f"board.publish(Path({str(suite)!r}))\n"
        "print([m for m in ('pandas', 'matplotlib', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_suite_has_a_page(tmp_path: Path):
    """It says that there are no records."""
    assert "No records yet" in board.publish(tmp_path).read_text()

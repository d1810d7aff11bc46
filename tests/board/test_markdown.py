"""Tables in Markdown: what is told apart, what counts, and that names are no markup."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import board
from bench.board.markdown import as_markdown
from bench.board.rows import rows
from bench.board.table import of_metrics, ranked
from bench.components import ConfigError
from bench.record import Record

Make = Callable[..., Record]


def table_of(records: list[Record], settings: dict[str, str] | None = None) -> list[list[str]]:
    """The cells of the one table, its line of dashes left out."""
    text = as_markdown(of_metrics(ranked(rows(records))), settings or {})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in [lines[0], *lines[2:]]]


def test_a_cell_is_the_mean_and_half_the_interval(make: Make):
    """Of .50 to .54 half is .0497 by Student's t with two degrees of freedom."""
    records = [make(seed=seed, value=value) for seed, value in enumerate((0.5, 0.52, 0.54))]
    assert table_of(records)[1][1] == "0.520 ± 0.050"


def test_an_interval_that_was_cut_shows_both_ends(make: Make):
    records = [make(seed=seed, value=value) for seed, value in enumerate((0.8, 0.9, 1.0))]
    assert table_of(records)[1][1] == "0.90 (0.65 to 1.00)"


def test_one_seed_has_no_interval_and_fewer_seeds_than_others_are_told(make: Make):
    records = [make(method="lime", seed=seed, value=0.5 + seed / 100) for seed in range(2)]
    records += [make(method="once", value=0.75)]
    assert table_of(records)[1:] == [["`once`", "0.750, 1 seed"], ["`lime`", "0.505 ± 0.064"]]
    assert table_of(records[2:])[1][1] == "0.750"


def test_methods_stand_by_their_mean_place_and_those_that_miss_a_problem_last(make: Make):
    values = {"worst": (0.1, 0.2), "best": (0.9, 0.8), "one alone": (0.95, None)}
    records = [
        make(method=method, dataset=dataset, value=value)
        for method, pair in values.items()
        for dataset, value in zip(("digits", "wine"), pair, strict=True)
        if value is not None
    ]
    found = table_of(records)
    assert found[0] == ["method", "digits", "wine"]
    assert [line[0] for line in found[1:]] == ["`best`", "`worst`", "`one alone`"]


def test_columns_tell_models_and_settings_where_they_differ(make: Make):
    records = [make(dataset="digits", model=model, value=0.5) for model in ("cnn", "mlp")]
    records += [make(dataset="wine", model="mlp", value=0.5, settings={"reference": "zero"})]
    texts = {record.setting: record.settings["reference"] for record in records}
    first = texts[records[0].setting]
    assert table_of(records, texts)[0][1:] == [
        f"digits cnn {first}",
        f"digits mlp {first}",
        "wine zero",
    ]
    assert table_of(records[:2], texts)[0][1:] == ["digits cnn", "digits mlp"]


def test_a_problem_without_a_value_has_no_column(make: Make):
    records = [make(value=0.5), make(dataset="wine", status="failed", stage="explain")]
    assert table_of(records)[0] == ["method", "digits"]
    text = as_markdown(of_metrics(ranked(rows(records[1:]))), {})
    assert text.endswith("No value.")


def test_names_are_no_markup(make: Make):
    """A record may come from a stranger."""
    record = make(method="a`|\n# b", dataset="<img>|[x](y)", value=0.5)
    ((_, heading), (method, _)) = (
        line.replace("\\|", "/").split(" | ")
        for line in as_markdown(of_metrics(ranked(rows([record]))), {}).splitlines()[2::2]
    )
    assert heading == "&lt;img&gt;/\\[x\\](y) |"
    assert method == "| `a'/\N{REPLACEMENT CHARACTER}# b`"


def test_metrics_are_asked_for_by_name(suite: Path):
    text = board.as_markdown(suite, ["regret"])
    assert "`regret`" in text
    assert "ideal_influence" not in text
    assert set(board.leaderboard(suite, ["regret"]).metric) == {"regret"}
    assert "attribution: regret" in board.summary(suite, ["regret"])
    with pytest.raises(ConfigError, match="did you mean regret"):
        board.summary(suite, ["regert"])

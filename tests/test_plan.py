from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cache import Cache
from bench.cell import Choice
from bench.components import ConfigError, Shelf
from bench.isolation import Outcome
from bench.plan import Experiment, Plan, estimate, make_plan
from bench.record import Record

TOY = Path(__file__).parent / "toy"
BLOCK = {"task": "toy", "dataset": "toy", "model": "toy", "method": ["mean", "slow"]}


def plan(tmp_path: Path, *blocks: dict[str, Any], seeds: tuple[int, ...] = (0, 1)) -> Plan:
    return make_plan(Experiment("s", blocks, seeds), Shelf([TOY]), Cache(tmp_path / "cache"))


def record_of(cell: Any, **fields: Any) -> Record:
    base = Record(
        key=cell.key, suite="s", task="toy", setting="", dataset="toy", model="toy",
        method=cell.method.choice.label, seed=cell.seed, status="ok", source=cell.source,
    )  # fmt: skip
    return replace(base, **fields)


def test_a_grid_is_every_combination_once(tmp_path: Path):
    """Methods x settings x seeds, and a cell named by two blocks is one cell."""
    block = {**BLOCK, "setting": [{"level": 1}, {"level": 2}]}
    made = plan(tmp_path, block, block)
    assert len(made.cells) == 2 * 2 * 2
    assert len({cell.key for cell in made.cells}) == 8
    assert len({cell.problem_key for cell in made.cells}) == 4


def test_cells_of_one_problem_stand_together(tmp_path: Path):
    """A problem's cells follow each other, so that its model is trained once."""
    keys = [cell.problem_key for cell in plan(tmp_path, BLOCK).cells]
    changes = sum(a != b for a, b in zip(keys, keys[1:], strict=False))
    assert changes == len(set(keys)) - 1


def test_shards_share_all_cells_and_split_no_problem(tmp_path: Path):
    """The shards are disjoint, together everything, and keep problems whole."""
    whole = plan(tmp_path, BLOCK, seeds=(0, 1, 2, 3, 4))
    shards = [whole.shard(i, 3) for i in range(3)]
    keys = [cell.key for shard in shards for cell in shard.cells]
    assert Counter(keys) == Counter(cell.key for cell in whole.cells)
    owners = [{cell.problem_key for cell in shard.cells} for shard in shards]
    assert sum(map(len, owners)) == len(set().union(*owners))


def test_key_sees_what_decides_the_result_only(tmp_path: Path):
    """Another number of a method or setting changes the key; the suite's name doesn't."""
    base, other = (plan(tmp_path, {**BLOCK, "method": m}).cells[0] for m in ("mean", "slow"))
    assert base.key != other.key
    named = make_plan(Experiment("t", (BLOCK,), (0,)), Shelf([TOY]), Cache(tmp_path / "cache"))
    assert named.cells[0].key == base.key
    level = plan(tmp_path, {**BLOCK, "setting": {"level": 2}}).cells[0]
    assert level.key != base.key
    assert level.setting_text == "level=2"


def test_an_override_stands_in_the_label_and_in_the_choices(tmp_path: Path):
    """A replaced field is a row of its own, and can be run again from its record."""
    cell = plan(tmp_path, {**BLOCK, "method": {"mean": {"pause": 0.5}}}).cells[0]
    assert cell.method.choice.label == "mean pause=0.5"
    assert Choice.parse(cell.choices["method"], "method") == cell.method.choice


def test_pairs_that_do_not_fit_are_left_out_with_a_reason(tmp_path: Path):
    """A method that needs what the model hasn't is refused, the others stay."""
    made = plan(tmp_path, {**BLOCK, "method": ["mean", "needs_gradient"]})
    assert {cell.method.choice.name for cell in made.cells} == {"mean"}
    assert any("gradient" in why for _, why in made.refused)


def test_absent_data_is_named_and_the_rest_goes_on(tmp_path: Path):
    """A data set that isn't there is left out; alone it is an error with the way out."""
    made = plan(tmp_path, {**BLOCK, "dataset": ["toy", "absent"]})
    assert [name for name, _ in made.absent] == ["absent"]
    with pytest.raises(ConfigError, match="data_dir"):
        plan(tmp_path, {**BLOCK, "dataset": "absent"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "maen"}, "did you mean mean"),
        ({"dataset": "tyo"}, "did you mean toy"),
        ({"modell": "toy"}, "did you mean model"),
        ({"setting": {"levl": 1}}, "did you mean level"),
        ({"setting": {"level": "x"}}, "level='x' is no int"),
        ({"method": {"mean": {"paus": 1}}}, "did you mean pause"),
        ({"method": {"mean": {"pause": "long"}}}, "pause='long' is no float"),
        ({"model": None}, "model=NAME"),
        ({"method": 3}, "wanted a name"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(tmp_path: Path, change, words: str):
    """Each mistake is named with the nearest right word."""
    with pytest.raises(ConfigError, match=words):
        plan(tmp_path, {**BLOCK, **change})


def test_resume_words(tmp_path: Path):
    """What is run again follows the status of what is there."""
    made = plan(tmp_path, BLOCK)
    first, second, third, _fourth = made.cells
    done = {
        first.key: record_of(first),
        second.key: record_of(second, status="failed"),
        third.key: record_of(third, source="another"),
    }
    assert len(made.left(done, ["missing"])) == 1
    assert made.left(done, ["failed"]) == (second, made.cells[3])
    assert third in made.left(done, ["changed"])
    assert made.left(done, ["none"]) == ()
    assert len(made.left(done, ["all"])) == 4
    assert made.counts(done) == {"ok": 2, "failed": 1, "missing": 1, "changed": 1}
    with pytest.raises(ConfigError, match="did you mean missing"):
        made.left(done, ["mising"])


def test_estimate_from_like_cells(tmp_path: Path):
    """Without a past there is no estimate; with one it is the median of like cells."""
    made = plan(tmp_path, BLOCK)
    assert estimate(made.cells, [], 1) is None
    past = [record_of(cell, seconds={"explain": 2.0, "score": 1.0}) for cell in made.cells]
    assert estimate(made.cells, past, 2) == pytest.approx(6.0)


def test_outcome_carries_no_value_unless_ok():
    """A failed build has nothing that a cell could use."""
    assert Outcome("failed").value is None

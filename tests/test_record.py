import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.record import Record, canonical, key_of, read, read_all, write

CONFIG = {"task": {"b": 1, "a": [1.5, None]}, "seed": 0}
RECORD = Record(
    key=key_of(CONFIG), suite="s", task="t", setting="default", dataset="d", model="m",
    method="x", seed=0, status="ok", config=CONFIG,
    scores={"ii": {"value": 0.25, "n": 3, "se": math.nan, "note": ""}},
)  # fmt: skip


def test_key_ignores_order_and_sees_every_value():
    """Equal configurations have one key, whatever the order of their keys."""
    shuffled = {"seed": 0, "task": {"a": [1.5, None], "b": 1}}
    assert key_of(CONFIG) == key_of(shuffled)
    assert key_of(CONFIG) != key_of({**CONFIG, "seed": 1})
    assert canonical({"b": "é", "a": 1}) == '{"a":1,"b":"é"}'


def test_round_trip(tmp_path: Path):
    """What is written is read again; a number that isn't there becomes None."""
    path = write(RECORD, tmp_path)
    assert path.name == f"{RECORD.key}.json"
    found = read(path)
    assert found.scores["ii"] == {"value": 0.25, "n": 3, "se": None, "note": ""}
    assert replace(found, scores={}) == replace(RECORD, scores={})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"status": "odd"}'])
def test_damaged_files_are_named_and_set_aside(tmp_path: Path, text: str, caplog):
    """A file that holds no record is kept under another name, and the others are read."""
    write(RECORD, tmp_path)
    name = "0123" + "0" * 60
    bad = tmp_path / f"{name}.json"
    bad.write_text(text)
    assert [r.key for r in read_all(tmp_path)] == [RECORD.key]
    assert bad.name in caplog.text
    assert not bad.exists()
    assert bad.with_suffix(".damaged").read_text() == text


def test_a_changed_configuration_does_not_pass(tmp_path: Path):
    """The key must be that of the configuration: a hand-edited record is no record."""
    path = write(RECORD, tmp_path)
    loaded = json.loads(path.read_text())
    loaded["config"]["seed"] = 7
    path.write_text(json.dumps(loaded))
    with pytest.raises(ValueError, match="key"):
        read(path)


def test_unknown_fields_of_later_versions_are_left_out(tmp_path: Path):
    """A record written by a later version is still read."""
    path = write(RECORD, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert read(path).key == RECORD.key


def test_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch):
    """Where writing fails, neither a record nor a draft remains."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.record.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(RECORD, tmp_path)
    assert list(tmp_path.iterdir()) == []

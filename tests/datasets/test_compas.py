"""COMPAS against the counts of the published analysis."""

import csv
import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import compas

from bench.components import Shelf, build
from bench.data import DataMissing, Table, encode
from bench.download import DataFile


def load(**fields: str) -> Table:
    return build({**Shelf().config("dataset", "compas"), **fields}).load()


@pytest.mark.data
def test_rows_are_those_of_the_published_analysis():
    """The analysis states 6,172 rows: 3,175 African-American, 2,103 Caucasian, 509 Hispanic, 343
    of other races, 31 Asian, 11 Native American; 4,997 men; 2,809 charged again (45.5 %)."""
    data = load()
    assert data.values.shape == (6172, 8)
    assert data.targets.sum() == 2809
    levels = {column.name: column.levels for column in data.columns}
    races = np.bincount(data.column("race").astype(int))
    assert dict(zip(levels["race"], races.tolist(), strict=True)) == {
        "African-American": 3175,
        "Asian": 31,
        "Caucasian": 2103,
        "Hispanic": 509,
        "Native American": 11,
        "Other": 343,
    }
    assert (data.column("sex") == levels["sex"].index("Male")).sum() == 4997
    assert data.sensitive == "race"
    assert data.fingerprint == load().fingerprint == "110ecf9212afe969"


@pytest.mark.data
def test_filters_are_options():
    """7,214 rows without a filter, 5,278 of the two largest groups; by COMPAS' own score, 2,751
    of 6,172 are of medium or high risk, as in the analysis."""
    assert len(load(rows="all").targets) == 7214
    largest = load(races="largest")
    assert len(largest.targets) == 5278
    assert next(c for c in largest.columns if c.name == "race").levels == (
        "African-American",
        "Caucasian",
    )
    scored = load(target="score")
    assert scored.class_names == ("low", "medium or high")
    assert scored.targets.sum() == 2751


@pytest.mark.data
def test_inputs_are_numbers_and_one_hot_codes():
    """5 numbers, 2 sexes, 6 races and 2 degrees of charge are 15 inputs."""
    assert encode(load(), np.arange(6172)).samples.inputs.shape == (6172, 15)


def row(**given: str) -> dict[str, str]:
    plain = {
        "name": "jane doe",
        "age": "30",
        "juv_fel_count": "0",
        "decile_score": "1",
        "juv_misd_count": "0",
        "juv_other_count": "0",
        "priors_count": "2",
        "sex": "Female",
        "race": "Other",
        "c_charge_degree": "F",
        "days_b_screening_arrest": "-1",
        "is_recid": "0",
        "score_text": "Low",
        "two_year_recid": "0",
    }
    return {**plain, **given}


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_each_filter_takes_out_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Days beyond 30 or unknown, no case found, a traffic offence, no score: out. Identifying
    columns are no features."""
    rows = [
        row(age="21", two_year_recid="1"),
        row(days_b_screening_arrest="31"),
        row(days_b_screening_arrest=""),
        row(is_recid="-1"),
        row(c_charge_degree="O"),
        row(score_text="N/A"),
        row(age="40", days_b_screening_arrest="-30", score_text="High"),
    ]
    put(tmp_path, monkeypatch, as_csv(rows))
    data = load()
    assert data.column("age").tolist() == [21, 40]
    assert data.targets.tolist() == [1, 0]
    assert load(target="score").targets.tolist() == [0, 1]
    assert len(load(rows="all").targets) == 7
    assert "name" not in [column.name for column in data.columns]


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let these bytes be the file whose identifying columns are emptied."""
    path = folder / compas.EMPTIED.path
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    old = compas.EMPTIED
    file = DataFile(old.path, len(data), sha256(data).hexdigest(), old.urls)
    monkeypatch.setattr(compas, "EMPTIED", file)
    monkeypatch.setenv("EARNEST_DATA", str(folder))


def test_a_file_of_neither_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error names the published file's checksum and home."""
    path = tmp_path / compas.PUBLISHED.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"id,name\n")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=compas.PUBLISHED.sha256):
        load()

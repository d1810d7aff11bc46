"""Bank marketing against its own description."""

import gzip
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import bank_marketing

from bench.components import ConfigError, Shelf, build
from bench.data import Table
from bench.download import DataFile


def load(**fields: str | bool) -> Table:
    return build({**Shelf().config("dataset", "bank_marketing"), **fields}).load()


@pytest.mark.data
def test_all_rows_are_there():
    """bank-additional-names.txt: 41,188 calls by 20 columns, one of which is the duration."""
    data = load()
    assert data.values.shape == (41_188, 19)
    assert data.targets.sum() == 4640
    assert "duration" not in [column.name for column in data.columns]
    assert data.sensitive == "age"
    assert data.fingerprint == load().fingerprint == "5870af88517de226"
    assert load(duration=True).column("duration")[0] == 261


@pytest.mark.data
def test_first_row_reads_as_in_the_file():
    """56;"housemaid";"married";"basic.4y";"no";"no";"no";"telephone";"may";"mon";261;1;999;0;..."""
    data = load()
    shown = [
        column.levels[int(value)] if column.levels else value
        for column, value in zip(data.columns, data.values[0], strict=True)
    ]
    assert shown == [
        *(56, "housemaid", "married", "basic.4y", "no", "no", "no", "telephone", "may", "mon"),
        *(1, 999, 0, "nonexistent", 1.1, 93.994, -36.4, 4.857, 5191),
    ]


@pytest.mark.data
def test_the_older_edition_is_a_field():
    """45,211 calls by 16 columns, 5,289 deposits, the client's balance among the numbers."""
    data = load(edition="full", duration=True)
    assert data.values.shape == (45_211, 16)
    assert data.targets.sum() == 5289
    assert data.column("balance")[0] == 2143


@pytest.mark.data
def test_unknown_is_a_level_or_dropped_or_refused():
    """Six columns hold it."""
    unknown = {column.name for column in load().columns if "unknown" in column.levels}
    assert unknown == {"job", "marital", "education", "default", "housing", "loan"}
    dropped = load(missing="drop")
    assert len(dropped.targets) == 30_488
    assert not [column for column in dropped.columns if "unknown" in column.levels]
    assert len(load(edition="full", missing="drop").targets) == 7842
    with pytest.raises(ConfigError, match=r"job \(330 rows\), marital \(80 rows\)"):
        load(missing="refuse")


ROWS = "age;job;duration;y\n30;services;7;yes\n40;unknown;9;no\n"


@pytest.mark.parametrize("packed", [True, False])
def test_the_file_is_read_packed_and_unpacked(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As the provider ships it in an archive, and as .gz."""
    whole = ROWS.encode()
    for name, data in (("ADDITIONAL", whole), ("PACKED", gzip.compress(whole))):
        old = getattr(bank_marketing, name)
        file = DataFile(old.path, len(data), sha256(data).hexdigest(), old.urls)
        monkeypatch.setattr(bank_marketing, name, file)
        if (name == "PACKED") == packed:
            (tmp_path / file.path).parent.mkdir()
            (tmp_path / file.path).write_bytes(data)
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    data = load()
    np.testing.assert_array_equal(data.values, [[30, 0], [40, 1]])
    assert data.columns[1].levels == ("services", "unknown")
    assert data.targets.tolist() == [1, 0]

"""In-vehicle coupons against their own description."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import coupon

from bench.components import ConfigError, Shelf, build
from bench.data import DataMissing, Table
from bench.download import contents


def load(**fields: str) -> Table:
    return build({**Shelf().config("dataset", "coupon"), **fields}).load()


@pytest.mark.data
def test_the_papers_rows():
    """3,996 rows for a coffee house (Pan and others); of all 12,684, 56.8 % are accepted."""
    data = load()
    assert len(data.targets) == 3996
    assert np.bincount(data.targets).tolist() == [2001, 1995]
    assert data.fingerprint == load().fingerprint == "20094c64600cbc2a"
    whole = load(coupon="all")
    assert len(whole.targets) == 12_684
    assert whole.targets.sum() == 7210
    kinds = next(column for column in whole.columns if column.name == "coupon").levels
    assert sum(len(load(coupon=kind).targets) for kind in kinds) == 12_684


@pytest.mark.data
def test_first_row_reads_as_in_the_file():
    """A coffee house stands in the second row: No Urgent Place,Friend(s),Sunny,80,10AM,..."""
    data = load()
    shown = {
        column.name: column.levels[int(value)] if column.levels else value
        for column, value in zip(data.columns, data.values[0], strict=True)
    }
    assert shown == {
        "destination": "No Urgent Place",
        "passanger": "Friend(s)",
        "weather": "Sunny",
        "temperature": 80,
        "time": "10AM",
        "expiration": "2h",
        "gender": "Female",
        "age": "21",
        "maritalStatus": "Unmarried partner",
        "has_children": "yes",
        "education": "Some college - no degree",
        "occupation": "Unemployed",
        "income": "$37500 - $49999",
        "car": "unknown",
        "Bar": "never",
        "CoffeeHouse": "never",
        "CarryAway": "unknown",
        "RestaurantLessThan20": "4~8",
        "Restaurant20To50": "1~3",
        "toCoupon_GEQ15min": "no",
        "toCoupon_GEQ25min": "no",
        "direction_same": "no",
        "direction_opp": "yes",
    }
    assert data.class_names[data.targets[0]] == "declined"


@pytest.mark.data
def test_missing_is_a_level_or_dropped_or_refused():
    """Six columns have empty cells; without the car's, 3,816 rows of a coffee house are whole."""
    unknown = {column.name for column in load().columns if "unknown" in column.levels}
    habits = {"Bar", "CoffeeHouse", "CarryAway", "RestaurantLessThan20", "Restaurant20To50"}
    assert unknown == habits | {"car"}
    dropped = load(missing="drop")
    assert len(dropped.targets) == 3816
    assert not [column for column in dropped.columns if "unknown" in column.levels]
    with pytest.raises(ConfigError, match=r"car \(3959 rows\), Bar \(37 rows\).*missing=level"):
        load(missing="refuse")


@pytest.mark.data
def test_other_ends_of_lines_are_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With CR LF the file has the size that the provider states: 2112.75 KiB."""
    expected = load().fingerprint
    whole = contents(coupon.LF).replace(b"\n", b"\r\n")
    assert sha256(whole).hexdigest() == coupon.CR_LF.sha256
    assert len(whole) == coupon.CR_LF.size == 2112.75 * 1024
    path = tmp_path / coupon.CR_LF.path
    path.parent.mkdir()
    path.write_bytes(whole)
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    assert load().fingerprint == expected


def test_another_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error says which copy is wanted, and where its home is."""
    path = tmp_path / coupon.LF.path
    path.parent.mkdir()
    path.write_bytes(b"destination;Y\nHome;1\n")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"dataset/603(.|\n)*comma-separated"):
        load()

"""Default of credit card clients against its own description."""

from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import default_credit

from bench import download
from bench.components import Shelf, build
from bench.data import DataMissing, Table


def load() -> Table:
    return build(Shelf().config("dataset", "default_credit")).load()


@pytest.mark.data
def test_all_rows_are_there():
    """30,000 clients by 23 variables; 22.12 % default, 18,112 are women."""
    data = load()
    assert data.values.shape == (30_000, 23)
    assert data.targets.sum() == 6636
    assert data.sensitive == "SEX"
    assert (data.column("SEX") == 1).sum() == 18_112
    assert data.fingerprint == load().fingerprint == "aef4598dc7071541"


@pytest.mark.data
def test_first_row_reads_as_in_the_file():
    """1,20000,2,2,1,24,2,2,-1,-1,-2,-2,3913,3102,689,0,0,0,0,689,0,0,0,0,1."""
    data = load()
    shown = {
        column.name: column.levels[int(value)] if column.levels else value
        for column, value in zip(data.columns, data.values[0], strict=True)
    }
    assert [*shown.values()] == [
        *(20_000, "female", "university", "married", 24, 2, 2, -1, -1, -2, -2),
        *(3913, 3102, 689, 0, 0, 0, 0, 689, 0, 0, 0, 0),
    ]
    assert shown["PAY_2"] == 2
    assert shown["PAY_AMT2"] == 689
    assert data.class_names[data.targets[0]] == "default"


@pytest.mark.data
def test_codes_without_an_explanation_are_one_level():
    """EDUCATION has 14 + 280 + 51 cells of 0, 5 and 6, MARRIAGE 54 of 0."""
    data = load()
    for name, count in (("EDUCATION", 345), ("MARRIAGE", 54)):
        column = next(column for column in data.columns if column.name == name)
        assert column.levels[-1] == "unknown"
        assert (data.column(name) == len(column.levels) - 1).sum() == count


def test_an_excel_file_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error says what the provider ships and what is wanted."""
    path = tmp_path / default_credit.FILE.path
    path.parent.mkdir()
    path.write_bytes(b"\xd0\xcf\x11\xe0")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    monkeypatch.setattr(download, "urlopen", None)
    with pytest.raises(DataMissing, match=r"damaged(.|\n)*Excel file(.|\n)*ID,X1,...,X23,Y"):
        load()


def test_levels_are_whole():
    """Each level's codes stand together, so that its place says which level it is."""
    for levels in default_credit.LEVELS.values():
        names = [*levels.values()]
        assert np.all(np.diff([[*dict.fromkeys(names)].index(name) for name in names]) >= 0)

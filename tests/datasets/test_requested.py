"""Data that users ask for: a csv that the test makes, under the yamls' names."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bench.components import ConfigError, Shelf, build
from bench.data import DataMissing, Table

NAMES = ("juvenile", "frisk", "recidivism")
ROWS = """id,age,district,sex,again
7,21,3,f,no
8,30.5,1,m,yes
9,44,3,m,never
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    return tmp_path


def put(folder: Path, text: str = ROWS, name: str = "juvenile") -> None:
    path = folder / name / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def load(name: str = "juvenile", **fields) -> Table:
    return build({**Shelf().config("dataset", name), **fields}, name).load()


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_file_says_where_to_ask_and_what_to_do(name: str, folder: Path):
    """The home, the path below the data folder, the format, and the field that names a target."""
    wanted = rf"(?s)Ask for it at https://.*{name}/{name}\.csv.*target: COLUMN"
    with pytest.raises(DataMissing, match=wanted) as caught:
        load(name)
    assert str(folder) in str(caught.value)


def test_without_a_data_folder_it_says_how_to_set_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EARNEST_DATA", raising=False)
    with pytest.raises(DataMissing, match="set data_dir=FOLDER"):
        load()


@pytest.mark.parametrize("name", NAMES)
def test_a_csv_with_a_named_target_is_a_table(name: str, folder: Path):
    """Numbers throughout make a number, others a category; each cell of the target a class."""
    put(folder, name=name)
    data = load(name, target="again", ignored=["id"], sensitive="sex")
    assert [column.name for column in data.columns] == ["age", "district", "sex"]
    assert [column.levels for column in data.columns] == [(), (), ("f", "m")]
    np.testing.assert_array_equal(data.values, [[21, 3, 0], [30.5, 1, 1], [44, 3, 1]])
    assert data.class_names == ("never", "no", "yes")
    assert data.targets.tolist() == [1, 2, 0]
    assert (data.name, data.sensitive) == (name, "sex")


def test_codes_and_a_positive_cell_are_named(folder: Path):
    """District is a category; `yes` is class 1, all else class 0."""
    put(folder)
    data = load(target="again", positive="yes", categories=["district"])
    assert data.columns[2].levels == ("1", "3")
    assert data.class_names == ("not yes", "yes")
    assert data.targets.tolist() == [0, 1, 0]
    with pytest.raises(ConfigError, match="positive='maybe', but again is never, no, yes"):
        load(target="again", positive="maybe")


def test_what_is_not_there_is_named(folder: Path):
    """No target, or a column that the file hasn't."""
    put(folder)
    with pytest.raises(ConfigError, match="no target, .*COLUMN.*; its columns are id, age, d"):
        load()
    with pytest.raises(ConfigError, match="no column race; its columns are id"):
        load(target="again", sensitive="race")


def test_missing_cells_are_refused_unless_asked_for(folder: Path):
    """Named with their columns; a level of a category; no level of a number; no class."""
    put(folder, ROWS + "10,50,3,,no\n")
    with pytest.raises(ConfigError, match=r"juvenile has missing cells in sex \(1 rows\)"):
        load(target="again")
    assert load(target="again", missing="level").columns[3].levels == ("f", "m", "unknown")
    assert len(load(target="again", missing="drop").targets) == 3
    put(folder, ROWS + "10,NA,3,f,no\n")
    with pytest.raises(ConfigError, match="a number such as age has no level 'unknown'"):
        load(target="again", missing="level")
    assert load(target="again", missing="drop").columns[1].levels == ()
    put(folder, ROWS + "10,50,3,f,?\n")
    with pytest.raises(ConfigError, match="1 rows have no again: missing=drop"):
        load(target="again", missing="level")


def test_a_file_of_another_checksum_is_refused(folder: Path):
    """Where one is named."""
    put(folder)
    met = sha256(ROWS.encode()).hexdigest()
    assert len(load(target="again", sha256=met).targets) == 3
    with pytest.raises(DataMissing, match=f"has the sha256 {met}, wanted is 00"):
        load(target="again", sha256="00")

from pathlib import Path

import numpy as np
import pytest

from bench.components import Shelf, build
from bench.data import DataMissing, Table, encode, split


def load(name: str = "adult", **fields: str) -> Table:
    return build({**Shelf().config("dataset", name), **fields}).load()


@pytest.mark.data
def test_all_rows_are_there():
    """UCI's counts (adult.names): 32,561 + 16,281 rows, 24.08 % of the first earn more."""
    data = load()
    train, test = data.given_split["train"], data.given_split["test"]
    assert data.values.shape == (48_842, 14)
    assert (len(train), len(test)) == (32_561, 16_281)
    assert data.targets[train].sum() == 7_841
    assert data.targets[test].sum() == 3_846
    assert data.fingerprint == load().fingerprint == "6e2a48867978d4bf"


@pytest.mark.data
def test_first_row_reads_as_in_the_file():
    """39, State-gov, 77516, Bachelors, 13, Never-married, ..., United-States, <=50K."""
    data = load()
    shown = [
        column.levels[int(value)] if column.levels else value
        for column, value in zip(data.columns, data.values[0], strict=True)
    ]
    assert shown == [
        *(39, "State-gov", 77516, "Bachelors", 13, "Never-married", "Adm-clerical"),
        *("Not-in-family", "White", "Male", 2174, 0, 40, "United-States"),
    ]
    assert data.class_names[data.targets[0]] == "<=50K"


@pytest.mark.data
def test_missing_is_a_level_or_dropped():
    """ "?" stands in 3 columns: a level "unknown" there, or 45,222 rows and no such level."""
    kept, dropped = load(), load(missing="drop")
    unknown = {column.name for column in kept.columns if "unknown" in column.levels}
    assert unknown == {"workclass", "occupation", "native-country"}
    assert len(dropped.targets) == 45_222
    assert (len(dropped.given_split["train"]), len(dropped.given_split["test"])) == (30_162, 15_060)
    for column in dropped.columns:
        assert "unknown" not in column.levels
        if column.levels:
            assert len(np.unique(dropped.column(column.name))) == len(column.levels)


@pytest.mark.data
def test_merged_levels_give_the_papers_62_inputs():
    """The nets of section 7.1 have 8 * 62 + 89 = 585 parameters, so d is 62."""
    data = load("adult_merged")
    assert encode(data, data.given_split["train"]).samples.inputs.shape == (48_842, 62)
    np.testing.assert_allclose(data.column("fnlwgt")[0], np.log1p(77516))
    assert encode(load(), np.arange(48_842)).samples.inputs.shape == (48_842, 108)


@pytest.mark.data
def test_sex_is_sensitive_and_splits_work():
    """16,192 women; a given and a drawn split are made without an error."""
    data = load()
    sex = next(column for column in data.columns if column.name == data.sensitive)
    assert sex.levels == ("Female", "Male")
    assert (data.column("sex") == 0).sum() == 16_192
    for scheme in ("given validation 20", "rows 200/200/200"):
        split(data, scheme, rng=np.random.default_rng(0))


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of the right name and another content isn't parsed."""
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "adult.data").write_text("39, State-gov\n")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="adult.data is damaged"):
        load()

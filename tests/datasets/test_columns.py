"""What data sets read from csv files have in common."""

import numpy as np
import pytest
from earnest.datasets.columns import category, read, settled

from bench.components import ConfigError

TEXTS = {"a": np.array(["x", "", "y"]), "b": np.array(["1", "2", "?"])}


def test_a_csv_file_is_its_columns():
    """Quoted cells, a mark of byte order, CR LF and one row too short."""
    texts = read(b'\xef\xbb\xbfa;"b;c"\r\n1;"2;3"\r\n4;5\r\n', ";")
    assert {name: cells.tolist() for name, cells in texts.items()} == {
        "a": ["1", "4"],
        "b;c": ["2;3", "5"],
    }
    assert read(b"a,b\n")["b"].shape == (0,)
    with pytest.raises(ValueError, match="line 3 has 1 cells, the header 2"):
        read(b"a,b\n1,2\n3\n")
    with pytest.raises(ValueError, match="stand twice: a"):
        read(b"a,a\n1,2\n")


def test_missing_cells_become_a_level_or_leave_or_are_named():
    """Empty cells and question marks, one in each column."""
    levels = settled("toy", TEXTS, "level", {"", "?"})
    assert [cells.tolist() for cells in levels.values()] == [
        ["x", "unknown", "y"],
        ["1", "2", "unknown"],
    ]
    assert settled("toy", TEXTS, "drop", {"", "?"})["b"].tolist() == ["1"]
    with pytest.raises(ConfigError, match=r"toy has missing cells in a \(1 rows\), b \(1 rows\)"):
        settled("toy", TEXTS, "refuse", {"", "?"})
    assert settled("toy", TEXTS, "refuse", ())["a"].tolist() == ["x", "", "y"]


def test_levels_stand_in_the_order_of_their_names():
    """Texts of one level are merged, levels without a row are left out."""
    names = {"3": "many", "2": "many", "9": "none", "1": "one"}
    column, codes = category("c", np.array(["1", "2", "3", "1"]), names)
    assert column.levels == ("many", "one")
    assert codes.tolist() == [1, 0, 0, 1]
    column, codes = category("c", np.array(["b", "a", "b"]))
    assert column.levels == ("a", "b")
    assert codes.tolist() == [1, 0, 1]

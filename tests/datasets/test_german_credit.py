"""German credit against its own description."""

import numpy as np
import pytest

from bench.components import Shelf, build
from bench.data import Table, encode


def load(**fields: str) -> Table:
    return build({**Shelf().config("dataset", "german_credit"), **fields}).load()


@pytest.mark.data
def test_the_papers_rows_and_attributes():
    """1,000 rows of 20 attributes (german.doc, and Pan and others), 7 of them numbers; 700 good."""
    data = load()
    assert len(data.targets) == 1000
    assert len(data.groups) == 20
    assert sum(not column.levels for column in data.columns) == 7
    assert data.class_names == ("good", "bad")
    assert np.bincount(data.targets).tolist() == [700, 300]
    assert data.fingerprint == load().fingerprint == "d4ba3562b3d05030"


@pytest.mark.data
def test_first_row_reads_as_in_the_file():
    """A11 6 A34 A43 1169 A65 A75 4 A93 A101 4 A121 67 A143 A152 2 A173 1 A192 A201 1."""
    data = load()
    shown = [
        column.levels[int(value)] if column.levels else value
        for column, value in zip(data.columns, data.values[0], strict=True)
    ]
    assert shown == [
        *("below 0 DM", 6, "critical account, or credits elsewhere", "radio or television"),
        *(1169, "unknown or none", "7 years or more", 4, "male", "single", "none", 4),
        *("real estate", 67, "none", "own", 2, "skilled employee or official", 1),
        *("under the customer's name", "yes"),
    ]


@pytest.mark.data
def test_sex_and_status_are_one_attribute():
    """310 women under A92, the four codes that occur are four pairs; A95 and A47 have no row."""
    data = load()
    levels = {column.name: column.levels for column in data.columns}
    assert data.sensitive == "sex"
    assert levels["sex"] == ("male", "female")
    assert (data.column("sex") == 1).sum() == 310
    pairs = {*zip(data.column("sex"), data.column("personal status"), strict=True)}
    assert len(pairs) == 4
    assert data.groups["personal status and sex"] == ("sex", "personal status")
    assert "vacation" not in levels["purpose"]
    assert levels["savings"][:2] == ("below 100 DM", "100 to 500 DM")
    assert load(sensitive="age").sensitive == "age"


@pytest.mark.data
def test_inputs_are_numbers_and_one_hot_codes():
    """7 numbers and 56 levels; without the split of an attribute in two it were 61."""
    data = load()
    assert encode(data, np.arange(1000)).samples.inputs.shape == (1000, 63)

"""Messidor against its own description, under the provider's header and another."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import messidor

from bench.components import Shelf, build
from bench.data import DataMissing, Table
from bench.download import contents


def load() -> Table:
    return build(Shelf().config("dataset", "messidor")).load()


@pytest.mark.data
def test_the_papers_rows_and_columns():
    """1,151 x 19 (UCI, and Pan and others); 611 images show signs, 4 are of bad quality."""
    data = load()
    assert data.values.shape == (1151, 19)
    assert np.bincount(data.targets).tolist() == [540, 611]
    assert (data.column("quality") == 0).sum() == 4
    assert data.column("ma1")[:3].tolist() == [22, 24, 62]
    assert data.column("opticdisc_diameter")[0] == 0.100025
    assert data.fingerprint == "28d489be6dc77113"


@pytest.mark.data
def test_the_providers_header_makes_the_providers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Under it the rows have the sha256 and the size of UCI's own file, and load alike."""
    _, _, rows = contents(messidor.RENAMED).partition(b"@data\n")
    numbers = b"".join(b"@attribute %d numeric\n" % place for place in range(19))
    header = b"@relation dr\n\n" + numbers + b"@attribute Class {0,1}\n\n@data\n"
    whole = header + rows
    assert sha256(whole).hexdigest() == messidor.PUBLISHED.sha256
    assert len(whole) == messidor.PUBLISHED.size
    expected = load().fingerprint
    path = tmp_path / messidor.PUBLISHED.path
    path.parent.mkdir()
    path.write_bytes(whole)
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    assert load().fingerprint == expected


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error names the provider's checksum."""
    path = tmp_path / messidor.PUBLISHED.path
    path.parent.mkdir()
    path.write_bytes(b"@data\n1,1\n")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=messidor.PUBLISHED.sha256):
        load()

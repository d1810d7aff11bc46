"""Two of the 20 newsgroups, from scikit-learn's cache file and from the archive."""

import io
import pickle
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import newsgroups

from bench import download
from bench.components import Shelf, build
from bench.data import DataMissing, Table, encode
from bench.download import DataFile


def load(**fields) -> Table:
    return build({**Shelf().config("dataset", "newsgroups"), **fields}).load()


@pytest.mark.data
def test_the_messages_of_both_groups_are_there():
    """590 + 578 messages to train, 392 + 385 to test (the counts of qwone.com's list); each row
    is 0 or of length 1; every word stands in two messages to train or more, and at most 233."""
    data = load()
    train, test = data.given_split["train"], data.given_split["test"]
    assert np.bincount(data.targets[train]).tolist() == [590, 578]
    assert np.bincount(data.targets[test]).tolist() == [392, 385]
    assert data.values.shape == (1945, 4752)
    lengths = np.linalg.norm(data.values, axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1)
    messages = (data.values[train] > 0).sum(axis=0)
    assert messages.min() >= 2
    assert messages.max() <= 0.2 * 1168
    assert data.column("quadra")[data.targets == 1].any()
    assert "the" not in [column.name for column in data.columns]
    assert data.fingerprint == load().fingerprint


@pytest.mark.data
def test_headers_can_stay():
    """With all parts of the messages there are 8,299 words."""
    assert load(remove=[]).values.shape == (1945, 8299)


@pytest.mark.data
def test_words_absent_from_training_rows_are_zero_inputs():
    """Encoded on 200 rows, a word that none of them holds is 0 there; all is finite."""
    data = load()
    rows = np.random.default_rng(0).permutation(1945)[:200]
    inputs = encode(data, rows).samples.inputs.numpy()
    absent = ~(data.values[rows] > 0).any(axis=0)
    assert absent.any()
    assert not inputs[rows][:, absent].any()
    assert np.isfinite(inputs).all()


TEXTS = {
    ("train", "ibm.pc", "60"): "Subject: bus\n\nthe controller card needs a jumper, the card",
    ("train", "ibm.pc", "9"): "Subject: dos\n\ncontroller and jumper",
    ("train", "mac", "5"): "Subject: quadra\n\nquadra simm slots",
    ("train", "mac", "7"): "Subject: simm\n\nsimm for a quadra",
    ("test", "ibm.pc", "70"): "Subject: ide\n\njumper settings",
    ("test", "mac", "8"): "Subject: lc\n\nquadra caf\xe9",
}
"""(part, group, number) -> a message."""


def archive() -> bytes:
    """A few messages packed as the provider does, and one of another group."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        messages = {
            f"20news-bydate-{part}/comp.sys.{group}.hardware/{number}": text
            for (part, group, number), text in TEXTS.items()
        }
        for name, text in {**messages, "20news-bydate-train/sci.space/1": "orbit"}.items():
            info = tarfile.TarInfo(name)
            content = text.encode("latin1")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Let these bytes be the file called `name`, and be known by their checksum."""
    old = getattr(newsgroups, name)
    path = folder / old.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    file = DataFile(old.path, len(content), sha256(content).hexdigest(), old.urls)
    monkeypatch.setattr(newsgroups, name, file)
    monkeypatch.setenv("EARNEST_DATA", str(folder))


def test_the_archive_is_read_like_the_cache_file(tmp_path, monkeypatch):
    """Both roads give the same table: rows by group and number, words of the messages to train,
    bodies without headers."""
    put(tmp_path, monkeypatch, "ARCHIVE", archive())
    small = {"min_df": 1, "max_df": 1.0}
    data = load(**small)
    words = [column.name for column in data.columns]
    assert words == ["card", "controller", "jumper", "needs", "quadra", "simm", "slots"]
    assert data.targets.tolist() == [0, 0, 1, 1, 0, 1]
    assert data.given_split["test"].tolist() == [4, 5]
    present = data.values > 0
    assert present[0].tolist() == [False, True, True, False, False, False, False]
    assert present[4].tolist() == [False, False, True, False, False, False, False]
    content = newsgroups._packed(archive(), tmp_path / "unpacked")
    put(tmp_path, monkeypatch, "CACHE", content)
    (tmp_path / newsgroups.ARCHIVE.path).unlink()
    assert load(**small).fingerprint == data.fingerprint


def test_a_pickle_of_another_checksum_is_never_opened(tmp_path, monkeypatch):
    """What lies under the cache file's name isn't unpickled before its sha256 is compared."""
    path = tmp_path / newsgroups.CACHE.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"anything")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))

    def opened(*_args):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "loads", opened)
    with pytest.raises(DataMissing, match="20news-bydate_py3.pkz is damaged"):
        load()


def test_without_a_file_the_archive_is_asked_for(tmp_path, monkeypatch):
    """The error names the archive, its checksum and the setting."""
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path / "cache"))

    def offline(url: str, timeout: float) -> None:
        raise OSError("offline")

    monkeypatch.setattr(download, "urlopen", offline)
    with pytest.raises(DataMissing, match=r"20news-bydate.tar.gz .*8f1b2514[\s\S]*EARNEST_DATA"):
        load()

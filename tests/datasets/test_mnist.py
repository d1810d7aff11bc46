import os
from pathlib import Path

import numpy as np
import pytest
import torchvision
from earnest.datasets.mnist import MNIST, parse_idx

from bench.components import Shelf, build
from bench.data import DataMissing, Images

CONFIG = Shelf().config("dataset", "mnist")


def load() -> Images:
    return build(CONFIG).load()


@pytest.mark.data
def test_all_images_are_there():
    """60,000 + 10,000 images; the first three training labels are 5, 0, 4; blank corners."""
    data = load()
    assert data.pixels.shape == (70_000, 1, 28, 28)
    assert data.pixels.dtype == np.float32
    assert (data.pixels.min(), data.pixels.max()) == (0, 1)
    assert data.targets[:3].tolist() == [5, 0, 4]
    assert data.targets[60_000:60_003].tolist() == [7, 2, 1]
    assert np.bincount(data.targets[:60_000])[:2].tolist() == [5923, 6742]
    assert not data.pixels[:, 0, 0, 0].any()
    assert [len(data.given_split[part]) for part in ("train", "test")] == [60_000, 10_000]
    assert data.fingerprint == "cec72c9969339178"


@pytest.mark.data
def test_the_reader_agrees_with_torchvision():
    """torchvision reads the same pixels and labels from the same files."""
    data, theirs = load(), torchvision.datasets.MNIST(os.environ["EARNEST_DATA"], train=False)
    np.testing.assert_array_equal(
        np.rint(data.pixels[60_000:, 0] * 255).astype(np.uint8), theirs.data.numpy()
    )
    np.testing.assert_array_equal(data.targets[60_000:], theirs.targets.numpy())


@pytest.mark.data
def test_two_digits_alone():
    """Ones and sevens are classes 0 and 1, the images those of the whole; parts stay parts."""
    whole, pair = load(), build(Shelf().config("dataset", "mnist_17")).load()
    kept = np.flatnonzero(np.isin(whole.targets, (1, 7)))
    np.testing.assert_array_equal(pair.pixels, whole.pixels[kept])
    assert pair.class_names == ("1", "7")
    np.testing.assert_array_equal(np.array([1, 7])[pair.targets], whole.targets[kept])
    for part, rows in pair.given_split.items():
        assert set(kept[rows]) <= set(whole.given_split[part])
    assert [len(pair.given_split[part]) for part in ("train", "test")] == [13_007, 2_163]


@pytest.mark.parametrize("digits", [(7, 1), (1,), (1, 1), (1, 10)])
def test_impossible_digits_are_refused(digits):
    """They are rising, of 0 to 9, and two at least."""
    with pytest.raises(ValueError, match="two or more of 0 to 9"):
        MNIST(digits)


def test_idx_files_are_read_by_their_header():
    """Two axes of lengths 2 and 3, values in row order; other files are refused."""
    header = b"\0\0\x08\x02" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big")
    np.testing.assert_array_equal(parse_idx(header + bytes(range(6))), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="no idx file"):
        parse_idx(b"\x1f\x8b rubbish")
    with pytest.raises(ValueError, match="reshape"):
        parse_idx(header + bytes(5))


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of the right name and another content isn't parsed."""
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\0")
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="train-images-idx3-ubyte is damaged"):
        load()

"""The first file of CIFAR-10's binary version."""

from pathlib import Path

import numpy as np
import pytest
from earnest.datasets import cifar10

from bench.components import Shelf, build
from bench.data import DataMissing, Images


def load() -> Images:
    return build(Shelf().config("dataset", "cifar10")).load()


@pytest.mark.data
def test_the_first_ten_thousand_training_images_are_there():
    """The file's first labels are frog, truck, truck, deer; its first pixel is (59, 62, 63); its
    classes are nearly even."""
    data = load()
    assert data.pixels.shape == (10_000, 3, 32, 32)
    assert data.pixels.dtype == np.float32
    names = [data.class_names[target] for target in data.targets[:4]]
    assert names == ["frog", "truck", "truck", "deer"]
    assert np.rint(data.pixels[0, :, 0, 0] * 255).tolist() == [59, 62, 63]
    counts = np.bincount(data.targets)
    assert counts.sum() == 10_000
    assert 900 < counts.min() <= counts.max() < 1100
    assert "0-9,999" in data.source
    assert data.fingerprint == "9535ad5d8069f4a8"


def test_a_batch_is_read_by_its_layout():
    """A label, then the three planes row by row; other lengths are refused."""
    red, green, blue = (bytes([level]) * 1024 for level in (0, 51, 255))
    pixels, targets = cifar10.parse_batch(bytes([7]) + red + green + blue)
    assert targets.tolist() == [7]
    np.testing.assert_allclose(pixels[0, :, 5, 9], [0, 0.2, 1])
    with pytest.raises(ValueError, match="3073 bytes each"):
        cifar10.parse_batch(bytes(3072))


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of the right name and another content isn't parsed."""
    path = tmp_path / cifar10.FILE.path
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(3073))
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="data_batch_1.bin is damaged"):
        load()

"""Fashion-MNIST as its files hold it."""

import os

import numpy as np
import pytest
import torchvision

from bench.components import Shelf, build


@pytest.mark.data
def test_all_images_are_there():
    """60,000 + 10,000 images, 6,000 and 1,000 of each class, read as torchvision reads them; the
    first training image is an ankle boot."""
    data = build(Shelf().config("dataset", "fashion_mnist")).load()
    assert data.pixels.shape == (70_000, 1, 28, 28)
    assert np.bincount(data.targets[:60_000]).tolist() == [6000] * 10
    assert np.bincount(data.targets[60_000:]).tolist() == [1000] * 10
    assert data.class_names[data.targets[0]] == "Ankle boot"
    assert [len(data.given_split[part]) for part in ("train", "test")] == [60_000, 10_000]
    theirs = torchvision.datasets.FashionMNIST(os.environ["EARNEST_DATA"], train=False)
    np.testing.assert_array_equal(np.rint(data.pixels[60_000:, 0] * 255), theirs.data.numpy())
    np.testing.assert_array_equal(data.targets[60_000:], theirs.targets.numpy())
    assert list(data.class_names) == theirs.classes

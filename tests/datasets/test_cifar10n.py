"""People's labels of CIFAR-10's first images."""

from dataclasses import replace

import numpy as np
import pytest
from earnest.datasets import cifar10n
from earnest.datasets.cifar10n import CIFAR10N

from bench.data import corrected, wrong_labels


@pytest.mark.data
@pytest.mark.parametrize(
    ("labels", "published"),
    [("aggregate", 9.03), ("worst", 40.21), ("random1", 17.23), ("random2", 18.12)],
)
def test_as_many_labels_are_wrong_as_published(labels: str, published: float):
    """The published percentages are of 50,000; those of 10,000 lie within 4 standard errors."""
    data = CIFAR10N(labels).load()
    assert data.pixels.shape == (10_000, 3, 32, 32)
    found = 100 * wrong_labels(data).mean()
    spread = 100 * np.sqrt(published / 100 * (1 - published / 100) / 10_000)
    assert abs(found - published) < 4 * spread
    assert data.targets.dtype == data.clean.dtype == np.int64


@pytest.mark.data
def test_corrected_it_is_cifar10(monkeypatch: pytest.MonkeyPatch):
    """With the right labels the images are CIFAR-10's; other images are refused."""
    whole = cifar10n.CIFAR10().load()
    mended = corrected(CIFAR10N("worst").load())
    assert mended.fingerprint == whole.fingerprint
    moved = replace(whole, targets=np.roll(whole.targets, 1))
    monkeypatch.setattr(cifar10n.CIFAR10, "load", lambda self: moved)
    with pytest.raises(ValueError, match="aren't those of CIFAR-10's first file"):
        CIFAR10N().load()

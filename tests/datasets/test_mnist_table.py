import numpy as np
import pytest

from bench.components import Shelf, build
from bench.data import encode


@pytest.mark.data
def test_rows_are_the_images_and_pixels_are_standardised():
    """The same numbers as the images'; encoded they have mean 0, and 0 where they never change."""
    shelf = Shelf()
    images, table = (
        build(shelf.config("dataset", name)).load() for name in ("mnist_17", "mnist_17_table")
    )
    np.testing.assert_array_equal(
        table.column("13, 5"), images.pixels[:, 0, 13, 5].astype(np.float64)
    )
    np.testing.assert_array_equal(table.targets, images.targets)
    rows = np.random.default_rng(0).permutation(len(table.targets))[:200]
    inputs = encode(table, rows).samples.inputs[rows].numpy()
    assert inputs.shape == (200, 784)
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)
    assert not inputs[:, 0].any()

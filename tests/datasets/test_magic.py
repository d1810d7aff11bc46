"""MAGIC against its own description."""

import numpy as np
import pytest

from bench.components import Shelf, build


@pytest.mark.data
def test_the_papers_rows_and_columns():
    """19,020 x 10 (magic04.names, and Pan and others): 12,332 gamma rays, 6,688 hadrons."""
    data = build(Shelf().config("dataset", "magic")).load()
    assert data.values.shape == (19_020, 10)
    assert data.class_names == ("hadron", "gamma")
    assert np.bincount(data.targets).tolist() == [6688, 12_332]
    assert data.values[0].tolist() == [
        *(28.7967, 16.0021, 2.6449, 0.3918, 0.1982, 27.7004, 22.011, -8.2027, 40.092, 81.8828),
    ]
    assert data.column("fDist")[0] == 81.8828
    assert data.fingerprint == "43c366b2c0000316"

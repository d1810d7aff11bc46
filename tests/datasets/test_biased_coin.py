"""The AAAI paper's synthetic data against its definition."""

import numpy as np
import pytest

from bench.components import ConfigError, Shelf, build
from bench.data import Table


def load(**fields: int) -> Table:
    return build({**Shelf().config("dataset", "biased_coin"), **fields}).load()


def test_decisions_follow_the_rule():
    """y = 1[x1 + .2 s > .5], whatever the other columns are."""
    data = load(rows=500, dimensions=3)
    assert [column.name for column in data.columns] == ["x1", "x2", "x3", "s"]
    expected = data.column("x1") + 0.2 * data.column("s") > 0.5
    assert data.targets.tolist() == expected.astype(int).tolist()
    assert data.class_names == ("negative", "positive")
    assert data.sensitive == "s"


def test_distribution():
    """Uniform inputs, a fair coin, rates .5 and .7: within 4 standard errors of 20,000 rows."""
    data = load(rows=20_000, dimensions=2)
    inputs, groups = data.values[:, :2], data.column("s")
    assert set(groups) == {0, 1}
    assert groups.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20_000))
    assert (inputs.min(), inputs.max()) == pytest.approx((0, 1), abs=1e-3)
    assert inputs.mean(axis=0) == pytest.approx([0.5, 0.5], abs=4 * 0.289 / np.sqrt(20_000))
    for group, rate in ((0, 0.5), (1, 0.7)):
        found = data.targets[groups == group].mean()
        assert found == pytest.approx(rate, abs=4 * 0.5 / np.sqrt(10_000))


def test_content_stays_the_same():
    """In any year, to the last bit; a smaller data set is the beginning of a larger one."""
    data = load()
    assert data.values.shape == (1000, 2)
    assert data.fingerprint == load().fingerprint == "a697add7944c2605"
    np.testing.assert_array_equal(load(rows=1500).values[:1000], data.values)


def test_bad_sizes():
    """Errors name what was met and what is wanted."""
    with pytest.raises(ConfigError, match=r"rows=0, dimensions=1: wanted at least 1"):
        load(rows=0)

"""Partitions and references against what they say in words."""

import numpy as np
import pytest
import torch

from bench.data import Column, Encoding, Images, Samples, Table, encode
from bench.setfunction.partition import Partition, partition, unfit


def table(groups=None) -> Table:
    values = np.array([[0.0, 1, 2.0], [1.0, 0, 3.0], [2.0, 2, 5.0], [4.0, 1, 1.0]])
    columns = (Column("age"), Column("job", ("a", "b", "c")), Column("pay"))
    targets = np.array([0, 1, 0, 1])
    return Table("t", values, columns, targets, ("no", "yes"), "", "", groups or {})


def images(channels=2, side=4) -> Images:
    pixels = np.random.default_rng(0).random((3, channels, side, side))
    return Images("i", pixels, np.array([0, 1, 0]), ("a", "b"), "", "")


def no_encoding() -> Encoding:
    return Encoding(Samples(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), 2), (), ())


def test_one_hot_columns_are_one_feature():
    """`columns` keeps the columns of a category together."""
    data = table()
    found = partition("columns", data, encode(data, np.arange(4)))
    assert found.names == ("age", "job", "pay")
    assert found.membership.tolist() == [0, 1, 1, 1, 2]


def test_natural_groups():
    """`natural` takes the table's groups, and each column alone where there are none."""
    data = table({"money": ("age", "pay"), "work": ("job",)})
    found = partition("natural", data, encode(data, np.arange(4)))
    assert found.names == ("money", "work")
    assert found.membership.tolist() == [0, 1, 1, 1, 0]
    assert partition("natural", table(), encode(table(), np.arange(4))).p == 3


def test_channels_of_a_pixel_are_one_feature():
    """Every channel has the membership of the first; blocks are squares in reading order."""
    found = partition("blocks 2", images(), no_encoding())
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert found.membership.tolist() == [expected, expected]
    assert partition("pixels", images(), no_encoding()).p == 16
    assert torch.equal(partition("natural", images(), no_encoding()).membership, found.membership)


def test_blocks_that_do_not_divide_the_image_are_smaller_at_its_edge():
    """A side of 5 in blocks of 2 makes 3 x 3 features, the corner a single pixel."""
    found = partition("blocks 2", images(1, 5), no_encoding())
    assert found.p == 9
    assert torch.bincount(found.membership.flatten()).tolist() == [4, 4, 2, 4, 4, 2, 2, 2, 1]


@pytest.mark.parametrize("kind", ["block 2", "blocks 0", "blocks", "rows", "pixels 2"])
def test_unknown_kinds_are_named(kind: str):
    with pytest.raises(ValueError, match="wanted 'natural'"):
        partition(kind, images(), no_encoding())


def test_kinds_that_do_not_fit_say_why():
    """Pixels of a table and columns of an image are refused with a reason."""
    assert "table" in (unfit("pixels", table()) or "")
    assert "images" in (unfit("columns", images()) or "")
    assert unfit("natural", table()) is None
    assert unfit("blocks 3", images()) is None


def test_pooled_sums_over_members():
    """A feature's value is the sum over its positions, all channels."""
    found = partition("blocks 2", images(), no_encoding())
    values = torch.rand(3, 2, 4, 4)
    expected = values.view(3, 2, 2, 2, 2, 2).sum((1, 3, 5)).view(3, 4)
    np.testing.assert_allclose(found.pooled(values), expected.numpy(), rtol=1e-6)


def test_positions_follow_membership():
    """A deleted feature's positions are deleted, no others."""
    found = Partition(torch.tensor([0, 1, 1, 2]), ("a", "b", "c"))
    assert found.positions(torch.tensor([[False, True, False]])).tolist() == [
        [False, True, True, False]
    ]


def test_a_feature_without_positions_is_refused():
    with pytest.raises(ValueError, match="at least one input position"):
        Partition(torch.tensor([0, 2]), ("a", "b", "c"))

"""Partitions and references against what they say in words."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import Column, Encoding, Images, Samples, Table, encode
from bench.setfunction import superpixels as slic_module
from bench.setfunction.partition import Partition, check_kind, partition, unfit
from bench.setfunction.superpixels import superpixels


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
    with pytest.raises(ValueError, match=r"wanted 'natural'.* or 'file map.npy'"):
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


OWN = torch.tensor([[0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 1, 1]])


def test_instances_with_partitions_of_their_own():
    """Each row of masks and values is read by its own instance's membership; a shared partition
    of that instance says the same."""
    own = Partition(OWN, ("a", "b"), own=True)
    assert (own.p, own.shape) == (2, torch.Size([4]))
    masks = torch.tensor([[True, False], [False, True]])
    rows, values = torch.tensor([2, 1]), torch.rand(3, 4)
    positions = own.positions(masks, rows)
    for row, mask, at, pooled in zip(rows, masks, positions, own.pooled(values)[rows], strict=True):
        alone = own.only(int(row))
        assert not alone.own
        assert torch.equal(at, alone.positions(mask[None])[0])
        np.testing.assert_allclose(pooled, alone.pooled(values[row : row + 1])[0])
    np.testing.assert_array_equal(own.pooled(values[rows], rows), own.pooled(values)[rows])
    np.testing.assert_array_equal(own.at(rows).pooled(values[rows]), own.pooled(values)[rows])
    assert own.sizes.tolist() == [[2, 2], [2, 2], [1, 3]]
    weights = torch.rand(2, 2)
    for weight, at, row in zip(weights, own.positions(weights, rows), rows, strict=True):
        assert torch.equal(at, weight[OWN[row]])
    assert torch.equal(own.of(rows), OWN[rows])


def test_a_shared_partition_is_the_same_for_all_rows():
    """Naming rows changes nothing."""
    shared, rows = Partition(OWN[0], ("a", "b")), torch.tensor([1, 0])
    masks, values = torch.tensor([[True, False], [False, True]]), torch.rand(2, 4)
    assert torch.equal(shared.positions(masks, rows), shared.positions(masks))
    np.testing.assert_array_equal(shared.pooled(values, rows), shared.pooled(values))
    assert shared.at(rows) is shared.only(1) is shared
    assert shared.sizes.tolist() == [[2, 2]]
    assert torch.equal(shared.of(rows), OWN[[0, 0]])


def test_a_partition_of_ones_own_wants_to_know_the_instance():
    """Masks without instances, another number of rows, an instance that lacks a feature."""
    own = Partition(OWN, ("a", "b"), own=True)
    with pytest.raises(ValueError, match="which one is each mask for"):
        own.positions(torch.tensor([[True, False]]))
    with pytest.raises(ValueError, match="3 instances has its own"):
        own.pooled(torch.rand(1, 4))
    with pytest.raises(ValueError, match="at least one input position"):
        Partition(torch.tensor([[0, 1], [0, 0]]), ("a", "b"), own=True)


def blobs() -> np.ndarray:
    """Four quarters of different colours and a little noise."""
    pixels = np.random.default_rng(0).uniform(0, 0.05, (3, 12, 12))
    pixels[0, :6], pixels[1, :, :6] = 0.9, 0.8
    return pixels


def test_superpixels_follow_the_image():
    """Four even quarters are four segments, numbered in reading order."""
    pytest.importorskip("skimage")
    found = superpixels(blobs(), 4)
    rows, columns = np.arange(12) // 6, np.arange(12) // 6
    np.testing.assert_array_equal(found, rows[:, None] * 2 + columns)


@pytest.mark.parametrize("count", [1, 2, 7, 16, 60, 144])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_are_exactly_as_many_superpixels_as_wanted(count: int, channels: int):
    """Whatever SLIC gives, up to one a pixel; the same image gives the same segments."""
    pytest.importorskip("skimage")
    for pixels in (blobs()[:channels], np.zeros((channels, 12, 12))):
        found = superpixels(pixels, count)
        assert np.unique(found).tolist() == list(range(count))
        np.testing.assert_array_equal(found, superpixels(pixels, count))


def test_merging_takes_the_neighbour_of_the_nearest_colour():
    """The lone middle segment is like its right neighbour; the far left, a better match still,
    doesn't touch it, not even around the edge."""
    segments = np.array([[0, 1, 2, 3, 3]])
    image = np.array([[0.52, 0.1, 0.5, 0.7, 0.7]])[..., None]
    assert slic_module._merged(segments, image, 2).tolist() == [[0, 1, 2, 2, 2]]
    assert slic_module._merged(segments, image, 0).tolist() == [[0, 0, 1, 2, 2]]


def test_superpixels_of_the_rows_that_are_explained():
    """One partition an instance, all channels alike; the rows are wanted."""
    pytest.importorskip("skimage")
    data = images(3, 6)
    found = partition("superpixels 5", data, no_encoding(), np.array([2, 0]))
    assert (found.own, found.p, found.shape) == (True, 5, torch.Size([3, 6, 6]))
    for membership, row in zip(found.membership, (2, 0), strict=True):
        for channel in membership:
            np.testing.assert_array_equal(channel, superpixels(data.pixels[row], 5))
    with pytest.raises(ValueError, match="which rows are explained"):
        partition("superpixels 5", data, no_encoding())
    assert "fewer" in (unfit("superpixels 37", data) or "")
    assert "table" in (unfit("superpixels 5", table()) or "")


def test_superpixels_without_scikit_image(monkeypatch: pytest.MonkeyPatch):
    """The reason says what to install."""
    monkeypatch.setattr(slic_module, "find_spec", lambda name: None)
    assert "earnest[images]" in (unfit("superpixels 4", images()) or "")


def test_groups_as_a_text():
    """Columns of a table in the user's own groups, one-hot columns with them."""
    data = table()
    found = partition("groups age, pay | job", data, encode(data, np.arange(4)))
    assert found.names == ("age, pay", "job")
    assert found.membership.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("name", ["groups.json", "groups.yaml"])
def test_groups_in_a_file(name: str, tmp_path: Path):
    """json and yaml map names to columns."""
    (tmp_path / name).write_text(json.dumps({"money": ["pay"], "person": ["job", "age"]}))
    data = table()
    found = partition(f"file {tmp_path / name}", data, encode(data, np.arange(4)))
    assert found.names == ("person", "money")
    assert found.membership.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agee, pay | job", "unknown column 'agee': did you mean age?"),
        ("age, pay | job, age", "column 'age' is in 'age, pay' and in 'job, age'"),
        ("age | job", "no group has pay: each column wants one"),
        ("age, age | job, pay", "column 'age' is in"),
        ("age, pay, | job", "unknown column ''"),
    ],
)
def test_groups_that_do_not_cover(text: str, message: str):
    """Unknown, doubled and missing columns are named before anything runs."""
    data = table()
    assert message in (unfit(f"groups {text}", data) or "")
    with pytest.raises(ValueError, match="partition 'groups"):
        partition(f"groups {text}", data, encode(data, np.arange(4)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "can't be read"),
        ("[1]", "map each group's name"),
        ('{"a": "age"}', "map each group's name"),
        ('{"a": []}', "has no columns"),
    ],
)
def test_files_that_are_no_groups(text: str, message: str, tmp_path: Path):
    """The error names the file and what is wanted; so does a missing file."""
    path = tmp_path / "groups.json"
    path.write_text(text)
    assert message in (unfit(f"file {path}", table()) or "")
    assert "can't be read" in (unfit(f"file {tmp_path / 'none.json'}", table()) or "")


def test_an_array_of_memberships(tmp_path: Path):
    """In the shape of an encoded input, or of an image without its channels."""
    path = tmp_path / "features.npy"
    np.save(path, np.array([1, 0, 0, 2, 1], dtype=np.int32))
    data = table()
    found = partition(f"file {path}", data, encode(data, np.arange(4)))
    assert found.membership.tolist() == [1, 0, 0, 2, 1]
    assert found.names == ("0", "1", "2")
    halves = np.repeat([[0], [1]], 2, axis=0) * np.ones((1, 4), dtype=int)
    np.save(path, halves)
    found = partition(f"file {path}", images(), no_encoding())
    assert found.membership.tolist() == [halves.tolist()] * 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0, 1, 1, 3, 3]), "holds [0, 1, 3]: wanted 0 .. p - 1, each at least once"),
        (np.array([0, 1, 1]), "is of shape"),
        (np.array([0.0, 1, 1, 2, 2]), "whole numbers"),
        (np.array([None] * 5), "can't be read"),
    ],
)
def test_arrays_that_are_no_partition(array: np.ndarray, message: str, tmp_path: Path):
    """Gaps, other shapes, other types, and objects, which are never unpickled."""
    path = tmp_path / "features.npy"
    np.save(path, array, allow_pickle=True)
    assert message in (unfit(f"file {path}", table()) or "")


def test_kinds_of_images_and_tables_do_not_mix():
    """Groups of columns are no partition of images."""
    assert "images" in (unfit("groups a | b", images()) or "")
    assert "'file map.npy' holds" in (unfit("file groups.json", images()) or "")
    with pytest.raises(ValueError, match="superpixels 16"):
        check_kind("superpixels")

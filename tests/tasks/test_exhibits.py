"""Rows that are shown: the right ones, with their labels, small, and as they look."""

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Column, Images, Samples, Table
from bench.tasks.exhibits import EACH, LETTERS, PACKED, Exhibits, packed

NAMES = ("a", "b", "c")


def images(n: int = 40, shape: tuple[int, ...] = (1, 4, 6)) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, *shape)) / 255
    return Images("pictures", pixels, rng.integers(3, size=n), NAMES, "", "")


def table() -> Table:
    """Four columns: a number, a rare level, a common level, a constant."""
    n = 40
    values = np.column_stack(
        [np.arange(n), np.arange(n) == 7, np.arange(n) % 2, np.full(n, 5.0)]
    ).astype(float)
    columns = (Column("age"), Column("job", ("usual", "rare")), Column("sex", ("x", "y")))
    return Table("t", values, (*columns, Column("five")), np.arange(n) % 3, NAMES, "", "")


def chosen(data, rows, values, targets=None):
    targets = data.targets[rows] if targets is None else targets
    pixels = data.pixels[rows] if isinstance(data, Images) else data.values[rows]
    train = Samples(torch.tensor(pixels).float(), torch.as_tensor(targets), 3)
    return Exhibits.of(data, rows).chosen(train, rows, np.asarray(values, dtype=float))


def unpacked(picture):
    found = zlib.decompress(base64.b64decode(picture["zlib"]))
    return np.frombuffer(found, dtype=np.uint8).reshape(picture["shape"])


def test_the_extremes_are_shown_by_their_place_in_the_data():
    """The smallest values are harmful, the largest helpful, the most extreme first."""
    rows = np.random.default_rng(1).permutation(40)[:30]
    values = np.random.default_rng(2).normal(size=30)
    found = chosen(images(), rows, values)
    order = np.argsort(values)
    assert [e["row"] for e in found] == [*rows[order[:EACH]], *rows[order[::-1][:EACH]]]
    assert [e["kind"] for e in found] == ["harmful"] * EACH + ["helpful"] * EACH
    assert [e["value"] for e in found] == [*np.sort(values)[:EACH], *np.sort(values)[::-1][:EACH]]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("n", [0, 1, 5])
def test_no_row_is_both_harmful_and_helpful(n: int):
    """Of a few rows each is shown once at most."""
    found = chosen(images(), np.arange(n), np.arange(n))
    assert len(found) == n // 2 * 2
    assert len({e["row"] for e in found}) == len(found)


def test_small_pictures_are_shown_as_they_are():
    """Every byte of the pixels comes back."""
    data = images()
    for exhibit in chosen(data, np.arange(40), np.arange(40)):
        assert np.array_equal(unpacked(exhibit["picture"]), 255 * data.pixels[exhibit["row"]])


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 96, 64), (1, 200, 1)])
def test_large_pictures_are_made_small(shape: tuple[int, ...]):
    """A dozen takes about 10 KB, noise too; the edges keep their proportion, a plain its shade."""
    found = chosen(images(12, shape), np.arange(12), np.arange(12))
    assert len(json.dumps(found)) < 12_000
    for exhibit in found:
        channels, height, width = exhibit["picture"]["shape"]
        assert channels == shape[0]
        assert height / width == pytest.approx(shape[1] / shape[2], rel=0.15) or width == 1
        assert len(base64.b64decode(exhibit["picture"]["zlib"])) <= PACKED
    halves = np.random.default_rng(0).random((3, 64, 64)) * 0.01 + 0.2
    assert np.abs(unpacked(packed(halves)).astype(float) - 51).max() <= 255 / 30


def test_wrong_labels_are_told():
    """By a flip of ours, or as the data set has them; a flip that puts one right is none."""
    data = images()
    noisy = replace(data, targets=(data.targets + (np.arange(40) == 1)) % 3, clean=data.targets)
    targets = noisy.targets.copy()
    targets[0] = (targets[0] + 1) % 3
    found = {e["row"]: e for e in chosen(noisy, np.arange(12), np.arange(12), targets[:12])}
    right = [NAMES[t] for t in data.targets]
    assert {row for row, e in found.items() if "truly" in e} == {0, 1}
    assert [found[row]["truly"] for row in (0, 1)] == right[:2]
    assert all(e["label"] == NAMES[targets[row]] for row, e in found.items())
    targets[1] = data.targets[1]
    found = {e["row"]: e for e in chosen(noisy, np.arange(12), np.arange(12), targets[:12])}
    assert "truly" not in found[1]


def test_rows_of_a_table_are_told_by_what_is_rare_in_them():
    """A level that one row has, a number as far from the median as 16 of 40 are, one of halves.

    A constant comes last.
    """
    data = table()
    found = {e["row"]: e["text"] for e in chosen(data, np.arange(40), np.arange(40) != 7)}
    assert found[7].startswith("job=rare, age=7, sex=y")
    assert found[39].startswith("age=39")
    assert all(text.endswith("five=5") for text in found.values())


def test_texts_are_told_by_their_heaviest_words():
    """Numbers of at least 0 that are nearly all 0; an empty text has no words."""
    values = np.zeros((40, 60))
    values[0, [3, 9, 4]] = [0.2, 0.7, 0.5]
    columns = tuple(Column(f"w{i}") for i in range(60))
    data = Table("t", values, columns, np.arange(40) % 3, NAMES, "", "")
    found = {e["row"]: e["text"] for e in chosen(data, np.arange(40), np.arange(40))}
    assert found[0] == "w9 w4 w3"
    assert found[1] == ""


def test_long_names_are_left_out_whole():
    """No text is longer than a line."""
    data = table()
    columns = (Column("x" * 200), *data.columns[1:])
    for exhibit in chosen(replace(data, columns=columns), np.arange(40), np.arange(40)):
        assert 0 < len(exhibit["text"]) <= LETTERS
        assert "xx" not in exhibit["text"]

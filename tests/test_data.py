import time
from dataclasses import replace
from itertools import combinations

import jaxtyping
import numpy as np
import pytest
import torch

from bench.data import (
    Column,
    Images,
    Samples,
    Table,
    corrected,
    encode,
    flip_labels,
    label_noise,
    split,
    wrong_labels,
)


def table(n: int = 200, class_sizes: tuple[int, ...] = (120, 60, 20)) -> Table:
    """Two numbers and a category; classes of the given sizes in a shuffled order."""
    rng = np.random.default_rng(7)
    sizes = class_sizes or (n,)
    targets = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    codes = rng.integers(0, 3, size=len(targets))
    return Table(
        name="toy",
        values=np.column_stack([rng.normal(5, 2, len(targets)), rng.random(len(targets)), codes]),
        columns=(Column("length"), Column("share"), Column("colour", ("red", "green", "blue"))),
        targets=targets if class_sizes else targets.astype(float),
        class_names=tuple("abcdefg"[: len(class_sizes)]),
        licence="none",
        source="made here",
        given_split={"train": np.arange(len(targets))[:150], "test": np.arange(len(targets))[150:]},
    )


def parts_of(found) -> list[np.ndarray]:
    return [found.train, found.validation, found.test]


SCHEMES = [
    "percent 60/20/20",
    "percent 34/33/33",
    "percent 80/0/20",
    "rows 50/60/70",
    "fold 1/5 validation 20",
    "fold 5/5 validation 0",
    "given validation 20",
]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("class_sizes", [(120, 60, 20), ()], ids=["classes", "number"])
def test_parts_are_disjoint_and_named_by_the_rng(scheme: str, class_sizes: tuple[int, ...]):
    """No row stands in two parts; equal generators give equal splits, others don't."""
    data = table(class_sizes=class_sizes)
    first, again, other = (
        parts_of(split(data, scheme, rng=np.random.default_rng(seed))) for seed in (3, 3, 4)
    )
    rows = np.concatenate(first)
    assert len(np.unique(rows)) == len(rows)
    assert rows.max() < 200
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("scheme", "sizes"),
    [
        ("percent 60/20/20", (120, 40, 40)),
        ("percent 80/0/20", (160, 0, 40)),
        ("percent 34/33/33", (68, 66, 66)),
        ("rows 50/60/70", (50, 60, 70)),
        ("rows 200/0/0", (200, 0, 0)),
        ("fold 2/5 validation 25", (120, 40, 40)),
        ("given validation 20", (120, 30, 50)),
    ],
)
def test_sizes_are_what_the_scheme_says(scheme: str, sizes: tuple[int, int, int]):
    """Each part has its share of the rows."""
    found = split(table(), scheme, rng=np.random.default_rng(0))
    assert tuple(map(len, parts_of(found))) == sizes


@pytest.mark.parametrize("class_sizes", [(120, 60, 20), (197, 2, 1), (67, 67, 66), (101, 99)])
@pytest.mark.parametrize("shares", [(60, 20, 20), (34, 33, 33), (1, 9, 90), (70, 0, 30)])
def test_every_class_is_dealt_in_proportion(class_sizes, shares):
    """A class's rows in a part, and a part's rows, differ from the exact share by at most 1."""
    data = table(class_sizes=class_sizes)
    found = split(data, "percent {}/{}/{}".format(*shares), rng=np.random.default_rng(0))
    for part, share in zip(parts_of(found), shares, strict=True):
        counts = np.bincount(data.targets[part], minlength=len(class_sizes))
        assert np.abs(counts - np.array(class_sizes) * share / 100).max() <= 1
        assert abs(len(part) - len(data.targets) * share / 100) <= 1


def test_every_row_is_as_likely_in_every_part():
    """Over many generators a row is tested as often as the scheme says: 20 %, +- 4.5 sd."""
    data = table()
    tested = np.zeros(200)
    for seed in range(1000):
        tested[split(data, "percent 60/20/20", rng=np.random.default_rng(seed)).test] += 1
    assert np.abs(tested / 1000 - 0.2).max() < 4.5 * np.sqrt(0.2 * 0.8 / 1000)


def test_folds_of_one_rng_partition_the_rows():
    """The test parts of folds 1 to K are disjoint and hold every row."""
    data = table()
    tests = [
        split(data, f"fold {fold}/5 validation 20", rng=np.random.default_rng(9)).test
        for fold in range(1, 6)
    ]
    assert not any(set(a) & set(b) for a, b in combinations(tests, 2))
    assert set(np.concatenate(tests)) == set(range(200))


def test_given_split_keeps_the_providers_test_part():
    """Only the provider's training rows train and validate."""
    data = table()
    found = split(data, "given validation 20", rng=np.random.default_rng(0))
    np.testing.assert_array_equal(found.test, data.given_split["test"])
    assert set(found.train) | set(found.validation) == set(data.given_split["train"])


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("halves", "wanted 'percent 60/20/20'"),
        ("percent 60/20/10", "add to 90, not to 100"),
        ("percent 0/50/50", "leaves no rows to train on"),
        ("rows 100/100/1", "201 rows is wanted, toy has 200"),
        ("rows 0/100/100", "leaves no rows to train on"),
        ("fold 0/5 validation 20", "the first of five is 1/5"),
        ("fold 6/5 validation 20", "the first of five is 1/5"),
        ("fold 1/1 validation 20", "the first of five is 1/5"),
        ("fold 1/201 validation 0", "too few rows"),
        ("given validation 100", "wanted 'percent 60/20/20'"),
    ],
)
def test_impossible_schemes_are_refused(scheme: str, words: str):
    """The error says what was met and what is wanted."""
    with pytest.raises(ValueError, match=words):
        split(table(), scheme, rng=np.random.default_rng(0))


def test_a_part_that_gets_no_row_is_refused():
    """1 % of three rows is none."""
    with pytest.raises(ValueError, match="too few rows"):
        split(table(class_sizes=(3,)), "percent 98/1/1", rng=np.random.default_rng(0))


def test_given_split_wants_a_providers_split():
    """Data without one says so."""
    images = Images("toy", np.zeros((4, 1, 2, 2)), np.arange(4) % 2, ("a", "b"), "none", "here")
    with pytest.raises(ValueError, match="without a split of its own"):
        split(images, "given validation 20", rng=np.random.default_rng(0))


def test_a_large_split_is_quick():
    """60,000 rows are dealt in well under a second: no loop runs over rows."""
    data = table(class_sizes=(30_000, 20_000, 10_000))
    start = time.process_time()
    split(data, "percent 60/20/20", rng=np.random.default_rng(0))
    assert time.process_time() - start < 0.5


def test_encode_standardises_on_the_fit_rows_alone():
    """Mean 0 and standard deviation 1 on the fit rows; one-hot columns too; others follow."""
    data, fit_rows = table(), np.arange(50)
    encoding = encode(data, fit_rows)
    onehot = data.values[:, 2][:, None] == np.arange(3)
    plain = np.column_stack([data.values[:, :2], onehot])
    expected = (plain - plain[fit_rows].mean(axis=0)) / plain[fit_rows].std(axis=0)
    np.testing.assert_allclose(encoding.samples.inputs.numpy(), expected, atol=1e-6)
    assert encoding.names == ("length", "share", "colour = red", "colour = green", "colour = blue")
    assert encoding.column_of == (0, 1, 2, 2, 2)
    assert encoding.samples.inputs.dtype == torch.float32
    assert encoding.samples.targets.dtype == torch.int64


def test_encode_of_some_rows_is_that_of_all_of_them():
    """In their order, whatever the rows that are fitted on; images too."""
    rows = np.array([170, 3, 90, 3])
    whole = encode(table(), np.arange(50))
    some = encode(table(), np.arange(50), rows)
    assert torch.equal(some.samples.inputs, whole.samples.inputs[rows])
    assert torch.equal(some.samples.targets, whole.samples.targets[rows])
    assert (some.names, some.column_of) == (whole.names, whole.column_of)
    pixels = np.random.default_rng(0).random((4, 1, 2, 2))
    images = Images("images", pixels, np.array([0, 1, 1, 0]), ("a", "b"), "", "")
    samples = encode(images, np.arange(2), np.array([3, 1])).samples
    np.testing.assert_allclose(samples.inputs.numpy(), pixels[[3, 1]], 1e-6)
    assert samples.targets.tolist() == [0, 1]


def test_encode_sets_a_constant_column_to_zero():
    """A column constant on the fit rows gives 0 there, exactly, and finite numbers elsewhere.

    The mean of 0.1, 0.1, ... is rounded, so the computed spread isn't 0.
    """
    data = table()
    data.values[:, 0] = 0.1
    data.values[150:, 0] = 3.1
    inputs = encode(data, np.arange(150)).samples.inputs[:, 0]
    assert (inputs[:150] == 0).all()
    torch.testing.assert_close(inputs[150:], torch.full((50,), 3.0))


def test_encode_leaves_images_and_scales_real_targets():
    """Pixels stay in [0, 1]; a regression's targets have mean 0 and sd 1 on the fit rows."""
    pixels = np.random.default_rng(0).random((4, 1, 2, 2))
    images = Images("toy", pixels, np.arange(4) % 2, ("a", "b"), "none", "here")
    np.testing.assert_allclose(encode(images, np.arange(2)).samples.inputs.numpy(), pixels, 1e-6)
    data = table(class_sizes=())
    data.targets[:] = np.random.default_rng(1).normal(150, 77, 200)
    samples = encode(data, np.arange(100)).samples
    fitted = data.targets[:100]
    np.testing.assert_allclose(samples.targets, (data.targets - fitted.mean()) / fitted.std(), 1e-5)
    assert samples.targets.dtype == torch.float32
    assert samples.n_classes == 0


def test_encode_refuses_missing_values_by_name():
    """NaN never reaches a model; the columns are named."""
    data = table()
    data.values[3, 1] = np.nan
    with pytest.raises(ValueError, match="missing values in share: impute or drop"):
        encode(data, np.arange(100))


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside the tests, where nothing checks shapes by their annotations."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": np.arange(200) % 3 + 1}, "targets from 1 to 3: wanted 0 to 2"),
        ({"targets": np.arange(200) % 3 - 1}, "targets from -1 to 1: wanted 0 to 2"),
        ({"targets": np.arange(10) % 3}, r"targets of shape \(10,\) for 200 rows"),
        ({"targets": np.arange(200.0) % 3}, "dtype float64: wanted whole numbers"),
        ({"targets": np.full(200, np.nan), "class_names": ()}, "targets hold NaN"),
        ({"clean": np.full(200, 7)}, "clean labels from 7 to 7"),
        ({"columns": (Column("length"),)}, "with 1 columns"),
        ({"values": np.ones((200, 3)) * [1, 1, 3]}, "codes in colour beyond 0 to 2"),
        ({"values": np.ones((200, 3)) * [1, np.inf, 1]}, "infinite numbers in share"),
        ({"given_split": {"test": np.array([200])}}, "part 'test' names rows beyond 0 to 199"),
        ({"sensitive": "race"}, "has no column race"),
        ({"groups": {"g": ("lenght",)}}, "has no column lenght"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(changes: dict, words: str):
    """What was met and what is wanted, before anything is trained; missing values are legal."""
    with pytest.raises(ValueError, match=words):
        replace(table(), **changes)
    values = table().values
    values[0] = np.nan
    assert np.isnan(replace(table(), values=values).values[0]).all()


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (
            np.full((4, 1, 2, 2), np.nan),
            r"pixels from nan to nan: wanted finite numbers in \[0, 1\]",
        ),
        (np.full((4, 1, 2, 2), 255, dtype=np.uint8), "pixels / 255"),
        (np.full((4, 1, 2, 2), -0.1), "pixels from -0.1 to"),
        (np.zeros((4, 2, 2)), "wanted four axes"),
        (np.zeros((3, 1, 2, 2)), r"targets of shape \(4,\) for 3 rows"),
    ],
)
def test_images_that_are_none_are_refused(pixels: np.ndarray, words: str):
    """Bytes, missing pixels, a missing axis, and rows without a target."""
    with pytest.raises(ValueError, match=words):
        Images("toy", pixels, np.arange(4) % 2, ("a", "b"), "none", "here")


def test_fingerprints_see_values_targets_and_names():
    """Equal content gives equal fingerprints; a changed number, label or name another one."""
    plain, changed, relabelled = table(), table(), table()
    changed.values[0, 0] += 1e-9
    relabelled.targets[0] = (relabelled.targets[0] + 1) % 3
    renamed = Table(**{**vars(table()), "columns": (*plain.columns[:2], Column("colour"))})
    assert plain.fingerprint == table().fingerprint
    found = [data.fingerprint for data in (plain, changed, relabelled, renamed)]
    assert len(set(found)) == 4


def test_samples_by_index_and_by_mask_agree():
    """Both ways of choosing rows give the same samples."""
    samples = Samples(torch.arange(12.0).reshape(6, 2), torch.arange(6) % 3, 3)
    mask = np.array([True, False, True, False, False, True])
    by_mask, by_index = samples.rows(mask), samples.rows(np.flatnonzero(mask))
    assert len(by_mask) == 3
    assert by_mask.fingerprint == by_index.fingerprint


@pytest.mark.parametrize("share", [0.0, 0.1, 0.333, 1.0])
def test_flips_are_exact_and_never_to_the_same_class(share: float):
    """Exactly round(share n) rows change, each to another class; the rest stay."""
    targets = torch.arange(91) % 3
    flipped_targets, flipped = flip_labels(targets, share, 3, rng=np.random.default_rng(1))
    assert flipped.sum() == round(share * 91)
    np.testing.assert_array_equal((flipped_targets != targets).numpy(), flipped)
    assert set(flipped_targets.tolist()) <= {0, 1, 2}


def test_flips_are_even_over_the_other_classes():
    """A flipped row of 4 classes goes to each other class with probability 1/3, +- 4 sd."""
    targets = torch.zeros(6000, dtype=torch.int64)
    moved, _ = flip_labels(targets, 1.0, 4, rng=np.random.default_rng(2))
    counts = torch.bincount(moved, minlength=4).numpy()
    assert counts[0] == 0
    assert np.abs(counts[1:] - 2000).max() < 4 * np.sqrt(6000 * 2 / 9)


@pytest.mark.parametrize(("share", "n_classes"), [(0.1, 0), (0.1, 1), (1.1, 2), (-0.1, 2)])
def test_impossible_flips_are_refused(share: float, n_classes: int):
    """Numbers and single classes can't be flipped, nor more than all rows."""
    with pytest.raises(ValueError, match="can't be flipped"):
        flip_labels(
            torch.zeros(10, dtype=torch.int64), share, n_classes, rng=np.random.default_rng(0)
        )


def test_uniform_noise_is_flips():
    """The same generator gives what `flip_labels` gives; the targets handed in stay."""
    targets = torch.arange(91) % 3
    noisy, wrong = label_noise(targets, None, "uniform", 0.2, 3, rng=np.random.default_rng(1))
    expected, flipped = flip_labels(targets, 0.2, 3, rng=np.random.default_rng(1))
    assert torch.equal(noisy, expected)
    np.testing.assert_array_equal(wrong, flipped)
    assert torch.equal(targets, torch.arange(91) % 3)


def test_class_noise_moves_each_class_to_the_next():
    """round(share n) rows go from i to i + 1, the last class to the first."""
    targets = torch.arange(100) % 4
    noisy, wrong = label_noise(targets, None, "class", 0.3, 4, rng=np.random.default_rng(2))
    assert wrong.sum() == 30
    assert torch.equal(noisy, (targets + torch.as_tensor(wrong)) % 4)


def test_group_noise_stays_in_the_smallest_group():
    """A share of the smallest group's rows is wrong, nobody else's; among equals the lowest."""
    groups = np.repeat([2, 0, 1], [50, 20, 30])
    targets = torch.arange(100) % 3
    noisy, wrong = label_noise(targets, groups, "group", 0.5, 3, rng=np.random.default_rng(3))
    assert wrong.sum() == 10
    assert set(groups[wrong]) == {0}
    np.testing.assert_array_equal((noisy != targets).numpy(), wrong)
    even = np.arange(100) % 2
    _, wrong = label_noise(targets, even, "group", 1.0, 3, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(wrong, even == 0)


def test_group_noise_wants_groups():
    """Data without a sensitive attribute says so; shares are checked for every kind."""
    targets, rng = torch.arange(10) % 2, np.random.default_rng(0)
    with pytest.raises(ValueError, match="wants a sensitive attribute"):
        label_noise(targets, None, "group", 0.1, 2, rng=rng)
    with pytest.raises(ValueError, match="can't be flipped"):
        label_noise(targets, None, "class", 1.1, 2, rng=rng)


def test_clean_labels_say_which_are_wrong_and_correct_them():
    """Where the right labels are known, wrong rows are named and mended; else nothing changes."""
    plain = table()
    assert not wrong_labels(plain).any()
    assert corrected(plain) is plain
    right = plain.targets.copy()
    right[[3, 8]] = (right[[3, 8]] + 1) % 3
    noisy = replace(plain, clean=right)
    assert np.flatnonzero(wrong_labels(noisy)).tolist() == [3, 8]
    np.testing.assert_array_equal(corrected(noisy).targets, right)
    assert not wrong_labels(corrected(noisy)).any()
    assert len({plain.fingerprint, noisy.fingerprint, corrected(noisy).fingerprint}) == 3

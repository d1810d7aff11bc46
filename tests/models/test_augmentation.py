from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bench.data import Samples
from bench.models.augmentation import CropFlip, philox
from bench.models.influence import mean_losses, query_gradient, sgd_influence
from bench.models.network import CNN
from bench.models.sgd import SGD


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_known_answers_of_philox(counter, key, expected):
    """The answers that Random123, the authors' library, tests itself with."""
    counters = np.array([[int(word, 16)] for word in counter.split()])
    found = philox(counters, tuple(int(word, 16) for word in key.split()))
    assert [f"{word:08x}" for word in found[:, 0]] == expected.split()


def pictures(n=40):
    return torch.rand(n, 2, 5, 6, generator=torch.Generator().manual_seed(0))


def test_each_picture_is_a_window_of_the_padded_one():
    """Pixel by pixel: every crop is among all windows, mirrored or not, and many are met."""
    inputs, augment = pictures(), CropFlip(padding=2, fill=-1.0)
    seen = set()
    for i, found in enumerate(augment(inputs, torch.arange(40), 0, 7)):
        padded = torch.full((2, 9, 10), -1.0)
        padded[:, 2:7, 2:8] = inputs[i]
        matches = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            if torch.equal(
                found,
                padded[:, top : top + 5, left : left + 6].flip(2)
                if flip
                else padded[:, top : top + 5, left : left + 6],
            )
        ]
        assert len(matches) == 1
        seen |= set(matches)
    assert len(seen) > 20


def test_a_row_is_seen_alike_whoever_is_with_it():
    """A pure function of seed, epoch and row; another of these gives other windows."""
    inputs, augment = pictures(), CropFlip(2)
    rows = torch.arange(40)
    whole = augment(inputs, rows, 3, 2**40 + 5)
    chosen = torch.tensor([31, 4, 17])
    assert torch.equal(augment(inputs[chosen], chosen, 3, 2**40 + 5), whole[chosen])
    for other in (augment(inputs, rows, 4, 2**40 + 5), augment(inputs, rows, 3, 5)):
        assert not torch.equal(other, whole)


def test_windows_and_mirrors_are_equally_frequent():
    """Offsets, and the flip, of 9,000 rows pass a chi-squared test."""
    marks = torch.arange(25.0).view(1, 1, 5, 5).expand(9000, 1, 5, 5)
    corner = CropFlip(1, flip=False, fill=-1.0)(marks, torch.arange(9000), 0, 1)[:, 0, 2, 2]
    assert chisquare(corner.unique(return_counts=True)[1].numpy()).pvalue > 0.001
    assert len(corner.unique()) == 9
    flipped = CropFlip(0)(marks, torch.arange(9000), 0, 1)[:, 0, 0, 0]
    assert chisquare(flipped.unique(return_counts=True)[1].numpy()).pvalue > 0.001


def test_no_margin_and_no_mirror_is_nothing():
    """The identity, and a negative margin refused."""
    assert torch.equal(CropFlip(0, flip=False)(pictures(), torch.arange(40), 0, 0), pictures())
    with pytest.raises(ValueError, match="padding=-1: wanted at least 0"):
        CropFlip(-1)


def test_replays_and_retrainings_see_the_same_windows():
    """Kept by steps or by epochs, from the cache or not, with rows left out or not."""
    rng = np.random.default_rng(0)
    samples = Samples(torch.rand(20, 1, 6, 6), torch.tensor(rng.integers(2, size=20)), 2)
    recipe = SGD(CNN((2,), 3), epochs=3, batch_size=5, augmentation=CropFlip(1))
    networks = [
        replace(recipe, checkpoints=policy).fit(samples, rng=np.random.default_rng(1))
        for policy in ("every_step", "every_epoch")
    ]
    restored = recipe.restore(recipe.arrays(networks[1]), samples)
    runs = [network.trajectory for network in (*networks, restored)]
    query = query_gradient(runs[0].objective, runs[0].final, samples)
    whole = sgd_influence(runs[0], query)
    keep = torch.ones(2, 20, dtype=torch.bool)
    keep[1, 3] = False
    finals = runs[0].retrain(keep)
    for run in runs:
        assert torch.equal(run.final, runs[0].final)
        assert torch.equal(sgd_influence(run, query), whole)
        assert torch.equal(run.retrain(keep), finals)
    torch.testing.assert_close(finals[0], runs[0].final, rtol=0, atol=1e-6)
    changes = mean_losses(runs[0].objective, finals, samples)
    assert float(whole[3]) == pytest.approx(float(changes[1] - changes[0]), rel=0.3, abs=1e-5)

"""References against what they say in words."""

import numpy as np
import pytest
import torch

from bench.setfunction.partition import Partition
from bench.setfunction.reference import KINDS, Reference, check_kind, medoids, reference, unfit

RNG = np.random.default_rng


def drawn(kind: str, train: torch.Tensor, draws: int = 8, inputs: torch.Tensor | None = None):
    return reference(kind, train[:2] if inputs is None else inputs, train, draws, rng=RNG(0))


def test_single_draws():
    """Zero, constant and mean are one draw for all instances."""
    train = torch.rand(10, 3)
    assert drawn("zero", train).draws.tolist() == [[[0.0] * 3]]
    assert drawn("constant -0.5", train).draws.tolist() == [[[-0.5] * 3]]
    torch.testing.assert_close(drawn("mean", train).draws[0, 0], train.mean(0))


@pytest.mark.parametrize("kind", ["instances", "medoids"])
def test_real_rows(kind: str):
    """Both draw distinct training rows, all of them where there are fewer."""
    train = torch.rand(10, 3)
    found = drawn(kind, train).draws[0]
    assert len(found.unique(dim=0)) == 8
    assert all(any(torch.equal(draw, row) for row in train) for draw in found)
    torch.testing.assert_close(drawn(kind, train).mean[0], found.mean(0))
    assert drawn(kind, train, 99).count == 10


def test_medoids_stand_in_the_middle_of_their_groups():
    """Two clouds far apart: the row nearest to each centre, which no exchange improves."""
    rng = RNG(1)
    clouds = [rng.normal(size=(7, 2)) + centre for centre in ([0, 0], [50, 0])]
    train = torch.from_numpy(np.concatenate(clouds)).float()
    chosen = medoids(train, 2, rng=rng)
    best = [
        7 * i + np.linalg.norm(cloud[:, None] - cloud, axis=2).sum(1).argmin()
        for i, cloud in enumerate(clouds)
    ]
    assert sorted(chosen.tolist()) == best
    assert len(medoids(torch.ones(5, 2), 3, rng=rng)) == 3


def test_uniform_noise_has_the_range_of_the_training_rows():
    """A table's columns each their own, an image's pixels all the same."""
    table = torch.rand(50, 3) * torch.tensor([1.0, 10.0, 0.0]) + 5
    noise = drawn("uniform", table, 4000).draws[0]
    torch.testing.assert_close(noise.amin(0), table.amin(0), atol=0.02, rtol=0)
    torch.testing.assert_close(noise.amax(0), table.amax(0), atol=0.02, rtol=0)
    assert (noise[:, 2] == 5).all()
    images = torch.zeros(4, 1, 2, 2)
    images[0, 0, 0, 0] = 1.0
    noise = drawn("uniform", images, 4000).draws
    assert noise.shape == (1, 4000, 1, 2, 2)
    torch.testing.assert_close(noise.mean((0, 1)), torch.full((1, 2, 2), 0.5), atol=0.05, rtol=0)


def test_blur_is_each_image_under_a_gaussian():
    """By the definition: weights exp(-d^2 / 2 sigma^2), edge pixels repeated; one draw each."""
    images = torch.rand(3, 2, 6, 6)
    found = drawn("blur 1", images, inputs=images)
    assert found.draws.shape == (3, 1, 2, 6, 6)
    assert not found.shared
    offsets = np.arange(-4, 5)
    kernel = np.exp(-(offsets**2) / 2)
    kernel /= kernel.sum()
    padded = np.pad(images[1, 0].numpy(), 4, mode="edge")
    across = np.stack([np.convolve(row, kernel, "valid") for row in padded])
    expected = np.stack([np.convolve(column, kernel, "valid") for column in across.T]).T
    np.testing.assert_allclose(found.draws[1, 0, 0], expected, atol=1e-5)
    wide = drawn("blur", images, inputs=images)  # a sigma of 6 / 8
    assert wide.draws[0].std() > found.draws[0].std()
    flat = torch.full((1, 1, 4, 4), 0.3)
    torch.testing.assert_close(drawn("blur 2", flat, inputs=flat).draws[0], flat)


def test_the_draws_of_rows():
    """Shared draws are those of every instance, own ones are picked."""
    shared, own = Reference(torch.rand(1, 4, 3)), Reference(torch.rand(2, 4, 3))
    rows = torch.tensor([1, 0, 1])
    assert torch.equal(shared.of(rows)[2], shared.draws[0])
    assert torch.equal(own.of(rows), own.draws[rows])
    assert torch.equal(own.only(2).draws, own.draws[:, 2:3])


def test_unknown_kinds_are_refused():
    """With the kinds there are; a table has no blur."""
    for kind in KINDS:
        check_kind(kind)
    with pytest.raises(ValueError, match="wanted one like 'zero'"):
        reference("median", torch.zeros(1, 2), torch.zeros(1, 2), 8, rng=RNG(0))
    with pytest.raises(ValueError, match="did you mean 'zero'"):
        check_kind("zer")
    with pytest.raises(ValueError, match="a number in plain digits after 'constant', as in"):
        check_kind("constant 1e3")
    assert "can't be blurred" in str(unfit("blur 2", images=False))
    assert unfit("blur", images=True) is None


def test_null_features_equal_every_draw():
    """One position that one draw changes makes the whole feature count."""
    features = Partition(torch.tensor([0, 0, 1]), ("a", "b"))
    draws = Reference(torch.tensor([[[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]]))
    inputs = torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 3.0]])
    assert draws.null(inputs, features).tolist() == [[True, False], [False, False]]
    own = Reference(torch.tensor([[[1.0, 2.0, 3.0]], [[1.0, 0.0, 4.0]]]))
    assert own.null(inputs, features).tolist() == [[True, True], [True, False]]

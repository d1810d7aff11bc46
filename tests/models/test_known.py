"""Known functions against their formulas."""

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.known import PAIR, Known, slopes, true_function

INPUTS = torch.randn((9, 5), generator=torch.Generator().manual_seed(0))


def literal(truth: str, x: list[float]) -> float:
    """The function of one row, as it is written."""
    a = slopes(5).tolist()
    if truth == "affine":
        return sum(s * v for s, v in zip(a, x, strict=True))
    if truth == "additive":
        curves = (np.tanh, np.square, np.sin, np.exp, np.tanh)
        return sum(s * f(v) for s, f, v in zip(a, curves, x, strict=True))
    rest = sum(s * v for s, v in zip(slopes(3).tolist(), x[2:], strict=True))
    if truth == "xor":
        return PAIR * x[0] * x[1] + rest
    return PAIR * (max(x[0], x[1], 0) + min(x[0], x[1], 0)) + rest


@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize("truth", ["affine", "additive", "xor", "copies"])
def test_functions_are_their_formulas(truth: str, n_classes: int):
    """A regression's output, or the log-odds of the second of two classes."""
    data = Samples(INPUTS, torch.zeros(9) if not n_classes else torch.arange(9) % 2, n_classes)
    model = Known(truth).fit(data, rng=np.random.default_rng(0))
    margins = model.margins(INPUTS)
    found = margins[:, -1] - (margins[:, 0] if n_classes else 0)
    expected = [literal(truth, row) for row in INPUTS.tolist()]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)


def test_slopes_differ_in_size():
    """No ties among the effects of equal inputs."""
    sizes = slopes(8).abs()
    assert (sizes.diff() < 0).all()
    assert sizes.min() > 0


def test_one_copy_suffices():
    """Where the two are equal either of them may become 0, and the function stays."""
    both = INPUTS.clone()
    both[:, 1] = both[:, 0]
    function = true_function("copies", 5)
    for gone in (0, 1):
        single = both.clone()
        single[:, gone] = 0
        assert torch.equal(function(single), function(both))


def test_other_shapes_are_refused():
    """Images, two inputs alone, three classes."""
    for inputs, n_classes in ((torch.rand(4, 1, 2, 2), 2), (torch.rand(4, 2), 2), (INPUTS, 3)):
        data = Samples(inputs, torch.arange(len(inputs)) % 2, n_classes)
        with pytest.raises(ValueError, match="2 classes or a regression"):
            Known().fit(data, rng=np.random.default_rng(0))

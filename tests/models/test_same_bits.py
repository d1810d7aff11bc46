"""Written out, the gradient of a step is autograd's to the last bit."""

import pytest
import torch

from bench.data import Samples
from bench.models.chain import Chain
from bench.models.losses import row_losses
from bench.models.network import MLP
from bench.models.same_bits import known
from bench.models.smoothing import with_smoothed_kinks
from bench.models.stack import flatten
from bench.models.trajectory import Objective

ACTIVATIONS = ["relu", "gelu", "softplus", "tanh"]


def objectives(widths, activation, n_outputs, dtype, decay):
    """The same training twice, of random rows: written out, and by autograd alone."""
    torch.manual_seed(0)
    shape = torch.Size([2, 9])
    module = MLP(widths, activation).build(shape, max(n_outputs, 1)).to(dtype)
    inputs = torch.randn(70, *shape, dtype=dtype)
    numbers, classes = torch.randn(70, dtype=dtype), torch.randint(max(n_outputs, 2), (70,))
    samples = Samples(inputs, classes if n_outputs else numbers, max(n_outputs, 2))
    plain = lambda outputs, targets: row_losses(outputs, targets)  # noqa: E731
    return Objective(module, row_losses, samples, decay), Objective(module, plain, samples, decay)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_outputs", [0, 1, 2, 7])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(), (1,), (8, 8), (130,)])
def test_gradients_are_autograds(widths, activation, n_outputs, dtype):
    """Batches of one row, of a few and of all; with weight decay and without."""
    for decay in (0.0, 0.03):
        written, plain = objectives(widths, activation, n_outputs, dtype, decay)
        assert written.chain is not None
        assert plain.chain is None
        flats = flatten(written.module)[None]
        for size in (1, 5, 20, 70):
            rows = torch.randperm(70)[:size]
            found, wanted = (o.gradients(flats, rows, 0) for o in (written, plain))
            words = torch.int64 if dtype == torch.float64 else torch.int32
            assert torch.equal(found.view(words), wanted.view(words))
            assert written.calls == plain.calls


def test_numbers_that_are_not_finite_stay_what_autograd_makes_of_them():
    written, plain = objectives((4,), "relu", 3, torch.float32, 0.1)
    for bad in (torch.inf, torch.nan):
        flats = flatten(written.module)[None]
        flats[0, 3] = bad
        found, wanted = (o.gradients(flats, torch.arange(5), 0) for o in (written, plain))
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


def test_activations_that_are_not_torchs_own_are_left_to_autograd():
    network = MLP((4,)).build(torch.Size([3]), 2)
    smoothed = Chain.of(with_smoothed_kinks(network, 5.0))
    assert smoothed is not None
    assert not known(smoothed)
    assert known(Chain(((2, 2),), ()))

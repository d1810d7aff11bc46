"""Written out, the gradient of a step is autograd's to the last bit."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.data import Samples
from bench.models.chain import Chain
from bench.models.losses import row_losses
from bench.models.network import MLP
from bench.models.same_bits import known
from bench.models.smoothing import with_smoothed_kinks
from bench.models.stack import flatten, outputs
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


@pytest.mark.parametrize("n_outputs", [0, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_single_rows_of_saturated_networks_keep_the_sign_of_zero(activation, n_outputs):
    """Large weights: derivatives that vanish on either side."""
    written, plain = objectives((6, 3), activation, n_outputs, torch.float32, 0.0)
    flats = 30 * flatten(written.module)[None]
    for row in range(70):
        found, wanted = (o.gradients(flats, torch.tensor([row]), 0) for o in (written, plain))
        assert torch.equal(found.view(torch.int32), wanted.view(torch.int32))


def test_what_is_not_known_is_left_to_autograd():
    """Activations that aren't torch's own or are hooked; targets that autograd refuses."""
    written, _ = objectives((4,), "relu", 3, torch.float32, 0.0)
    chain, samples = written.chain, written.samples
    assert chain is not None
    assert known(chain, samples)
    smoothed = Chain.of(with_smoothed_kinks(written.module, 5.0))
    assert smoothed is not None
    assert not known(smoothed, samples)
    for bad in (-1, 3):
        wrong = replace(samples, targets=torch.full_like(samples.targets, bad))
        assert not known(chain, wrong)
        with pytest.raises(IndexError, match="out of bounds"):
            replace(written, samples=wrong).gradients(
                flatten(written.module)[None], torch.arange(5), 0
            )
    doubles = replace(samples, targets=torch.randn(70, dtype=torch.float64))
    assert not known(Chain(((18, 1),), ()), doubles)
    written.module[2].register_forward_hook(lambda layer, inputs, output: 2 * output)
    assert Chain.of(written.module) is None


def test_an_activation_that_is_used_twice_is_there_twice():
    """In training as in evaluation; a linear layer that is used twice is no chain."""
    relu, linear = nn.ReLU(), nn.Linear(5, 5)
    module = nn.Sequential(nn.Linear(4, 5), relu, nn.Linear(5, 5), relu, nn.Linear(5, 3))
    inputs = torch.randn(20, 4)
    found = outputs(module, flatten(module)[None], inputs)[0]
    torch.testing.assert_close(found, module(inputs))
    samples = Samples(inputs, torch.arange(20) % 3, 3)
    plain = lambda outputs, targets: row_losses(outputs, targets)  # noqa: E731
    flats = flatten(module)[None]
    one, other = (
        Objective(module, loss, samples).gradients(flats, torch.arange(7), 0)
        for loss in (row_losses, plain)
    )
    assert torch.equal(one, other)
    shared = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), linear, nn.ReLU(), linear)
    assert Chain.of(shared) is None
    torch.testing.assert_close(outputs(shared, flatten(shared)[None], inputs)[0], shared(inputs))

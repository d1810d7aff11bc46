"""How images lie in memory changes nothing but the time."""

import pytest
import torch
from torch import nn

from bench.setfunction.memory_format import channels_last, takes_channels_last


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sliced", [False, True])
def test_same_images_channels_last(channels: int, sliced: bool):
    """Equal numbers; a convolution answers in the same format, and the same."""
    images = torch.randn(4, channels, 6, 5)
    images = images[:, :, ::2] if sliced else images
    found = channels_last(images)
    assert torch.equal(found, images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution = nn.Conv2d(channels, 4, 3)
    with torch.no_grad():
        answer = convolution(found)
        torch.testing.assert_close(answer, convolution(images))
    assert answer.is_contiguous(memory_format=torch.channels_last)


def test_layers_of_unknown_kind_are_left_alone():
    """A module that flattens by `view` would fail."""

    class Viewing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(len(x), -1)

    known = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten())
    assert takes_channels_last(known)
    assert not takes_channels_last(nn.Sequential(known, Viewing()))
    assert not takes_channels_last(None)

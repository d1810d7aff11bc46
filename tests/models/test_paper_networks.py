import pytest
import torch

from bench.models.paper_networks import FiveByFive, Pairs
from bench.models.stack import flatten


def test_sizes_of_the_paper():
    """13,750 parameters for MNIST; six convolutions, three norms and one linear layer for CIFAR."""
    mnist = FiveByFive().build(torch.Size([1, 28, 28]), 10)
    assert len(flatten(mnist)) == 13_750
    assert mnist(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    cifar = Pairs().build(torch.Size([3, 32, 32]), 10)
    assert cifar(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert [m.out_channels for m in cifar if isinstance(m, torch.nn.Conv2d)] == [
        32, 32, 64, 64, 128, 128
    ]  # fmt: skip
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in cifar) == 3
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in Pairs(norm="none").build(
        torch.Size([3, 32, 32]), 10)) == 0  # fmt: skip


def test_pictures_too_small_are_refused():
    """The shape that leaves nothing is named."""
    with pytest.raises(ValueError, match="2 convolutions leave nothing"):
        FiveByFive().build(torch.Size([1, 8, 8]), 10)
    with pytest.raises(ValueError, match="3 poolings leave nothing"):
        Pairs().build(torch.Size([3, 4, 4]), 10)

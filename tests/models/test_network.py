import pytest
import torch

from bench.models.network import CNN, MLP, Network, as_margins


def test_a_single_logit_stands_for_two_margins():
    """(0, z): the softmax of the margins is the logistic function of z."""
    logit = torch.randn(5, 1)
    margins = as_margins(logit, 2)
    torch.testing.assert_close(margins.softmax(-1)[:, 1], logit[:, 0].sigmoid())
    assert torch.equal(as_margins(margins, 2), margins)
    assert as_margins(torch.randn(3, 5, 1), 2).shape == (3, 5, 2)


@pytest.mark.parametrize(
    ("n_classes", "words"),
    [(0, "a regression wants one"), (2, "n_classes=2 wants 2, or 1"), (4, "n_classes=4 wants as")],
)
def test_other_numbers_of_outputs_are_told(n_classes: int, words: str):
    """How many the network gives, and how many are wanted."""
    with pytest.raises(ValueError, match=f"the network gives 3 outputs: {words}"):
        Network(MLP().build(torch.Size([5]), 3), n_classes).margins(torch.zeros(2, 5))


@pytest.mark.parametrize(("n_classes", "outputs"), [(0, 1), (2, 2), (3, 3)])
def test_margins_are_float64_and_differentiable(n_classes, outputs):
    """One column a class, one for regression, with a gradient back to the inputs."""
    network = Network(MLP((4,)).build(torch.Size([3]), outputs), n_classes)
    inputs = torch.randn(2, 3, requires_grad=True)
    margins = network.margins(inputs)
    assert margins.shape == (2, outputs)
    assert margins.dtype == torch.float64
    (gradient,) = torch.autograd.grad(margins.sum(), inputs)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("size", [8, 9, 28])
def test_the_convolutional_network_takes_any_size(size):
    """Odd heights lose a row in the pooling, as its linear layer expects."""
    module = CNN((2, 3), 4).build(torch.Size([1, size, size]), 10)
    assert module(torch.randn(2, 1, size, size)).shape == (2, 10)

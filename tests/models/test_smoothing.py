import torch
from torch import nn

from bench.models.network import CNN, MLP
from bench.models.smoothing import SmoothedReLU, with_smoothed_kinks


def test_values_and_slopes_are_those_of_relu():
    """Nothing changes before the second derivative, which is beta s (1 - s)."""
    z = torch.tensor([-2.0, -0.1, 0.0, 0.3, 4.0], dtype=torch.float64, requires_grad=True)
    h = SmoothedReLU(3.0)(z)
    assert torch.equal(h, z.relu())
    (slope,) = torch.autograd.grad(h.sum(), z, create_graph=True)
    assert torch.equal(slope, torch.autograd.grad(z.relu().sum(), z)[0])
    (bend,) = torch.autograd.grad(slope.sum(), z)
    share = torch.sigmoid(3.0 * z)
    torch.testing.assert_close(bend, 3.0 * share * (1 - share))


def test_the_hessian_gains_the_kinks():
    """H of a hidden layer plus sum_k softplus''(z_k) (dl / dh_k) grad z_k grad z_k', by hand."""
    torch.manual_seed(0)
    weight, last, x = (torch.randn(4, 3), torch.randn(4), torch.randn(3))
    weight, last, x = weight.double(), last.double(), x.double()
    beta, smoothed = 5.0, SmoothedReLU(5.0)

    def loss(flat, relu):
        return (last @ relu(flat.view(4, 3) @ x)).square() / 2

    hessians = [
        torch.autograd.functional.hessian(lambda w, relu=relu: loss(w, relu), weight.flatten())
        for relu in (nn.ReLU(), smoothed)
    ]
    z = weight @ x
    share, back = torch.sigmoid(beta * z), last * (last @ z.relu())
    gradients = torch.block_diag(*x.expand(4, 1, 3))
    kinks = gradients.T @ torch.diag(beta * share * (1 - share) * back) @ gradients
    torch.testing.assert_close(hessians[1], hessians[0] + kinks)


def test_each_relu_of_a_copy_is_smoothed():
    """Convolutional or not, nested or alone; the network itself stays as it is."""
    nested = nn.Sequential(CNN((2, 2), 3).build(torch.Size([1, 4, 4]), 2), nn.Tanh())
    for module, count in ((nested, 3), (MLP((4, 4)).build(torch.Size([3]), 2), 2), (nn.ReLU(), 1)):
        copied = with_smoothed_kinks(module, 2.0)
        smoothed = [m for m in copied.modules() if isinstance(m, SmoothedReLU)]
        assert len(smoothed) == count
        assert all(m.beta == 2.0 for m in smoothed)
        assert not any(isinstance(m, SmoothedReLU) for m in module.modules())

"""Networks of pictures: evaluation, gradients and Hessian products against torch's own.

The peer calls the module on all rows at once, pools as torch does, and takes a Hessian's product by
two backward passes. Data are random numbers; CPU seconds, medians, one thread.

`OMP_NUM_THREADS=1 python -m pytest --noconftest tests/speed/test_pictures.py --benchmark-enable -s`
"""

from collections.abc import Callable

import pytest
import torch
from earnest.methods.cleansing.inverse_hessian import hessian_product
from pytest_benchmark.fixture import BenchmarkFixture
from speed.timing import seconds
from torch import Tensor, nn
from torch.nn import functional

from bench.data import Samples
from bench.models.losses import row_losses
from bench.models.max_pool import quick_pooling
from bench.models.paper_networks import FiveByFive, Pairs
from bench.models.stack import flatten, outputs
from bench.models.trajectory import Objective

torch.set_num_threads(1)

NETS = {
    "MNIST": (FiveByFive(), (1, 28, 28)),
    "CIFAR-10": (FiveByFive(), (3, 32, 32)),
    "CIFAR-10, Pairs": (Pairs(norm="none"), (3, 32, 32)),
}
EVALUATED, BATCH, CURVED = 1_500, 64, 400


def built(net: str, rows: int) -> tuple[nn.Module, Samples]:
    architecture, shape = NETS[net]
    inputs = torch.rand(rows, *shape, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    module = architecture.build(torch.Size(shape), 10).eval()
    return module, Samples(inputs, torch.arange(rows) % 10, 10)


def compare(
    benchmark: BenchmarkFixture, what: str, ours: Callable[[], Tensor], peer: Callable[[], Tensor]
) -> None:
    """Both give the same; where times are taken, they stand side by side."""
    found = benchmark.pedantic(ours, rounds=3 if benchmark.enabled else 1)
    torch.testing.assert_close(found, peer(), rtol=1e-3, atol=1e-5)
    if benchmark.enabled:
        mine, theirs = seconds(ours, peer, rounds=5)
        print(f"\n{what}: {mine:.4f} CPU s, torch {theirs:.4f}, {theirs / mine:.1f} times as long")


@pytest.mark.parametrize("net", NETS)
def test_evaluation(benchmark: BenchmarkFixture, net: str):
    """Outputs of one model, no gradient wanted."""
    module, samples = built(net, EVALUATED)
    flats = flatten(module)[None]

    def peer() -> Tensor:
        with torch.no_grad():
            found: Tensor = module(samples.inputs)
        return found[None]

    what = f"outputs of {EVALUATED} rows, {net}"
    compare(benchmark, what, lambda: outputs(module, flats, samples.inputs), peer)


@pytest.mark.parametrize("net", NETS)
def test_gradient(benchmark: BenchmarkFixture, net: str):
    """The gradient of a batch, images as their files have them, by our pooling and by torch's."""
    module, samples = built(net, BATCH)
    parameters = list(module.parameters())

    def peer() -> Tensor:
        loss = functional.cross_entropy(module(samples.inputs), samples.targets)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    def ours() -> Tensor:
        with quick_pooling():
            return peer()

    compare(benchmark, f"gradient of {BATCH} rows, {net}", ours, peer)


@pytest.mark.parametrize("net", NETS)
def test_hessian_product(benchmark: BenchmarkFixture, net: str):
    """One product, the passes over the rows being kept from the one before."""
    module, samples = built(net, CURVED)
    objective, flat = Objective(module, row_losses, samples), flatten(module)
    vector = torch.randn(len(flat), generator=torch.Generator().manual_seed(1))
    leaf = flat[None].clone().requires_grad_()
    loss = objective.losses(leaf, torch.arange(CURVED)).mean()
    (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
    product = hessian_product(objective, flat)

    def peer() -> Tensor:
        return torch.autograd.grad(gradient[0] @ vector, leaf, retain_graph=True)[0][0]

    compare(benchmark, f"Hessian product, {CURVED} rows, {net}", lambda: product(vector), peer)

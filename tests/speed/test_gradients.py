"""Gradient methods against captum's: the same network, points and numbers of steps.

`OMP_NUM_THREADS=1 python -m pytest --noconftest tests/speed/test_gradients.py
--benchmark-enable -s` (the checks of types, which only tests make, would be timed with ours)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from speed.timing import seconds
from torch import Tensor, nn

from bench.components import Shelf, build
from bench.models.network import CNN, MLP, Network, initial
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import AttributionProblem, predicted

captum = pytest.importorskip("captum.attr", reason="captum isn't installed")

INSTANCES, STEPS, ROUNDS = 100, 50, 15
NETS = {
    "digits CNN": (CNN((16, 32), 64), torch.Size([1, 8, 8]), 10),
    "breast cancer MLP": (MLP((64, 64)), torch.Size([30]), 2),
}


def problem_of(net: str, outputs: int | None = None) -> AttributionProblem:
    """Each position a feature, and a reference of zeros; the weights don't change the time."""
    architecture, shape, classes = NETS[net]
    rng = np.random.default_rng(0)
    module = initial(architecture, shape, outputs or classes, rng=rng)
    model = Network(module, 0 if outputs else classes)
    inputs = torch.from_numpy(rng.normal(size=(INSTANCES, *shape))).float()
    names = tuple(str(i) for i in range(shape.numel()))
    partition = Partition(torch.arange(shape.numel()).view(shape), names)
    zero, g = Reference(torch.zeros(1, 1, *shape)), "output" if outputs else "probability"
    return AttributionProblem(model, inputs, predicted(model, inputs), partition, zero, g)


def method(name: str, **fields: Any) -> Any:
    return build({**Shelf().config("method/attribution", name), **fields}, name)


def compare(
    benchmark: BenchmarkFixture,
    what: str,
    ours: Callable[[], np.ndarray],
    peer: Callable[[], Tensor],
    tolerance: float | None,
) -> None:
    """Time both in turn; where the answer isn't random, they must agree."""
    found = benchmark.pedantic(ours, rounds=ROUNDS if benchmark.enabled else 1)
    if tolerance is not None:
        wanted = peer().detach().flatten(1).numpy()
        np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max())
    if benchmark.enabled:
        both = seconds(ours, peer, rounds=ROUNDS)
        print(
            f"\n{what}: {both[0]:.4f} CPU s a {INSTANCES} instances, captum {both[1]:.4f}, "
            f"{both[1] / both[0]:.1f} times as long"
        )


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", ["integrated_gradients", "smooth_grad", "gradient_shap"])
def test_sampled_gradients(benchmark: BenchmarkFixture, net: str, name: str):
    """Gradients at 50 points an instance; both sides call the very same g."""
    problem = problem_of(net)
    x, rows = problem.inputs, torch.arange(INSTANCES)
    zeros = torch.zeros_like(x)
    peers: dict[str, Callable[[], Tensor]] = {
        "integrated_gradients": lambda: captum.IntegratedGradients(problem.output).attribute(
            x, zeros, n_steps=STEPS, additional_forward_args=(rows,)
        ),
        "smooth_grad": lambda: captum.NoiseTunnel(captum.Saliency(problem.output)).attribute(
            x, nt_samples=STEPS, stdevs=0.5, abs=False, additional_forward_args=(rows,)
        ),
        "gradient_shap": lambda: captum.GradientShap(problem.output).attribute(
            x, zeros[:1], n_samples=STEPS, additional_forward_args=(rows,)
        ),
    }
    ours = method(name, **{"steps" if name == "integrated_gradients" else "samples": STEPS})
    compare(
        benchmark,
        f"{name}, {STEPS} points, {net}",
        lambda: ours.explain(problem, rng=np.random.default_rng(0)).values,
        peers[name],
        1e-5 if name == "integrated_gradients" else None,
    )


@pytest.mark.parametrize("net", NETS)
def test_deep_lift(benchmark: BenchmarkFixture, net: str):
    """The rescale rule on a network of one output, which is g: equal answers.

    Behind max pooling captum's don't sum to the change of the output, so ours differ there.
    """
    problem = problem_of(net, outputs=1)
    module = problem.model.module
    assert isinstance(module, nn.Module)
    ours, peer = method("deep_lift"), captum.DeepLift(module)
    compare(
        benchmark,
        f"deep_lift, {net}",
        lambda: ours.explain(problem, rng=np.random.default_rng(0)).values,
        lambda: peer.attribute(problem.inputs, torch.zeros_like(problem.inputs)),
        None if "CNN" in net else 1e-4,
    )

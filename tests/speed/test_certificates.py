"""Certificates and the best known orders: how tight, how long.

`python -m pytest tests/speed/test_certificates.py --benchmark-enable -s`; one thread, CPU seconds.
"""

import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.data import Samples
from bench.models.network import CNN, MLP
from bench.models.sgd import SGD
from bench.setfunction.certificate import Certificate, Effort, certify
from bench.setfunction.ideal import Ideal, best_known, exact_ideal
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import AttributionProblem, predicted


def breast_cancer(n: int, p: int = 30) -> AttributionProblem:
    """The 64-64 network on the first p features alone, zero reference."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_breast_cancer()
    scaled = (data.data - data.data.mean(0)) / data.data.std(0)
    inputs = torch.from_numpy(scaled[:, :p].astype(np.float32)).contiguous()
    recipe = SGD(MLP((64, 64)), epochs=60, batch_size=32, learning_rate=0.1, record=False)
    model = recipe.fit(
        Samples(inputs, torch.from_numpy(data.target), 2), rng=np.random.default_rng(0)
    )
    columns = Partition(torch.arange(p), tuple(map(str, range(p))))
    zero = Reference(torch.zeros(1, 1, p))
    return AttributionProblem(model, inputs[:n], predicted(model, inputs[:n]), columns, zero)


def digits(n: int, architecture: MLP | CNN, rows: int, columns: int) -> AttributionProblem:
    """Blocks of rows x columns pixels, the training mean as reference."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    pixels = torch.from_numpy((data.images / 16).astype(np.float32))[:, None]
    train = pixels[:1200]
    recipe = SGD(architecture, epochs=30, batch_size=32, learning_rate=0.1, record=False)
    model = recipe.fit(
        Samples(train, torch.from_numpy(data.target[:1200]), 10), rng=np.random.default_rng(0)
    )
    down, across = torch.arange(8)[:, None] // rows, torch.arange(8) // columns
    membership = (down * (8 // columns) + across)[None]
    names = tuple(map(str, range(int(membership.max()) + 1)))
    inputs = pixels[1200 : 1200 + n]
    mean = Reference(train.mean(0)[None, None])
    return AttributionProblem(
        model, inputs, predicted(model, inputs), Partition(membership, names), mean
    )


def known(problem: AttributionProblem) -> Ideal:
    return best_known(problem.value, problem.null, rng=np.random.default_rng(0))


def certified(problem: AttributionProblem, best: Ideal, effort: Effort) -> Certificate:
    found = certify(
        problem.model.module,
        problem.inputs,
        problem.targets,
        problem.reference,
        problem.partition,
        problem.g,
        best.orders,
        best.joint,
        effort,
    )
    assert isinstance(found, Certificate)
    return found


CASES = {
    "breast cancer, 64-64, p = 30": (lambda: breast_cancer(50), 0.002),
    "digits MLP, pairs, p = 32": (lambda: digits(20, MLP((64, 64)), 1, 2), 0.01),
    "digits MLP, pixels, p = 64": (lambda: digits(4, MLP((64, 64)), 1, 1), 0.05),
    "digits CNN, blocks, p = 16": (lambda: digits(4, CNN(), 2, 2), 0.01),
    "digits CNN, pairs, p = 32": (lambda: digits(2, CNN(), 1, 2), 0.05),
    "digits CNN, pixels, p = 64": (lambda: digits(2, CNN(), 1, 1), 0.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_certificates(benchmark: BenchmarkFixture, name: str):
    """Width of the bracket of II, and seconds a point."""
    make, wanted = CASES[name]
    problem = make()
    best = known(problem)
    started = time.process_time()
    found = benchmark.pedantic(certified, (problem, best, Effort()), rounds=1)
    seconds = (time.process_time() - started) / problem.n
    width = found.width(best.joint)
    print(
        f"\n{name}: width mean {width.mean():.5f}, largest {width.max():.5f}; {seconds:.2f} CPU s "
        f"a point; {found.closed.sum()} of {problem.n} closed to {found.eps:g}; "
        f"{found.nodes.mean():.0f} nodes"
    )
    assert width.mean() < wanted
    if problem.p <= 16:
        exact = exact_ideal(problem.table())
        assert (found.joint >= exact.joint).all()
        assert (found.least <= exact.least).all()
        assert (found.most >= exact.most).all()


@pytest.mark.slow
def test_twenty_points_of_twenty_features(benchmark: BenchmarkFixture):
    """Every bound holds, and the best order known is the exact optimum."""
    problem = breast_cancer(20, 20)
    best = benchmark.pedantic(known, (problem,), rounds=1)
    exact = exact_ideal(problem.table())
    found = certified(problem, best, Effort())
    assert (found.joint >= exact.joint).all()
    assert (found.least <= exact.least).all()
    assert (found.most >= exact.most).all()
    reached = best.joint >= exact.joint * (1 - 1e-5)
    print(f"\np = 20: the exact optimum on {reached.sum()} of {problem.n} points")
    assert reached.mean() >= 0.95

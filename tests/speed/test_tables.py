"""Tables of all sets and the programme over them, against plain torch and numpy: CPU seconds.

`JAXTYPING_DISABLE=1 OMP_NUM_THREADS=1 python -m pytest tests/speed/test_tables.py
--benchmark-enable -s` (the checks of types, which only tests make, would be timed with ours)

Without `--benchmark-enable` two instances of few features run once. Peers are timed on one to
five instances and scaled.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from speed import peers
from speed.timing import seconds

from bench.setfunction.lattice import least_area
from bench.setfunction.orders import trapezoid
from bench.setfunction.outcome import outcome
from bench.setfunction.partition import Partition
from bench.setfunction.table import banzhaf_values, mean_by_size, shapley_values
from bench.tasks.attribution import AttributionProblem

ROUNDS = 5


def compare(
    benchmark: BenchmarkFixture,
    what: str,
    ours: Callable[[], Any],
    rows: int,
    *others: tuple[str, Callable[[], Any], int],
) -> None:
    """CPU seconds of 100 instances; each of `others` does its own number of them."""
    benchmark.pedantic(ours, rounds=1)
    if not benchmark.enabled:
        return
    mine = seconds(ours, rounds=ROUNDS)[0] * 100 / rows
    print(f"\n{what}: ours {mine:.4f} CPU s a 100")
    benchmark.extra_info.update(ours=mine)
    for name, other, count in others:
        theirs = seconds(other, rounds=3 if count > 1 else 1)[0] * 100 / count
        print(f"  {name} {theirs:.4f}, ratio {theirs / mine:.1f}")
        benchmark.extra_info[name] = theirs / mine


def eager(problem: AttributionProblem, chunk: int) -> np.ndarray:
    """The table as torch gives it: every set's input, in chunks, through the model."""
    numbers = torch.arange(2**problem.p)
    table = np.empty((problem.n, len(numbers)))
    for row, (x, target) in enumerate(zip(problem.inputs, problem.targets, strict=True)):
        for some in numbers.split(chunk):
            masks = (some[:, None] >> torch.arange(problem.p)) & 1 == 1
            reference = problem.reference.draws[0, 0]
            with torch.no_grad():
                points = torch.where(problem.partition.positions(masks), reference, x)
                found = outcome(problem.model.margins(points), target.expand(len(some)), problem.g)
            table[row, some] = found.numpy()
    return table


def first(problem: AttributionProblem, rows: int) -> AttributionProblem:
    return replace(problem, inputs=problem.inputs[:rows], targets=problem.targets[:rows])


def digits_blocks() -> AttributionProblem:
    """8x8 pixels in 16 blocks."""
    problem = peers.work("digits").problem
    side = torch.arange(8) // 2
    membership = (side[:, None] * 4 + side)[None]
    names = tuple(str(i) for i in range(16))
    return replace(problem, partition=Partition(membership, names))


def grouped_columns(p: int) -> AttributionProblem:
    """Breast cancer, its 30 columns dealt to p features."""
    names = tuple(str(i) for i in range(p))
    problem = peers.work("breast_cancer").problem
    return replace(problem, partition=Partition(torch.arange(30) % p, names))


def by_levels(table: np.ndarray) -> np.ndarray:
    """J* of each row as it is first written down: a level at a time, all features of each set."""
    p = table.shape[1].bit_length() - 1
    numbers = np.arange(2**p)
    level = np.bitwise_count(numbers).astype(int)
    cost = trapezoid(p)[level] * (table[:, ::-1] - table)
    total = np.full_like(cost, -np.inf)
    total[:, 0] = cost[:, 0]
    for size in range(1, p + 1):
        sets = numbers[level == size]
        best = np.full((len(table), len(sets)), -np.inf)
        for feature in range(p):
            best = np.maximum(best, total[:, sets & ~(1 << feature)])
        total[:, sets] = cost[:, sets] + best
    return total[:, -1]


def test_table_of_a_convolutional_network(benchmark: BenchmarkFixture):
    """Digits in 16 blocks; ours with its checks by direct calls."""
    rows = 100 if benchmark.enabled else 1
    problem = first(digits_blocks(), rows)
    compare(
        benchmark,
        "digits cnn, p = 16, table",
        problem.table,
        rows,
        ("plain torch, chunks of 4096", lambda: eager(first(problem, 1), 4096), 1),
        ("plain torch, chunks of 256", lambda: eager(first(problem, 1), 256), 1),
    )
    found = problem.table()[0, :1000]
    numbers = np.arange(1000)
    masks = (numbers[:, None] >> np.arange(16)) & 1 == 1
    np.testing.assert_allclose(found, first(problem, 1).direct(masks)[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("p", [16, 20])
def test_table_of_linear_layers(benchmark: BenchmarkFixture, p: int):
    """Breast cancer, two hidden layers of 64."""
    p, rows = (p, 5) if benchmark.enabled else (12, 2)
    problem = first(grouped_columns(p), rows)
    compare(
        benchmark,
        f"breast cancer mlp, p = {p}, table",
        problem.table,
        rows,
        ("plain torch, chunks of 4096", lambda: eager(first(problem, 1), 4096), 1),
    )
    wanted = eager(first(problem, 1), 4096)
    np.testing.assert_allclose(problem.table()[:1], wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("compiled", [False, True])
def test_programme(benchmark: BenchmarkFixture, compiled: bool):
    """J* of 100 tables of 16 features, without and with numba."""
    if compiled:
        pytest.importorskip("numba")
    n, p = (100, 16) if benchmark.enabled else (2, 8)
    table = np.random.default_rng(0).random((n, 2**p))
    compare(
        benchmark,
        f"programme, p = {p}, {'numba' if compiled else 'numpy'}",
        lambda: least_area(table, "joint", compiled=compiled),
        n,
        ("plain numpy, level by level", lambda: by_levels(table[:5]), min(n, 5)),
    )
    sums, _ = least_area(table[:2], "joint", compiled=compiled)
    np.testing.assert_allclose(-sums, by_levels(table[:2]), atol=1e-12)


@pytest.mark.parametrize("summary", [shapley_values, banzhaf_values, mean_by_size])
def test_summaries(benchmark: BenchmarkFixture, summary: Callable[[np.ndarray], np.ndarray]):
    """Shapley and Banzhaf values and the mean by size of tables of 20 features."""
    n, p = (4, 20) if benchmark.enabled else (2, 8)
    table = np.random.default_rng(0).random((n, 2**p))
    compare(benchmark, f"{summary.__name__}, p = {p}", lambda: summary(table), n)


MEMORY = """
import json, sys
import numpy as np, torch
from bench.clock import PeakMemory
from bench.models.network import MLP, Network, initial
from bench.setfunction.lattice import least_area
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.table import shapley_values
from bench.tasks.attribution import AttributionProblem

torch.set_num_threads(1)
p, n = int(sys.argv[1]), int(sys.argv[2])
net = initial(MLP((64, 64)), torch.Size([p]), 2, rng=np.random.default_rng(0))
features = Partition(torch.arange(p), tuple(map(str, range(p))))

def problem(n):
    zero, targets = Reference(torch.zeros(1, 1, p)), torch.zeros(n, dtype=torch.int64)
    return AttributionProblem(Network(net, 2), torch.randn(n, p), targets, features, zero)

least_area(np.zeros((1, 2**5)), compiled=p > 14)
asked = problem(n)
peak = PeakMemory()
table = asked.table()
of_table = peak.read()
least_area(table, "joint")
shapley_values(table)
print(json.dumps([table.nbytes, of_table, peak.read()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("p", "n"), [(20, 20), (24, 2)])
def test_memory(p: int, n: int):
    """A table takes 8 bytes a set; on the way, and for the programme, two more a set and 96 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(p), str(n)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    table, of_table, whole = json.loads(done.stdout)
    print(
        f"\np = {p}, {n} instances: table {table / 2**20:.0f} MiB, peak {of_table / 2**20:.0f} "
        f"while it is built, {whole / 2**20:.0f} with the programme and Shapley values"
    )
    assert max(of_table, whole) < table + 2 * 8 * 2**p + 96 * 2**20

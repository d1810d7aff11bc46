"""Ours against other packages on the same network and rows: CPU seconds and errors, one run.

`JAXTYPING_DISABLE=1 OMP_NUM_THREADS=1 python -m pytest tests/speed/test_peers.py
--benchmark-enable -s` (the checks of types, which only tests make, would be timed with ours)

Without `--benchmark-enable` two instances are explained once, to see that it all still runs.
"""

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from speed import peers
from speed.peers import INSTANCES, SAMPLES, Work, rms
from speed.timing import seconds

from bench.setfunction.orders import along

WORKS = ("digits", "breast_cancer")
ROUNDS = 5
SEEDS = 5
GRID = (
    100,
    150,
    200,
    250,
    300,
    350,
    400,
    450,
    500,
    550,
    600,
    750,
    1000,
    1500,
    2000,
    3000,
    4000,
    6000,
    8000,
    12_000,
    16_000,
)
"""Samples of ours that are tried until its error is the peer's."""

SHAPIQ = ("KernelSHAP", "PermutationSamplingSV", "StratifiedSamplingSV", "SVARM", "OwenSamplingSV")


def chosen(benchmark: BenchmarkFixture, name: str, rows: int = INSTANCES) -> Work:
    return peers.work(name).first(rows if benchmark.enabled else 2)


def points(name: str) -> int:
    """Instances whose errors are measured: a long run of 64 pixels takes seconds each."""
    return 10 if name == "digits" else 20


def compare(
    benchmark: BenchmarkFixture,
    what: str,
    ours: Callable[[], np.ndarray],
    peer: Callable[[], np.ndarray],
    rows: int = INSTANCES,
    peer_rows: int | None = None,
) -> float:
    """How many times as long the peer takes; printed per 100 instances."""
    benchmark.pedantic(ours, rounds=1)
    if not benchmark.enabled:
        peer()
        return 0.0
    mine, theirs = seconds(ours, peer, rounds=ROUNDS)
    mine, theirs = mine * 100 / rows, theirs * 100 / (peer_rows or rows)
    print(f"\n{what}: ours {mine:.4f}, peer {theirs:.4f} CPU s a 100, ratio {theirs / mine:.1f}")
    benchmark.extra_info.update(ours=mine, peer=theirs, ratio=theirs / mine)
    return mine


def error(name: str, found: Callable[[Work, int], np.ndarray], seeds: int = SEEDS) -> float:
    """Mean over seeds of the rms error to the long run."""
    some, wanted = peers.work(name).first(points(name)), peers.long_run(name, points(name))
    return float(np.mean([rms(found(some, seed), wanted) for seed in range(seeds)]))


def as_exact(name: str, method: str, wanted: float) -> tuple[int, float]:
    """The fewest samples of the grid at which ours errs no more, and its error there."""
    for samples in GRID:
        found = error(name, lambda w, s, n=samples: peers.ours(w, method, s, samples=n))
        if found <= wanted:
            break
    return samples, found


@pytest.mark.parametrize("name", WORKS)
def test_lime_against_lime(benchmark: BenchmarkFixture, name: str):
    """500 masks an instance; wanted 5 times on digits, 50 on breast cancer."""
    pytest.importorskip("lime", reason="lime isn't installed")
    some = chosen(benchmark, name)
    compare(
        benchmark,
        f"LIME {SAMPLES} samples, {some.name}, lime",
        lambda: peers.ours(some, "lime"),
        lambda: peers.lime_package(some),
    )


@pytest.mark.parametrize("name", WORKS)
def test_kernel_shap_against_captum(benchmark: BenchmarkFixture, name: str):
    """500 masks an instance; wanted 10 times on digits, 200 on breast cancer, error no larger."""
    pytest.importorskip("captum", reason="captum isn't installed")
    pytest.importorskip("shap", reason="shap, whose long run is the truth here, isn't installed")
    some, few = chosen(benchmark, name), chosen(benchmark, name, 20)
    compare(
        benchmark,
        f"KernelSHAP {SAMPLES} samples, {some.name}, captum",
        lambda: peers.ours(some, "kernel_shap"),
        lambda: peers.captum_kernel_shap(few),
        peer_rows=20,
    )
    if benchmark.enabled:
        mine = error(name, lambda w, s: peers.ours(w, "kernel_shap", s))
        theirs = error(name, peers.captum_kernel_shap)
        print(
            f"rms error to {peers.LONG_RUN} samples of shap: ours {mine:.4f}, captum {theirs:.4f}"
        )
        assert mine <= theirs


@pytest.mark.parametrize("name", WORKS)
def test_kernel_shap_against_shap(benchmark: BenchmarkFixture, name: str):
    """500 masks: wanted 4 and 40 times; at equal error, however many masks, 3 and 30."""
    pytest.importorskip("shap", reason="shap isn't installed")
    some = chosen(benchmark, name)
    compare(
        benchmark,
        f"KernelSHAP {SAMPLES} samples, {some.name}, shap",
        lambda: peers.ours(some, "kernel_shap"),
        lambda: peers.shap_kernel(some),
    )
    if benchmark.enabled:
        (whole,) = seconds(lambda: peers.shap_kernel_all(some), rounds=3)
        print(f"shap as its users call it, which explains every class: {whole:.4f} CPU s a 100")
        theirs = error(name, peers.shap_kernel)
        mine = error(name, lambda w, s: peers.ours(w, "kernel_shap", s))
        samples, reached = as_exact(name, "kernel_shap", theirs)
        took, peer = seconds(
            lambda: peers.ours(some, "kernel_shap", samples=samples),
            lambda: peers.shap_kernel(some),
            rounds=ROUNDS,
        )
        print(
            f"rms error to {peers.LONG_RUN} of shap's: ours {mine:.4f}, shap {theirs:.4f}; "
            f"ours with {samples} samples {reached:.4f}, {took:.4f} s, ratio {peer / took:.1f}"
        )


@pytest.mark.parametrize("kind", SHAPIQ)
@pytest.mark.parametrize("name", WORKS)
def test_shapley_values_against_shapiq(benchmark: BenchmarkFixture, name: str, kind: str):
    """Equal error: ours with as many samples as that takes; wanted not slower."""
    pytest.importorskip("shapiq", reason="shapiq isn't installed")
    pytest.importorskip("shap", reason="shap, whose long run is the truth here, isn't installed")
    some, few = chosen(benchmark, name), chosen(benchmark, name, 10)
    compare(
        benchmark,
        f"shapiq {kind} {SAMPLES} samples, ours KernelSHAP {SAMPLES}, {some.name}",
        lambda: peers.ours(some, "kernel_shap"),
        lambda: peers.shapiq_values(few, kind),
        peer_rows=10,
    )
    if benchmark.enabled:
        theirs = error(name, lambda w, s: peers.shapiq_values(w, kind, s), 3)
        line = f"rms error {theirs:.4f}"
        for method in ("kernel_shap", "shapley_sampling"):
            count, reached = as_exact(name, method, theirs)
            (took,) = seconds(lambda m=method, c=count: peers.ours(some, m, samples=c), rounds=3)
            ratio = benchmark.extra_info["peer"] / took
            line += f"; {method} {count}: {reached:.4f}, {took:.4f} s, ratio {ratio:.1f}"
        print(line)


def test_deletion_curves_against_quantus(benchmark: BenchmarkFixture):
    """The same 64 deletions of 100 digits, the peer's batch of 10; wanted 3 times."""
    pytest.importorskip("quantus", reason="quantus isn't installed")
    some = chosen(benchmark, "digits")
    values = np.random.default_rng(0).permuted(
        np.tile(np.arange(64.0), (some.problem.n, 1)), axis=1
    )
    orders = np.argsort(-values, axis=1)[:, None]
    compare(
        benchmark,
        f"deletion curves, {some.name}, Quantus at batch 10",
        lambda: along(some.problem.value, orders),
        lambda: peers.quantus_curves(some, values),
    )
    mine = along(some.problem.value, orders)[:, 0, 1:]
    np.testing.assert_allclose(peers.quantus_curves(some, values), mine, atol=1e-4)


@pytest.mark.parametrize("method", ["greedy_joint", "greedy_backward", "kernel_shap_polish"])
@pytest.mark.parametrize("name", WORKS)
def test_orders_against_solvex(benchmark: BenchmarkFixture, name: str, method: str):
    """Joint greedy and polish beside a beam of 1; wanted 10 times."""
    pytest.importorskip("solvex", reason="solvex isn't installed")
    some, few = chosen(benchmark, name), chosen(benchmark, name, 10)
    compare(
        benchmark,
        f"{method}, {some.name}, solvex beam 1",
        lambda: peers.ours(some, method),
        lambda: peers.solvex_order(few),
        peer_rows=10,
    )

"""Closest weights of many rows: CPU seconds and resident memory, beside dense POT.

The synthetic data of the AAAI paper, alpha .6, K = N / 5, squared Euclid on [x, s]. Each case in
a process of its own, one thread; memory is what the solver takes beyond the imported packages.

`OMP_NUM_THREADS=1 python -m pytest --noconftest tests/speed/test_sampling.py -m slow
--benchmark-enable -s`
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys
sys.path.insert(0, "tests/sampling")
from synthetic import synthetic
from bench.clock import PeakMemory
from bench.sampling import Bins, closest_weights, located

def plan(n, d, solver, gap):
    inputs, groups, decisions = synthetic(n, d)
    bins = Bins.demographic_parity(groups, decisions)
    points, wanted = located(inputs, groups), bins.wanted(n // 5, [0.6])
    return closest_weights(points, bins.of, wanted, solver=solver, gap=gap)

n, d, solver, gap = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
plan(100, d, solver, gap)
peak = PeakMemory()
found = plan(n, d, solver, gap)
told = ("cost", "bound", "gap", "proven", "passes", "seconds")
print(json.dumps({name: getattr(found, name) for name in told} | {"bytes": peak.read()}))
"""


def solved(n: int, d: int, solver: str, gap: float) -> dict:
    """What the plan says of itself, and the peak of memory; printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(n), str(d), solver, str(gap)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found: dict = json.loads(done.stdout)
    print(
        f"\nN = {n:,}, d = {d}, {solver}: W {found['cost']:.12f}, gap {found['gap']:.1e}"
        f"{' (proven)' if found['proven'] else ''}, {found['passes']} passes, "
        f"{found['seconds']:.1f} CPU s, {found['bytes'] / 1e6:.0f} MB",
        end="",
    )
    return found


@pytest.mark.parametrize("d", [1, 2, 5])
def test_beside_all_pairs(d: int):
    """N = 5,000: the same cost as POT has for all pairs."""
    sparse, dense = (solved(5000, d, solver, 0.0) for solver in ("sparse", "dense"))
    assert sparse["cost"] == pytest.approx(dense["cost"], rel=0, abs=1e-9)
    assert sparse["proven"]
    assert sparse["bound"] <= dense["cost"] + 1e-12


@pytest.mark.parametrize("d", [1, 2, 5])
def test_proof(d: int):
    """N = 10,000, proven: at d = 5 wanted are 5 CPU s and 400 MB."""
    found = solved(10_000, d, "sparse", 0.0)
    assert found["proven"]
    assert found["bytes"] < 400e6


@pytest.mark.parametrize(("n", "d"), [(30_000, 1), (100_000, 2), (100_000, 5)])
def test_many_rows(n: int, d: int):
    """Up to a gap of 1e-4: at N = 100,000, d = 5 wanted are 60 CPU s and 1 GB. At d = 1 the sold
    out regions are long chains, and a flow over them takes minutes from N = 100,000 on."""
    found = solved(n, d, "sparse", 1e-4)
    assert found["gap"] <= 1e-4
    assert found["bytes"] < 1e9

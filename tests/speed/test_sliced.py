"""Weights near in the sliced distance: CPU seconds and resident memory, beside the exact ones.

The synthetic data of the AAAI paper, alpha .6, K = N / 5, squared Euclid on [x, s]. Each case in
a process of its own, one thread; memory is what is taken beyond the imported packages.

`OMP_NUM_THREADS=1 python -m pytest --noconftest tests/speed/test_sliced.py -m slow
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
import numpy as np
from synthetic import synthetic
from bench.clock import PeakMemory
from bench.sampling import Bins, located
from bench.sampling.sliced import sliced_weights

def found(n, d):
    inputs, groups, decisions = synthetic(n, d)
    bins = Bins.demographic_parity(groups, decisions)
    points, wanted = located(inputs, groups), bins.wanted(n // 5, [0.6])
    return bins, sliced_weights(points, bins.of, wanted, rng=np.random.default_rng(0))

n, d = int(sys.argv[1]), int(sys.argv[2])
found(100, d)
peak = PeakMemory()
bins, sliced = found(n, d)
plan = sliced.plan
sums = np.bincount(bins.of, plan.units).tolist() == (plan.capacity * plan.wanted).tolist()
told = {"distance": sliced.distance, "bound": sliced.bound, "w_bound": plan.bound, "exact": sums}
print(json.dumps(told | {"seconds": plan.seconds, "bytes": peak.read()}))
"""


@pytest.mark.parametrize(("n", "d"), [(10_000, 1), (10_000, 5), (100_000, 1), (100_000, 5)])
def test_many_rows(n: int, d: int):
    """Ten times as many rows: some ten times as long, and no more memory than some vectors."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(n), str(d)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(done.stdout)
    print(
        f"\nN = {n:,}, d = {d}: distance {found['distance']:.3e}, at least {found['bound']:.3e}, "
        f"W at least {found['w_bound']:.3e}, {found['seconds']:.1f} CPU s, "
        f"{found['bytes'] / 1e6:.0f} MB",
        end="",
    )
    assert found["exact"]
    assert found["bound"] <= found["distance"]
    assert found["bytes"] < 100e6

"""Memory stays under one bound whatever the number of instances and masks: resnet18, 64x64."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BOUND = 128 * 2**20
"""Bytes that an explanation may take beyond the model, the inputs and one answer to warm up."""

PROGRAM = """
import json, sys
import numpy as np, torch, torchvision
from bench.clock import PeakMemory
from bench.components import Shelf, build
from bench.models.network import Network
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import AttributionProblem

torch.set_num_threads(1)
torch.manual_seed(0)
name, n, masks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
net = torchvision.models.resnet18(num_classes=10).eval()
rows = torch.arange(64) // 8
membership = (rows[:, None] * 8 + rows).expand(3, -1, -1).contiguous()
partition = Partition(membership, tuple(map(str, range(64))))

def problem(n):
    inputs = torch.rand(n, 3, 64, 64)
    zero = Reference(torch.zeros(1, 1, 3, 64, 64))
    targets = torch.zeros(n, dtype=torch.int64)
    return AttributionProblem(Network(net, 10), inputs, targets, partition, zero)

def explain(problem, masks):
    rng = np.random.default_rng(0)
    if name == "value":
        return problem.value(rng.random((masks, 64)) < 0.5)
    fields = {"samples": masks} if name in ("kernel_shap", "lime") else {}
    if name in ("pertmap", "c_ifs"):
        fields = {"steps": 2}
    config = {**Shelf().config("method/attribution", name), **fields}
    return build(config, name).explain(problem, rng=rng).values

explain(problem(1), 8)
asked = problem(n)
peak = PeakMemory()
assert np.isfinite(explain(asked, masks)).all()
print(json.dumps(peak.read()))
"""


def taken(name: str, instances: int, masks: int) -> int:
    """Peak resident bytes of one explanation, in a process of its own.

    With a fixed threshold glibc gives large blocks back at once. Left to itself it keeps them, as
    many as the fragments of its heap make it: one and the same run read 200 MiB and 540.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(instances), str(masks)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)},
    )
    found: int = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("value", "kernel_shap", "occlusion", "integrated_gradients", "pertmap", "c_ifs"),
        *("smooth_grad", "deep_lift", "lime", "captum_integrated_gradients"),
    ],
)
def test_memory_is_bounded(name: str):
    """Five times the instances, or the masks, of what fills the chunks: all under the bound.

    Optimisers take two steps, of which each begins anew.
    """
    if name.startswith("captum"):
        pytest.importorskip("captum")
    sizes = [(4, 100), (20, 100)]
    if name in ("value", "kernel_shap", "lime"):
        sizes.append((4, 500))
    if name in ("pertmap", "c_ifs"):
        sizes.append((60, 100))  # a step takes few points of each instance
    found = [taken(name, *size) for size in sizes]
    print(f"\n{name}: {', '.join(f'{peak / 2**20:.0f} MiB' for peak in found)} for {sizes}")
    assert max(found) < BOUND

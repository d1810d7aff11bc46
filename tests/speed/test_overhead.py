"""What the engine adds to a cell: a method that returns at once, its problem built already."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import isolation
from bench.cache import Cache
from bench.cell import PRELOAD, build_case, run_cell
from bench.components import Shelf
from bench.explainers import Explainers
from bench.isolation import Limits, Worker
from bench.plan import Experiment, make_plan
from bench.record import write

TOY = Path(__file__).parent.parent / "toy"
BLOCK = {"task": "toy", "dataset": "toy", "model": "toy", "method": "mean"}


@pytest.fixture
def cell(tmp_path: Path):
    return make_plan(Experiment("s", (BLOCK,), (0,)), Shelf([TOY]), Cache(tmp_path)).cells[0]


@pytest.mark.parametrize("process", ["new", "kept"])
def test_overhead_of_an_isolated_cell(
    benchmark: BenchmarkFixture,
    cell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    process: str,
):
    """One answer, in a fork of its own or in the method's, one score, one record: seconds a cell.

    `python -m pytest tests/speed/test_overhead.py --benchmark-enable -s` (a plain `pytest` makes
    every worker import pytest, 30 ms that no user pays)
    """
    monkeypatch.setattr(Explainers, "MOST", 16 if process == "kept" else 0)
    isolation.preload(PRELOAD)
    with Worker(tmp_path / "log") as scorer, Explainers(tmp_path / "explainers") as explainers:
        built = scorer.call(build_case, cell, tmp_path, limits=Limits())

        def one_cell() -> str:
            record = run_cell(cell, built, scorer, explainers, Limits())
            write(record, tmp_path / "records")
            return record.status

        status = benchmark.pedantic(one_cell, rounds=40, warmup_rounds=3)
    assert status == "ok"
    if benchmark.stats:
        median = 1000 * benchmark.stats.stats.median
        print(f"\noverhead of a cell, {process} process: median {median:.1f} ms")

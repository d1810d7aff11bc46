"""What the engine adds to a cell: a method that returns at once, its problem built already."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import isolation
from bench.cache import Cache
from bench.cell import PRELOAD, build_case, run_cell
from bench.components import Shelf
from bench.isolation import Limits, Worker
from bench.plan import Experiment, make_plan
from bench.record import write

TOY = Path(__file__).parent.parent / "toy"
BLOCK = {"task": "toy", "dataset": "toy", "model": "toy", "method": "mean"}


@pytest.fixture
def cell(tmp_path: Path):
    return make_plan(Experiment("s", (BLOCK,), (0,)), Shelf([TOY]), Cache(tmp_path)).cells[0]


def test_overhead_of_an_isolated_cell(benchmark: BenchmarkFixture, cell, tmp_path: Path):
    """One fork, one answer, one score, one record: seconds a cell.

    `python -m pytest tests/speed/test_overhead.py --benchmark-enable -s` (a plain `pytest` makes
    every worker import pytest, 30 ms that no user pays)
    """
    isolation.preload(PRELOAD)
    with Worker(tmp_path / "log") as scorer:
        built = scorer.call(build_case, cell, tmp_path, limits=Limits())

        def one_cell() -> str:
            record = run_cell(cell, built, scorer, Limits())
            write(record, tmp_path / "records")
            return record.status

        status = benchmark.pedantic(one_cell, rounds=40, warmup_rounds=3)
    assert status == "ok"
    if benchmark.stats:
        print(f"\noverhead of a cell: median {benchmark.stats.stats.median * 1000:.1f} ms")

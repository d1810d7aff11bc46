"""What a sweep loads once before its cells are forked, and which processes it keeps."""

import contextlib
import importlib
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench import runner
from bench.cache import Cache
from bench.cell import Cell, explain
from bench.components import Shelf
from bench.explainers import Explainers
from bench.isolation import Limits
from bench.plan import Experiment, make_plan
from bench.record import canonical

TOY = Path(__file__).parent / "toy"
COUNTING = """
from dataclasses import dataclass
from typing import ClassVar

asked = []

@dataclass(frozen=True)
class Counting:
    how: str
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem, *, rng):
        if len(problem.values) == 2:  # the tiny problem
            return 0.0
        asked.append(problem)
        if self.how == "second" and len(asked) > 1 or self.how == "always" and rng.random() > 0.5:
            raise RuntimeError("no")
        return 0.0
"""


def cells(folder: Path, *methods: str) -> tuple[Cell, ...]:
    block = {"task": "attribution", "dataset": "wine", "model": "mlp", "method": list(methods)}
    plan = make_plan(Experiment("suite", (block,), (0, 1)), Shelf(), Cache(folder))
    return tuple(plan.cells)


def test_packages_that_methods_name_are_loaded_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Those of the planned methods alone, each once, and none that isn't installed."""
    here = {"captum", "zennit"}
    monkeypatch.setattr(runner, "find_spec", lambda name: name if name in here else None)
    planned = cells(tmp_path, "lime", "captum_lime", "captum_saliency", "shap_kernel")
    methods = ("captum_gradient", "captum_perturbation", "lime", "shap_perturbation")
    assert runner._imports(planned) == [
        "bench.tasks.attribution",
        *(f"earnest.methods.attribution.{name}" for name in methods),
        "captum.attr",
    ]


@pytest.fixture
def explainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explainers]:
    """Whose first answers may take as long as importing torch takes."""
    monkeypatch.setattr(Explainers, "QUICK", 60.0)
    with Explainers(tmp_path / "log") as kept:
        yield kept


def toy_cells(
    folder: Path, *methods: Any, level: int = 1, shelves: Sequence[Path] = (TOY,)
) -> list[Cell]:
    """By method, then by seed, of which there are two."""
    block = {
        "task": "toy",
        "dataset": "toy",
        "model": "toy",
        "setting": {"level": level},
        "method": list(methods),
    }
    plan = make_plan(Experiment("suite", (block,), (0, 1)), Shelf(shelves), Cache(folder))
    return [cell for method in methods for cell in plan.cells if cell.method.choice.entry == method]


def asked(explainers: Explainers, cell: Cell, folder: Path) -> tuple[str, list[int]]:
    """(status, the kept processes) after the cell was answered."""
    problem = folder / "problem.pkl"
    toy = importlib.import_module("toy")  # can be found since the shelf was made
    problem.write_bytes(pickle.dumps(toy.Problem(np.ones((3, 1)))))
    names = cell.kind_key, canonical(cell.method.identity)
    args = cell, problem, folder / "answer"
    outcome = explainers.call(*names, explain, *args, limits=Limits(seconds=20))
    return outcome.status, [worker._process.pid for worker in explainers._kept.values()]


def test_a_method_has_a_process_for_all_seeds_and_shares_it_with_none(
    explainers: Explainers, tmp_path: Path
):
    """The next seed finds the same process, another method another, another kind a new one."""
    mean, mean_again, other, other_again = toy_cells(tmp_path, "mean", {"mean": {"pause": 0.01}})
    _, (one,) = asked(explainers, mean, tmp_path)
    _, (_, two) = asked(explainers, other, tmp_path)
    assert one != two
    assert asked(explainers, mean_again, tmp_path) == ("ok", [two, one])
    assert asked(explainers, other_again, tmp_path) == ("ok", [one, two])
    another_kind = toy_cells(tmp_path, "mean", level=2)[0]
    _, (new,) = asked(explainers, another_kind, tmp_path)
    assert new not in (one, two)
    assert not _runs(one)
    assert not _runs(two)


def test_an_answer_depends_on_no_earlier_seed(explainers: Explainers, tmp_path: Path):
    """A process that has answered before gives what a new one gives."""
    first, second = toy_cells(tmp_path, "mean")
    asked(explainers, first, tmp_path)
    asked(explainers, second, tmp_path)
    kept = pickle.loads((tmp_path / "answer").read_bytes())
    explainers.close()
    asked(explainers, second, tmp_path)
    assert pickle.loads((tmp_path / "answer").read_bytes()) == kept


@pytest.mark.parametrize(
    ("method", "status"),
    [("raises", "failed"), ("crashes", "crashed"), ("refuses", "unsupported")],
)
def test_who_gives_no_answer_loses_its_process(
    explainers: Explainers, tmp_path: Path, method: str, status: str
):
    """Also where others are kept; the next seed gets a new process and a status of its own."""
    quick, _, bad, bad_again = toy_cells(tmp_path, "mean", method)
    _, kept = asked(explainers, quick, tmp_path)
    assert asked(explainers, bad, tmp_path) == (status, kept)
    assert asked(explainers, bad_again, tmp_path) == (status, kept)


def test_a_kept_process_that_died_costs_no_answer(explainers: Explainers, tmp_path: Path):
    """The next seed is answered by a new one."""
    first, second = toy_cells(tmp_path, "mean")
    _, (pid,) = asked(explainers, first, tmp_path)
    os.kill(pid, signal.SIGKILL)
    status, (new,) = asked(explainers, second, tmp_path)
    assert status == "ok"
    assert new != pid


def test_no_failure_is_of_an_earlier_seeds_making(
    explainers: Explainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a kept process fails at is tried again in a new one, and fails if that fails, too."""
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "method/toy").mkdir(parents=True)
    for name in ("second", "always"):
        text = f"_target_: counting.Counting\nhow: {name}\n"
        (tmp_path / f"method/toy/{name}.yaml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = {}
    for name in ("second", "always"):
        cells = toy_cells(tmp_path, name, shelves=[TOY, tmp_path])
        found[name] = [asked(explainers, cell, tmp_path)[0] for cell in cells]
    assert found == {"second": ["ok", "ok"], "always": ["ok", "failed"]}


@pytest.mark.parametrize("limit", ["QUICK", "SMALL", "MOST"])
def test_what_is_slow_or_large_or_one_too_many_is_not_kept(
    explainers: Explainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
):
    """Each limit alone."""
    monkeypatch.setattr(Explainers, limit, 0)
    assert asked(explainers, toy_cells(tmp_path, "mean")[0], tmp_path) == ("ok", [])


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False

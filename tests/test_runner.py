"""What a sweep loads once before its cells are forked."""

from pathlib import Path

import pytest

from bench import runner
from bench.cache import Cache
from bench.cell import Cell
from bench.components import Shelf
from bench.plan import Experiment, make_plan


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

"""Every data set's and model's yaml builds, and declares what the planner reads."""

import os
from dataclasses import fields, is_dataclass
from typing import get_args
from urllib.error import URLError

import numpy as np
import pytest
import torch

from bench import download
from bench.components import Shelf, build, target
from bench.data import DataMissing, Dataset, Images, Samples, Table
from bench.models.base import Capability, Recipe
from bench.tasks.base import Task, make_setting

SHELF = Shelf()


REQUESTED = {"frisk", "juvenile", "recidivism"}
"""Data sets that may not be passed on, so that no data folder of ours has them."""


def offline(url: str, timeout: float) -> None:
    raise URLError("tests download nothing")


@pytest.mark.parametrize("name", SHELF.names("dataset"))
def test_dataset_declares(name: str):
    """A frozen dataclass with version, kind and what it predicts; pure data, so no seed."""
    config = SHELF.config("dataset", name)
    built, cls = build(config, name), target(config)
    assert isinstance(built, Dataset)
    assert is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert cls.version >= 1
    assert cls.kind in ("table", "images")
    assert cls.predicts in ("classes", "number")
    assert not {"seed", "version", "kind", "predicts"} & {field.name for field in fields(cls)}
    assert "References" in cls.__doc__


@pytest.mark.parametrize("name", SHELF.names("dataset"))
def test_dataset_loads_what_it_declares(name: str, monkeypatch: pytest.MonkeyPatch):
    """The kind that it declares, coded within its levels, its parts disjoint; no download."""
    monkeypatch.setattr(download, "urlopen", offline)
    config = SHELF.config("dataset", name)
    cls = target(config)
    try:
        data = build(config, name).load()
    except DataMissing as error:
        if os.environ.get("EARNEST_DATA") and name not in REQUESTED:
            raise
        pytest.skip(str(error).splitlines()[0])
    assert isinstance(data, Table if cls.kind == "table" else Images)
    assert bool(data.class_names) == (cls.predicts == "classes")
    assert data.licence
    assert data.source.startswith("http")
    n = len(data.targets)
    if data.class_names:
        assert set(np.unique(data.targets)) == set(range(len(data.class_names)))
    if isinstance(data, Table):
        _check_columns(data)
    else:
        assert data.pixels.min() >= 0
        assert data.pixels.max() <= 1
    if data.given_split:
        rows = np.concatenate([data.given_split[part] for part in ("train", "test")])
        np.testing.assert_array_equal(np.sort(rows), np.arange(n))


def _check_columns(data: Table) -> None:
    names = [column.name for column in data.columns]
    assert len(set(names)) == len(names) == data.values.shape[1]
    assert data.sensitive is None or data.sensitive in names
    grouped = [name for group in data.groups.values() for name in group]
    assert not grouped or sorted(grouped) == sorted(names)
    for column in data.columns:
        if column.levels:
            codes = data.column(column.name)
            assert set(np.unique(codes)) <= set(range(len(column.levels)))


SHAPES = dict.fromkeys(("cnn", "vgg", "resnet", "pretrained", "cifar_net"), (1, 8, 8))
SHAPES["mnist_net"] = (1, 28, 28)
"""Inputs of the models that want pictures."""


@pytest.mark.parametrize("name", SHELF.names("model"))
def test_model_declares_and_offers_it(name: str):
    """A recipe whose trained model offers what its capabilities promise, again from the cache."""
    recipe = build(SHELF.config("model", name), name)
    assert isinstance(recipe, Recipe)
    assert type(recipe).version >= 1
    assert recipe.capabilities <= set(get_args(Capability))
    assert "black_box" in recipe.capabilities
    shape = SHAPES.get(name, (5,))
    samples = Samples(
        torch.randn((40, *shape), generator=torch.Generator().manual_seed(0)),
        torch.arange(40) % 2,
        2,
    )
    model = recipe.fit(samples, rng=np.random.default_rng(0))
    again = recipe.restore(recipe.arrays(model), samples)
    for made in (model, again):
        margins = made.margins(samples.inputs)
        assert margins.shape == (40, 2)
        assert margins.dtype == torch.float64
        assert (made.module is not None) == ("gradient" in recipe.capabilities)
        assert (made.trajectory is not None) == ("replay" in recipe.capabilities)
    assert torch.equal(model.margins(samples.inputs), again.margins(samples.inputs))


@pytest.mark.parametrize("name", SHELF.names("task"))
def test_task_declares(name: str):
    """Its name is its yaml's, its metrics are described, its setting's defaults are its yaml's."""
    config = SHELF.config("task", name)
    defaults = config.pop("setting")
    task = build(config, name)
    assert isinstance(task, Task)
    assert task.name == name
    assert type(task).version >= 1
    assert task.accepts <= {"classes", "number"}
    assert len({metric.name for metric in task.metrics}) == len(task.metrics)
    for metric in task.metrics:
        assert metric.definition
        assert metric.source
        assert metric.range[0] < metric.range[1]
    assert set(defaults) == {field.name for field in fields(task.Setting)}
    setting = make_setting(task.Setting, defaults, {}, f"setting of {name}")
    assert setting == task.Setting()
    assert set(getattr(setting, "shown", ())) <= set(defaults)

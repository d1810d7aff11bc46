"""What an experiment becomes with axes given beside it."""

from typing import Any

import pytest

from bench.components import ConfigError, Shelf
from bench.settings import Axes, Settings, experiment_of

GRID: list[dict[str, Any]] = [
    {"task": "attribution", "dataset": ["wine", "diabetes"], "model": "mlp", "method": "*"},
    {"task": "attribution", "dataset": "digits", "model": [{"cnn": {"epochs": 3}}, "mlp"]},
    {"task": "companion", "dataset": ["wine"], "model": "random_forest", "method": "*"},
]


def blocks(**axes: Any) -> list[tuple[Any, Any]]:
    """(data sets, models) of each block."""
    settings = Settings(grid=GRID, axes=Axes(**axes))
    return [(b["dataset"], b["model"]) for b in experiment_of(settings, Shelf()).grid]


def test_what_the_experiment_has_is_picked_from_it():
    """A block keeps its own data sets and models of those named, or goes."""
    assert blocks(dataset="wine") == [(["wine"], "mlp"), (["wine"], "random_forest")]
    assert blocks(dataset=["wine", "digits"])[1] == (["digits"], [{"cnn": {"epochs": 3}}, "mlp"])
    assert blocks(model="cnn") == [("digits", [{"cnn": {"epochs": 3}}])]
    assert blocks(dataset="digits", model="mlp") == [(["digits"], ["mlp"])]
    assert blocks(task="companion", dataset="wine") == [(["wine"], "random_forest")]


def test_what_it_has_not_takes_the_place_of_all():
    """Another data set, or the user's own, is put into every block."""
    assert blocks(dataset="breast_cancer") == [
        ("breast_cancer", "mlp"),
        ("breast_cancer", [{"cnn": {"epochs": 3}}, "mlp"]),
        ("breast_cancer", "random_forest"),
    ]


def test_fields_take_the_place_of_the_blocks_own():
    """A model named with fields is that one, where the block has it at all."""
    assert blocks(model={"cnn": {"epochs": 9}}) == [("digits", [{"cnn": {"epochs": 9}}])]


def test_nothing_left_is_an_error():
    """A data set and a model that no block has together."""
    with pytest.raises(ConfigError, match="no block"):
        blocks(dataset="digits", model="random_forest")

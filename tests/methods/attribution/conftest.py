"""Small problems, methods by their yaml's name, and how their answers score."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.components import Shelf, build
from bench.models.network import CNN, MLP, Network, initial
from bench.scores import ideal_influence as scoring
from bench.setfunction.ideal import exact_ideal
from bench.setfunction.orders import along
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.table import Tabulated
from bench.tasks.attribution import AttributionProblem, predicted

SHELF = Shelf()
PACKAGES = {"captum_": "captum", "shap_": "shap", "lime_package": "lime", "lrp_": "zennit"}
"""What methods need beside earnest, by how their names begin."""


def method_called(name: str, **fields: Any) -> Any:
    """The method as its yaml describes it, but for these fields."""
    return build({**SHELF.config("method/attribution", name), **fields}, name)


def answer_of(name: str, problem: AttributionProblem, seed: int = 0, **fields: Any) -> np.ndarray:
    """What the method of that name says; the test is skipped where a package is missing."""
    for start, package in PACKAGES.items():
        if name.startswith(start):
            pytest.importorskip(package)
    rng = np.random.default_rng(seed)
    return method_called(name, **fields).explain(problem, rng=rng).values


def small_network(
    n_classes: int, widths: tuple[int, ...] = (8,), activation: str = "tanh"
) -> nn.Module:
    """An MLP of seven inputs, its weights thrice as large as they start."""
    rng = np.random.default_rng(0)
    net = initial(MLP(widths, activation), torch.Size([7]), max(n_classes, 1), rng=rng)
    return enlarged(net)


def enlarged(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net


def table_problem(
    n_classes: int,
    widths: tuple[int, ...] = (8,),
    *,
    net: nn.Module | None = None,
    n: int = 4,
    draws: int = 1,
    sets: int = 1,
) -> AttributionProblem:
    """Seven positions in five features, in float64; `sets` of draws, one or one an instance."""
    rng = np.random.default_rng(2)
    net = small_network(n_classes, widths) if net is None else net
    model = Network(net.double().eval(), n_classes)
    inputs = torch.from_numpy(rng.normal(size=(n, 7)))
    reference = Reference(torch.from_numpy(rng.normal(size=(sets, draws, 7))))
    features = Partition(torch.tensor([0, 1, 1, 2, 3, 3, 4]), tuple("abcde"))
    g = "probability" if n_classes else "output"
    return AttributionProblem(model, inputs, predicted(model, inputs), features, reference, g)


def nine_blocks(draws: int = 1) -> AttributionProblem:
    """Three images of two channels, 6 x 6, in nine blocks, in float64."""
    rng = np.random.default_rng(0)
    net = initial(CNN((6,), 16), torch.Size([2, 6, 6]), 3, rng=rng).double()
    inputs = torch.from_numpy(rng.random((3, 2, 6, 6)))
    blocks = torch.arange(9).view(3, 3).repeat_interleave(2, 0).repeat_interleave(2, 1)
    features = Partition(blocks.expand(2, -1, -1).contiguous(), tuple("abcdefghi"))
    model = Network(enlarged(net), 3)
    reference = Reference(torch.from_numpy(rng.random((1, draws, 2, 6, 6))))
    return AttributionProblem(model, inputs, predicted(model, inputs), features, reference)


def scores_of(problem: AttributionProblem, values: np.ndarray) -> np.ndarray:
    """II, EX and IN of each instance, three rows."""
    table = problem.table()
    ideal, value = exact_ideal(table), Tabulated(table)
    orders = np.argsort(-values, axis=1, kind="stable")[:, None]
    deleted = scoring.area(along(value, orders))[:, 0]
    kept = scoring.area(along(value, orders[..., ::-1]))[:, 0]
    return np.stack(
        [
            scoring.ideal_influence(kept - deleted, ideal.joint),
            scoring.exclusion(deleted, ideal.chance_area, ideal.least),
            scoring.inclusion(kept, ideal.chance_area, ideal.most),
        ]
    )


@pytest.fixture(scope="session")
def method() -> Callable[..., Any]:
    return method_called


@pytest.fixture(scope="session")
def answer() -> Callable[..., np.ndarray]:
    return answer_of


@pytest.fixture(scope="session")
def network() -> Callable[..., nn.Module]:
    return small_network


@pytest.fixture(scope="session")
def problem_of() -> Callable[..., AttributionProblem]:
    return table_problem


@pytest.fixture(scope="session")
def image_problem() -> Callable[..., AttributionProblem]:
    return nine_blocks


@pytest.fixture(scope="session")
def scores() -> Callable[..., np.ndarray]:
    return scores_of

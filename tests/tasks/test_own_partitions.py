"""Problems whose instances are parted each in its own way, as by superpixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.components import Shelf, build
from bench.models.network import CNN, MLP, Network, initial
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.split_table import find_split
from bench.setfunction.table import masks_of
from bench.tasks.attribution import (
    AttributionProblem,
    AttributionSetting,
    AttributionTask,
    predicted,
)

ARCHITECTURES = (CNN((4,), 8), MLP((8,)))


def problem_of(
    architecture, own_draws: bool = False, side: int = 4, p: int = 5
) -> AttributionProblem:
    """Three images of two channels in p features each, no two images parted alike."""
    rng = np.random.default_rng(0)
    net = initial(architecture, torch.Size([2, side, side]), 3, rng=rng)
    inputs = torch.from_numpy(rng.random((3, 2, side, side))).float()
    draws = torch.from_numpy(rng.random((3 if own_draws else 1, 2, 2, side, side))).float()
    stripes = np.arange(side * side).reshape(side, side) * p // side**2
    each = [stripes, stripes.T, p - 1 - stripes]
    membership = torch.from_numpy(np.stack(each))[:, None].expand(-1, 2, -1, -1).contiguous()
    model = Network(net, 3)
    features = Partition(membership, tuple("abcdefghijklmnop"[:p]), own=True)
    targets = predicted(model, inputs)
    return AttributionProblem(model, inputs, targets, features, Reference(draws))


def alone(problem: AttributionProblem, row: int) -> AttributionProblem:
    """One instance, its partition one that all share."""
    rows = torch.tensor([row])
    return replace(
        problem,
        inputs=problem.inputs[rows],
        targets=problem.targets[rows],
        partition=problem.partition.only(row),
        reference=Reference(problem.reference.of(rows)),
    )


@pytest.mark.parametrize("own_draws", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_instance_is_valued_by_its_own_features(architecture, own_draws: bool):
    """F, its table and what the reference leaves alone are those of the instance by itself."""
    problem = problem_of(architecture, own_draws)
    masks = np.random.default_rng(1).random((7, 5)) < 0.5
    for row in range(3):
        single = alone(problem, row)
        for got, wanted in (
            (problem.value(masks), single.value(masks)),
            (problem.direct(masks), single.direct(masks)),
            (problem.table(), single.table()),
        ):
            np.testing.assert_allclose(got[row], wanted[0], atol=1e-6)
        np.testing.assert_array_equal(problem.null[row], single.null[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tables_by_a_shortcut_are_each_instances_own(architecture):
    """Thirteen features: the table is put together from parts, another way for each instance."""
    problem = problem_of(architecture, side=8, p=13)
    splits = [find_split(problem.model.module, problem.partition.only(row)) for row in range(3)]
    assert all(split is not None for split in splits)
    found, numbers = problem.table(), np.random.default_rng(2).integers(2**13, size=50)
    np.testing.assert_allclose(found[:, numbers], problem.direct(masks_of(numbers, 13)), atol=1e-6)


@pytest.mark.parametrize("name", Shelf().names("method/attribution"))
def test_methods_explain_each_instance_by_its_own_features(name: str):
    """Every deterministic method says of an instance what it says of it alone; the others give
    finite numbers."""
    problem = problem_of(ARCHITECTURES[0])
    method = build(Shelf().config("method/attribution", name))

    def answer(asked: AttributionProblem, seed: int = 0) -> np.ndarray:
        return method.explain(asked, rng=np.random.default_rng(seed)).values

    try:
        values = answer(problem)
    except Exception as error:
        if type(error).__name__ != "Unsupported":
            raise
        pytest.skip(str(error))
    assert values.shape == (3, 5)
    assert np.isfinite(values).all()
    if np.array_equal(values, answer(problem, 1)):
        for row in range(3):
            np.testing.assert_allclose(values[row], answer(alone(problem, row))[0], atol=1e-4)


def test_partition_of_other_instances_is_refused():
    problem = problem_of(ARCHITECTURES[0])
    with pytest.raises(ValueError, match="partition is of 2 instances, there are 3"):
        replace(problem, partition=problem.partition.at(torch.tensor([0, 1])))


def test_superpixels_through_the_task():
    """Digits in eight superpixels each: exact, scored, and the drawn instance has its own map."""
    pytest.importorskip("skimage")
    data = build(Shelf().config("dataset", "digits")).load()
    recipe = build({**Shelf().config("model", "mlp_small"), "epochs": 1})
    setting = AttributionSetting(instances=3, partition="superpixels 8")
    task = AttributionTask()
    case = task.case(data, recipe, setting, rng=np.random.default_rng(0))
    assert case.problem.partition.own
    method = build(Shelf().config("method/attribution", "exact_optimum"))
    found = method.explain(case.problem, rng=np.random.default_rng(0))
    scores = task.scores((case,), (found,))
    assert scores.values["ideal_influence"].value == pytest.approx(1.0)
    assert np.shape(scores.details["instance"]["membership"]) == (1, 8, 8)

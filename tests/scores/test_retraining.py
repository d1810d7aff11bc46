import copy

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.network import MLP
from bench.models.sgd import SGD, row_losses
from bench.scores.retraining import Curve, Quality, removal_counts, removal_curves, without_first


@pytest.fixture(scope="module")
def problem():
    """A small network on noisy classes, with rows to select by and to test on."""
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(160, 4))).float()
    targets = (inputs[:, 0] + inputs[:, 1] + torch.tensor(rng.normal(size=160)) > 0).long()
    samples = Samples(inputs, targets, 2)
    network = SGD(MLP((6,)), epochs=4, batch_size=8).fit(samples.rows(np.arange(40)), rng=rng)
    return network, samples.rows(np.arange(40, 80)), samples.rows(np.arange(80, 160)), rng


def test_curves_are_a_literal_loop(problem):
    """Retrain one network a removal, predict row by row, count the right ones."""
    network, selection, test, rng = problem
    orders, removed = tuple(rng.permutation(40) for _ in range(3)), (0, 2, 5, 20)
    curves = removal_curves(network.trajectory, orders, removed, selection, test)
    for order, curve in zip(orders, curves, strict=True):
        for i, m in enumerate(removed):
            keep = torch.tensor([[row not in order[:m] for row in range(40)]])
            (model,) = network.retrain(keep)
            for samples, found in ((selection, curve.selection), (test, curve.test)):
                margins = [model.margins(x[None])[0] for x in samples.inputs]
                right = [
                    int(m.argmax()) == int(t) for m, t in zip(margins, samples.targets, strict=True)
                ]
                losses = [
                    row_losses(m[None], t[None]).item()
                    for m, t in zip(margins, samples.targets, strict=True)
                ]
                assert found.accuracy[i] == pytest.approx(np.mean(right))
                assert found.loss[i] == pytest.approx(np.mean(losses), rel=1e-5)


def test_removing_nothing_is_the_network_itself(problem):
    """The first point of each curve, Retrain All or Last, is the trained network."""
    network, selection, test, _ = problem
    accuracy = (network.margins(test.inputs).argmax(1) == test.targets).double().mean().item()
    for since in (0, network.trajectory.last_epoch):
        (curve,) = removal_curves(
            network.trajectory, (np.arange(40),), (0, 5), selection, test, since=since
        )
        assert curve.test.accuracy[0] == accuracy
        assert curve.accuracy_gain(0) == 0


def test_retrain_last_repeats_one_epoch(problem):
    """It ends where the recorded start of the last epoch and one epoch without the rows end."""
    network, selection, test, rng = problem
    trajectory, order = network.trajectory, rng.permutation(40)
    (curve,) = removal_curves(
        trajectory, (order,), (0, 10), selection, test, since=trajectory.last_epoch
    )
    final = trajectory.retrain(without_first(order, (10,)), trajectory.last_epoch)
    loss = row_losses(trajectory.objective.outputs(final, test.inputs), test.targets).mean()
    assert curve.test.loss[1] == pytest.approx(loss.item(), rel=1e-5)
    (whole,) = removal_curves(trajectory, (order,), (0, 10), selection, test)
    assert whole.test.loss[1] != curve.test.loss[1]


def test_the_smallest_selection_loss_chooses():
    """The first of equals, so the fewest rows; the test rows have no say."""
    quality = Quality(np.array([0.5, 0.6, 0.9]), np.array([3.0, 1.0, 1.0]))
    curve = Curve((0, 1, 2), quality, Quality(np.array([0.5, 0.25, 1.0]), np.array([2.0, 1.5, 0])))
    assert curve.chosen == 1
    assert curve.accuracy_gain(1) == -0.25
    assert curve.loss_change(1) == -0.5


def test_removal_counts():
    """Rounded, without doubles, none among them, and one row stays."""
    assert removal_counts((0.5, 1, 2, 5, 10, 20), 200) == (0, 1, 2, 4, 10, 20, 40)
    assert removal_counts((0.5, 1, 20), 20) == (0, 4)
    assert removal_counts((99.0,), 3) == (0, 2)


def test_without_first():
    """A row stays where its place in the order isn't among the first m."""
    keep = without_first(np.array([2, 0, 1]), (0, 1, 2))
    assert keep.tolist() == [[True] * 3, [True, True, False], [False, True, False]]


def test_retrain_last_is_a_hand_loop():
    """43 rows in batches of 8 are ceil(43 / 8) = 6 steps an epoch: the last 6 are repeated."""
    rng = np.random.default_rng(1)
    inputs = torch.tensor(rng.normal(size=(43, 4))).float()
    samples = Samples(inputs, (inputs[:, 0] > 0).long(), 2)
    network = SGD(MLP((3,), "tanh"), epochs=3, batch_size=8).fit(samples, rng=rng)
    trajectory, order = network.trajectory, rng.permutation(43)
    assert len(trajectory.schedule) == 18
    assert trajectory.last_epoch == 12
    module = copy.deepcopy(network.module)
    torch.nn.utils.vector_to_parameters(trajectory.snapshots[12].clone(), module.parameters())
    parameters = list(module.parameters())
    gone = set(order[:10].tolist())
    for t in range(12, 18):
        batch = trajectory.schedule.batch(t).tolist()
        kept = [row for row in batch if row not in gone]
        losses = row_losses(module(samples.inputs[kept]), samples.targets[kept])
        gradients = torch.autograd.grad(losses.sum() / len(batch), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= trajectory.schedule.rates[t] * gradient
    (curve,) = removal_curves(
        trajectory, (order,), (0, 10), samples, samples, since=trajectory.last_epoch
    )
    with torch.no_grad():
        loss = row_losses(module(samples.inputs), samples.targets).mean().item()
    assert curve.test.loss[1] == pytest.approx(loss, rel=1e-6)
    assert curve.test.loss[1] != pytest.approx(curve.test.loss[0], rel=1e-4)

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.data import Samples
from bench.models.influence import (
    forward_flops,
    leave_one_out,
    leave_one_out_flops,
    mean_losses,
    query_gradient,
    row_products,
    sgd_influence,
    weighted_double_backward,
)
from bench.models.network import CNN, MLP, initial
from bench.models.optimiser import PLAIN, Adam, Before, Decoupled, Momentum
from bench.models.sgd import SGD, row_losses
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, run

N = 10


def recorded(
    architecture, n_classes, epochs=3, shape=(3,), weight_decay=0.02, stride=1, optimiser=PLAIN
):
    """A tiny run in float64, and validation rows."""
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(N + 6, *shape)))
    if n_classes:
        targets = torch.tensor(rng.integers(n_classes, size=N + 6))
    else:
        targets = torch.tensor(rng.normal(size=N + 6))
    module = initial(architecture, torch.Size(shape), max(n_classes, 1), rng=rng).double()
    samples = Samples(inputs, targets, n_classes)
    batches = tuple(
        torch.tensor(rows) for _ in range(epochs) for rows in np.array_split(rng.permutation(N), 3)
    )
    schedule = Schedule.of(batches, [0.2 / (1 + t) for t in range(len(batches))], 3)
    objective = Objective(module, row_losses, samples.rows(np.arange(N)), weight_decay)
    trajectory = run(objective, schedule, flatten(module), stride, optimiser)
    return trajectory, samples.rows(np.arange(N, N + 6))


def unrolled(trajectory, weights, since=0):
    """theta[T] as a differentiable function of a weight a row, all steps in one graph."""
    objective, schedule = trajectory.objective, trajectory.schedule
    start = trajectory.at(since)
    theta, state = start.theta.clone().requires_grad_(), start.state
    for t in range(since, len(schedule)):
        rows = schedule.batch(t)
        losses = objective.losses(theta, rows)[0]
        total = (losses * weights[rows]).sum() / len(rows)
        (gradient,) = torch.autograd.grad(total, theta, create_graph=True)
        before = Before(theta, state, gradient, schedule.rates[t], t)
        theta, state = trajectory.optimiser.update(before)
    return theta


def by_autograd(trajectory, validation, since=0):
    """Minus the derivative of the query's loss by the rows' weights, through all of training."""
    weights = torch.ones(N, dtype=torch.float64, requires_grad=True)
    loss = mean_losses(trajectory.objective, unrolled(trajectory, weights, since), validation)
    return torch.autograd.grad(-loss[0], weights)[0]


def as_any_network(trajectory):
    """The same run, its network not known to be a chain: autograd alone finds derivatives."""
    loss = lambda *asked: row_losses(*asked)  # noqa: E731
    return replace(trajectory, objective=replace(trajectory.objective, loss=loss))


OPTIMISERS = [
    Momentum(0.8),
    Momentum(0.8, nesterov=True),
    Adam(0.8, 0.9, 1e-4),
    Decoupled(Adam(0.8, 0.9, 1e-4), 0.1),
    Decoupled(PLAIN, 0.1),
]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("architecture", "n_classes", "shape"),
    [(MLP((4,), "tanh"), 3, (3,)), (MLP((4, 3), "gelu"), 2, (3,)), (CNN((2,), 3), 2, (1, 4, 4))],
)
def test_influence_through_any_optimiser_is_the_derivative_through_training(
    architecture, n_classes, shape, stride, optimiser
):
    """Momentum, Nesterov, Adam, AdamW: the way back against unrolled training, in float64."""
    trajectory, validation = recorded(
        architecture, n_classes, shape=shape, stride=stride, optimiser=optimiser
    )
    expected = by_autograd(trajectory, validation)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    for asked in (trajectory, as_any_network(trajectory)):
        torch.testing.assert_close(sgd_influence(asked, query), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("optimiser", [PLAIN, Momentum(0.8), Adam()])
@pytest.mark.parametrize("stride", [1, 4])
def test_influence_of_the_last_epochs(optimiser, stride):
    """The derivative by the weights that rows have from an epoch on."""
    trajectory, validation = recorded(MLP((4,), "tanh"), 3, stride=stride, optimiser=optimiser)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    for epochs in (1, 2, 3, 9):
        expected = by_autograd(trajectory, validation, since=max(0, 9 - 3 * epochs))
        found = sgd_influence(trajectory, query, epochs=epochs)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    with pytest.raises(ValueError, match="epochs=0: wanted at least 1"):
        sgd_influence(trajectory, query, epochs=0)


@pytest.mark.parametrize("hessian", ["exact", "none", "divided_by_batch"])
@pytest.mark.parametrize("optimiser", [PLAIN, Adam()])
def test_several_queries_share_a_pass(hessian, optimiser):
    """A matrix of queries gives what each gives alone, by either way of finding derivatives."""
    trajectory, _ = recorded(MLP((4, 3)), 3, optimiser=optimiser)
    queries = torch.randn(4, len(trajectory.final), dtype=torch.float64)
    alone = torch.stack([sgd_influence(trajectory, query, hessian) for query in queries])
    for asked in (trajectory, as_any_network(trajectory)):
        together = sgd_influence(asked, queries, hessian)
        torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-13)


def test_the_hessian_divided_by_the_batch():
    """The recursion of the authors' program, written with a Hessian formed in full."""
    trajectory, validation = recorded(MLP((4,), "tanh"), 3)
    objective, schedule = trajectory.objective, trajectory.schedule
    query = query_gradient(objective, trajectory.final, validation)
    expected, u = torch.zeros(N, dtype=torch.float64), query
    for t in reversed(range(len(schedule))):
        rows, rate, theta = schedule.batch(t), schedule.rates[t], trajectory.snapshots[t]
        expected[rows] += rate / len(rows) * row_products(objective, theta, rows, u)

        def mean(flat, rows=rows):
            return objective.losses(flat[None], rows).mean()

        u = u - rate * torch.autograd.functional.hessian(mean, theta) @ u / len(rows)
    found = sgd_influence(trajectory, query, "divided_by_batch")
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("architecture", [MLP((4, 3)), CNN((2,), 3)])
def test_smoothed_kinks(architecture):
    """Either way of finding derivatives agrees, and a sharp softplus is ReLU again."""
    shape = (3,) if isinstance(architecture, MLP) else (1, 4, 4)
    trajectory, validation = recorded(architecture, 2, shape=shape)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    plain = sgd_influence(trajectory, query)
    ways = [
        sgd_influence(asked, query, kink_smoothing=8.0)
        for asked in (trajectory, as_any_network(trajectory))
    ]
    torch.testing.assert_close(*ways, rtol=1e-10, atol=1e-13)
    assert not torch.allclose(ways[0], plain)
    sharp = sgd_influence(trajectory, query, kink_smoothing=1e9)
    torch.testing.assert_close(sharp, plain, rtol=1e-8, atol=1e-12)
    one_step = sgd_influence(trajectory, query, "none", kink_smoothing=8.0)
    torch.testing.assert_close(one_step, sgd_influence(trajectory, query, "none"))


def test_long_runs_are_taken_in_pieces(monkeypatch):
    """However few steps share a tape, the values are the same."""
    trajectory, validation = recorded(MLP((4,), "tanh"), 3)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    whole = sgd_influence(trajectory, query)
    monkeypatch.setattr("bench.models.linearised.TAPE_NUMBERS", 200)
    torch.testing.assert_close(sgd_influence(trajectory, query), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(
    ("architecture", "n_classes", "shape"),
    [
        (MLP((4,), "tanh"), 3, (3,)),
        (MLP((4, 3)), 2, (3,)),
        (MLP((4,), "gelu"), 0, (3,)),
        (CNN((2,), 3), 2, (1, 4, 4)),
    ],
)
def test_sgd_influence_is_minus_the_derivative_by_the_rows_weights(
    architecture, n_classes, shape, stride
):
    """The backward recursion is what autograd finds through the unrolled training."""
    trajectory, validation = recorded(architecture, n_classes, shape=shape, stride=stride)
    expected = by_autograd(trajectory, validation)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    for asked in (trajectory, as_any_network(trajectory)):
        torch.testing.assert_close(sgd_influence(asked, query), expected, rtol=1e-10, atol=1e-13)


def test_sgd_influence_is_minus_the_finite_difference_by_the_rows_weights():
    """The same truth without any autograd through training."""
    trajectory, validation = recorded(MLP((4,), "tanh"), 3)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    found = sgd_influence(trajectory, query)
    for j in range(N):
        step = torch.zeros(N, dtype=torch.float64)
        step[j] = 1e-5
        ends = [
            mean_losses(
                trajectory.objective, unrolled(trajectory, 1 + sign * step).detach(), validation
            )
            for sign in (1, -1)
        ]
        assert float(found[j]) == pytest.approx(float(ends[1] - ends[0]) / 2e-5, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_one_epoch_of_a_linear_regression_is_exact(weight_decay):
    """Each row's weight enters once and all else is affine: <u, theta_-j - theta> to the bit."""
    trajectory, _ = recorded(MLP(), 0, epochs=1, weight_decay=weight_decay)
    query = torch.randn(len(trajectory.final), dtype=torch.float64)
    finals = trajectory.retrain(~torch.eye(N, dtype=torch.bool))
    expected = (finals - trajectory.final) @ query
    torch.testing.assert_close(sgd_influence(trajectory, query), expected, rtol=0, atol=1e-13)


def test_several_epochs_of_a_linear_regression_are_right_to_first_order():
    """The error against brute force shrinks with the square of the learning rate."""
    errors = []
    for scale in (1.0, 0.1):
        trajectory, validation = recorded(MLP(), 0, weight_decay=0.0)
        rates = tuple(scale * rate for rate in trajectory.schedule.rates)
        slower = replace(trajectory.schedule, rates=rates)
        trajectory = run(trajectory.objective, slower, trajectory.snapshots[0])
        query = query_gradient(trajectory.objective, trajectory.final, validation)
        truth = leave_one_out(trajectory, validation)
        errors.append((sgd_influence(trajectory, query) - truth).abs().max().item())
    assert errors[1] < errors[0] / 50


def test_without_the_hessian_the_query_stays():
    """One step needs no curvature; of more steps only the direction's change is dropped."""
    trajectory, validation = recorded(MLP((4,), "tanh"), 3)
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    expected = torch.zeros(N, dtype=torch.float64)
    for theta, rows, rate in trajectory.backwards():
        products = row_products(trajectory.objective, theta, rows, query)
        expected[rows] += rate / len(rows) * products
    torch.testing.assert_close(sgd_influence(trajectory, query, "none"), expected)
    assert not torch.allclose(sgd_influence(trajectory, query), expected)


def test_weighted_double_backward():
    """Against one gradient a row, and the Hessian formed in full."""
    trajectory, _ = recorded(MLP((4,), "tanh"), 3)
    objective, theta = trajectory.objective, trajectory.final
    rows, direction = torch.tensor([3, 1, 7]), torch.randn(len(theta), dtype=torch.float64)
    products, curved = weighted_double_backward(objective, theta, rows, direction)

    def mean(flat):
        return objective.losses(flat[None], rows).mean()

    hessian = torch.autograd.functional.hessian(mean, theta)
    torch.testing.assert_close(curved, hessian @ direction)
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: objective.losses(flat[None], rows)[0], theta
    )
    torch.testing.assert_close(products, jacobian @ direction)
    torch.testing.assert_close(row_products(objective, theta, rows, direction), products)


@pytest.mark.parametrize("optimiser", [PLAIN, *OPTIMISERS])
@pytest.mark.parametrize(("architecture", "shape"), [(MLP((4,)), (3,)), (CNN((2,), 3), (1, 4, 4))])
def test_leave_one_out_is_retraining_one_by_one(architecture, shape, optimiser):
    """The batch of all counterfactuals gives what each network alone gives, by autograd."""
    trajectory, validation = recorded(architecture, 3, shape=shape, optimiser=optimiser)
    found = leave_one_out(trajectory, validation)
    base = mean_losses(trajectory.objective, trajectory.final[None], validation)
    for j in range(N):
        keep = torch.ones(1, N, dtype=torch.bool)
        keep[0, j] = False
        final = as_any_network(trajectory).retrain(keep)
        without = mean_losses(trajectory.objective, final, validation)
        torch.testing.assert_close(found[j], (without - base)[0], rtol=0, atol=1e-12)


def test_a_row_that_was_never_seen_did_nothing():
    """A row in no batch has influence 0 by every way."""
    trajectory, validation = recorded(MLP((4,)), 3)
    schedule = trajectory.schedule
    batches = [schedule.batch(t) for t in range(len(schedule))]
    unseen = Schedule.of([rows[rows != 4] for rows in batches], schedule.rates, 3)
    trajectory = run(trajectory.objective, unseen, trajectory.snapshots[0])
    query = query_gradient(trajectory.objective, trajectory.final, validation)
    assert sgd_influence(trajectory, query)[4] == 0
    assert leave_one_out(trajectory, validation)[4] == pytest.approx(0, abs=1e-14)


def test_many_pictures_go_through_in_blocks(monkeypatch):
    """Mean losses and the query's gradient of 20 pictures are those of all at once."""
    monkeypatch.setattr("bench.models.chunks.PIXELS", 6 * 16)
    monkeypatch.setattr("bench.models.chunks.FEWEST_IMAGES", 6)
    trajectory, _ = recorded(CNN((2,), 3), 2, shape=(1, 4, 4))
    pictures = Samples(torch.randn(20, 1, 4, 4).double(), torch.arange(20) % 2, 2)
    flats = trajectory.snapshots[:3].clone().requires_grad_()
    outputs = trajectory.objective.outputs(flats, pictures.inputs)
    expected = row_losses(outputs, pictures.targets).mean(1)
    (gradient,) = torch.autograd.grad(expected[2], flats)
    found = mean_losses(trajectory.objective, flats.detach(), pictures)
    torch.testing.assert_close(found, expected.detach())
    blocks = query_gradient(trajectory.objective, trajectory.snapshots[2], pictures)
    torch.testing.assert_close(blocks, gradient[2])


def test_the_cost_of_leave_one_out():
    """6 p E n^2 for linear layers, biases apart."""
    samples = Samples(torch.randn(20, 6), torch.arange(20) % 3, 3)
    network = SGD(MLP((7,)), epochs=4, batch_size=5).fit(samples, rng=np.random.default_rng(0))
    assert leave_one_out_flops(network.trajectory) == 6 * (6 * 7 + 7 * 3) * 4 * 20**2


def test_forward_flops():
    """Against torch's own counter, a convolutional network."""
    module, row = CNN((2, 3), 4).build(torch.Size([1, 8, 8]), 10), torch.randn(1, 1, 8, 8)
    with FlopCounterMode(display=False) as counter:
        module(row)
    assert forward_flops(module, row) == counter.get_total_flops()

from dataclasses import replace

import numpy as np
import pytest
import torch
from earnest.methods.cleansing.acc_sgd_ie import AccSGDIE, shifts

from bench.data import Samples
from bench.models.influence import leave_one_out, sgd_influence
from bench.models.network import CNN, MLP, initial
from bench.models.optimiser import Momentum
from bench.models.sgd import SGD, row_losses
from bench.models.stack import flatten
from bench.models.trajectory import Objective, Schedule, run
from bench.tasks.base import Unsupported

N, EPOCHS, DECAY = 9, 3, 0.03
RNG = np.random.default_rng


def recorded(architecture, n_classes, stride=1):
    """A tiny run in float64."""
    rng = RNG(0)
    inputs, targets = torch.tensor(rng.normal(size=(N, 3))), torch.tensor(rng.normal(size=N))
    if n_classes:
        targets = torch.tensor(rng.integers(n_classes, size=N))
    module = initial(architecture, torch.Size([3]), max(n_classes, 1), rng=rng).double()
    rows = [torch.tensor(b) for _ in range(EPOCHS) for b in np.array_split(rng.permutation(N), 2)]
    schedule = Schedule.of(rows, [0.3 / (1 + t) for t in range(len(rows))], 2)
    objective = Objective(module, row_losses, Samples(inputs, targets, n_classes), DECAY)
    return run(objective, schedule, flatten(module), stride)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("architecture", "n_classes"), [(MLP((4,), "tanh"), 3), (MLP((4,)), 2), (MLP(), 0)]
)
def test_the_recursion(architecture, n_classes, stride):
    """Row by row with gradients and Hessians formed in full."""
    trajectory = recorded(architecture, n_classes, stride)
    objective, schedule = trajectory.objective, trajectory.schedule
    whole = recorded(architecture, n_classes)
    expected = torch.zeros(N, len(trajectory.final)).double()
    for t, rate in enumerate(schedule.rates):
        rows, theta = schedule.batch(t), whole.snapshots[t]

        def loss(flat, i):
            return objective.losses(flat[None], torch.tensor([i]))[0, 0]

        hessians = {
            i: torch.autograd.functional.hessian(lambda f, i=i: loss(f, i), theta)
            for i in rows.tolist()
        }
        for j in range(N):
            moved = sum(hessians[i] @ expected[j] for i in rows.tolist() if i != j)
            expected[j] -= rate / len(rows) * moved
            if j in hessians:
                gradient = torch.autograd.functional.jacobian(lambda f, j=j: loss(f, j), theta)
                expected[j] += rate / len(rows) * gradient
    torch.testing.assert_close(shifts(trajectory), expected, rtol=1e-9, atol=1e-12)


def test_quadratic_losses_are_exact():
    """Where gradients are affine, delta_j is theta_-j - theta whatever the number of epochs."""
    trajectory = recorded(MLP(), 0)
    finals = trajectory.retrain(~torch.eye(N, dtype=torch.bool))
    torch.testing.assert_close(shifts(trajectory), finals - trajectory.final, rtol=0, atol=1e-13)
    query = torch.randn(len(trajectory.final)).double()
    linear = sgd_influence(trajectory, query)
    assert not torch.allclose(shifts(trajectory) @ query, linear, rtol=1e-3)


@pytest.mark.parametrize(("read_out", "at_least"), [("loss", 0.999), ("linear", 0.95)])
def test_it_is_nearly_the_truth_on_a_convex_problem(read_out, at_least, ask):
    """Logistic regression: the correlation with the true leave-one-out."""
    asked = ask(SGD(MLP(), epochs=20, batch_size=10, single_logit=True, weight_decay=0.01))
    truth = leave_one_out(asked.trajectory, asked.validation).numpy()
    values = AccSGDIE(read_out).explain(asked, rng=RNG(0)).values
    assert np.corrcoef(values, truth)[0, 1] > at_least


def test_what_it_cannot_do(ask):
    """Another optimiser, another network, or too much work: a reason."""
    recipe = SGD(MLP((4,)), epochs=2, batch_size=10)
    with pytest.raises(Unsupported, match="trained by SGD without augmentation"):
        AccSGDIE().explain(ask(replace(recipe, optimiser=Momentum())), rng=RNG(0))
    with pytest.raises(Unsupported, match="floating-point operations, over 10"):
        AccSGDIE(flops=10).explain(ask(recipe), rng=RNG(0))
    samples = Samples(torch.rand(10, 1, 4, 4), torch.arange(10) % 2, 2)
    conv = SGD(CNN((2,), 3), epochs=1).fit(samples, rng=RNG(0)).trajectory
    with pytest.raises(Unsupported, match="chain of linear layers"):
        shifts(conv)

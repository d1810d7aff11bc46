import numpy as np
import pytest
import torch
from earnest.methods.cleansing.leave_one_out import LeaveOneOut
from earnest.methods.cleansing.own_loss import OwnLoss
from earnest.methods.cleansing.random import Random
from earnest.methods.cleansing.screen_and_verify import ScreenAndVerify, extremes, merged
from earnest.methods.cleansing.sgd_influence import SGDInfluence

from bench.data import Samples
from bench.models.influence import leave_one_out
from bench.models.network import CNN, MLP
from bench.models.sgd import SGD
from bench.scores.rank_agreement import jaccard_of_extremes, kendall_tau
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem

RNG = np.random.default_rng
RECIPE = SGD(MLP((8, 8)), epochs=20, batch_size=10, learning_rate=0.3, single_logit=True)


@pytest.mark.parametrize("screen", [SGDInfluence(), OwnLoss(), Random()])
def test_the_ends_have_the_true_changes(screen, ask):
    """Verified rows bear the truth, all others keep the order of the screen."""
    asked = ask(RECIPE)
    truth = leave_one_out(asked.trajectory, asked.validation).numpy()
    estimates = screen.explain(asked, rng=RNG(0)).values
    values = ScreenAndVerify(screen, verify=8).explain(asked, rng=RNG(0)).values
    rows = np.argsort(estimates, kind="stable")
    ends, rest = np.r_[rows[:8], rows[-8:]], rows[8:-8]
    np.testing.assert_allclose(values[ends], truth[ends], atol=1e-6)
    assert (np.diff(values[rest]) >= 0).all()


def test_verification_finds_the_extremes_on_relu(ask):
    """A quarter of the rows at each end verified: nearer to the truth than the screen."""
    asked = ask(RECIPE, n=100)
    truth = leave_one_out(asked.trajectory, asked.validation).numpy()
    screen = SGDInfluence()
    before = screen.explain(asked, rng=RNG(0)).values
    after = ScreenAndVerify(screen, verify=25).explain(asked, rng=RNG(0)).values
    assert jaccard_of_extremes(after, truth, 10) > jaccard_of_extremes(before, truth, 10)
    assert kendall_tau(after, truth) > kendall_tau(before, truth)


def test_all_verified_is_the_truth(ask):
    """Where k + k is all rows or more, each is verified once."""
    asked = ask(RECIPE)
    truth = LeaveOneOut().explain(asked, rng=RNG(0)).values
    values = ScreenAndVerify(Random(), verify=40).explain(asked, rng=RNG(0)).values
    np.testing.assert_allclose(values, truth, atol=1e-6)


def test_merging():
    """A line through the verified brings the rest to their unit; one that falls is laid flat."""
    estimates = np.array([-3.0, -2.0, 0.0, 1.0, 2.0])
    rows, truth = np.array([0, 4]), np.array([-0.1, 0.1])
    assert merged(estimates, rows, truth) == pytest.approx([-0.1, -0.06, 0.02, 0.06, 0.1])
    flat = merged(estimates, rows, -truth)
    assert flat[[0, 4]] == pytest.approx([0.1, -0.1])
    assert (np.diff(flat[1:4]) > 0).all()
    assert np.abs(flat[1:4]).max() < 2e-4
    constant = merged(np.zeros(4), np.array([0, 3]), np.array([-1.0, 2.0]))
    assert constant == pytest.approx([-1.0, 0.5, 0.5, 2.0])
    assert extremes(np.array([3.0, 1.0, 2.0]), 2).tolist() == [0, 1, 2]


def test_a_few_rows_far_out_move_no_unverified_one_ahead():
    """Estimates whose order is perfect and whose tails are far too light keep their order."""
    estimates = RNG(0).normal(size=200)
    truth = np.sinh(3 * estimates) + 40 * (estimates > 2)
    rows = extremes(estimates, 30)
    values = merged(estimates, rows, truth[rows])
    assert np.array_equal(np.argsort(values)[:10], np.argsort(truth)[:10])
    assert kendall_tau(values, truth) > 0.9


def test_what_is_refused(ask):
    """No rows to verify, or more work than is allowed."""
    with pytest.raises(ValueError, match="verify=0: wanted at least 1"):
        ScreenAndVerify(Random(), verify=0)
    with pytest.raises(Unsupported, match="floating-point operations, over 1000"):
        ScreenAndVerify(Random(), flops=1000).explain(ask(RECIPE), rng=RNG(0))


def test_the_cost_formula_chooses(ask):
    """Within the budget the truth, beyond it the other method, or a reason."""
    asked = ask(RECIPE)
    truth = LeaveOneOut().explain(asked, rng=RNG(0)).values
    affordable = LeaveOneOut(otherwise=SGDInfluence()).explain(asked, rng=RNG(0)).values
    assert np.array_equal(affordable, truth)
    beyond = LeaveOneOut(1e3, SGDInfluence()).explain(asked, rng=RNG(0)).values
    assert np.array_equal(beyond, SGDInfluence().explain(asked, rng=RNG(0)).values)


def test_convolutional_networks_are_verified_too():
    """One model after another there: still the truth at the ends."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(24, 1, 6, 6, generator=generator)
    samples = Samples(inputs, (inputs.mean((1, 2, 3)) > 0.5).long(), 2)
    train, query = samples.rows(np.arange(16)), samples.rows(np.arange(16, 24))
    model = SGD(CNN((2,), 4), epochs=3, batch_size=4).fit(train, rng=RNG(0))
    asked = CleansingProblem(model, train, query)
    values = ScreenAndVerify(SGDInfluence(), verify=3).explain(asked, rng=RNG(0)).values
    truth = leave_one_out(model.trajectory, query).numpy()
    rows = extremes(SGDInfluence().explain(asked, rng=RNG(0)).values, 3)
    np.testing.assert_allclose(values[rows], truth[rows], atol=1e-6)

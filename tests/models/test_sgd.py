from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.data import Samples
from bench.models.network import CNN, MLP
from bench.models.optimiser import PLAIN, Adam, Decoupled, Momentum
from bench.models.rates import Cosine, WarmUp
from bench.models.sgd import SGD, row_losses


def samples(n_classes=3, shape=(4,)):
    rng = np.random.default_rng(1)
    inputs = torch.tensor(rng.normal(size=(30, *shape))).float()
    if not n_classes:
        return Samples(inputs, inputs.flatten(1)[:, 0] * 2, 0)
    return Samples(inputs, torch.tensor(rng.integers(n_classes, size=30)), n_classes)


RECIPE = SGD(MLP((5,)), epochs=3, batch_size=8)


def test_row_losses():
    """Cross-entropy for classes, the logistic loss for a single logit, half squares else."""
    margins, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = functional.cross_entropy(margins, targets, reduction="none")
    torch.testing.assert_close(row_losses(margins, targets), expected)
    torch.testing.assert_close(row_losses(margins.expand(2, 6, 3), targets)[1], expected)
    logit, labels = torch.randn(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])
    logistic = functional.binary_cross_entropy_with_logits(
        logit[:, 0], labels.float(), reduction="none"
    )
    torch.testing.assert_close(row_losses(logit, labels), logistic)
    real = torch.randn(6)
    torch.testing.assert_close(row_losses(logit, real), (logit[:, 0] - real) ** 2 / 2)


def test_same_seed_same_network():
    """The generator alone decides; the global random state is neither read nor moved."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = RECIPE.fit(samples(), rng=np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    second = RECIPE.fit(samples(), rng=np.random.default_rng(0))
    other = RECIPE.fit(samples(), rng=np.random.default_rng(1))
    inputs = samples().inputs
    assert torch.equal(first.margins(inputs), second.margins(inputs))
    assert not torch.equal(first.margins(inputs), other.margins(inputs))


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("small_bytes", [0, 2**20])
def test_the_cache_gives_back_the_same_network(n_classes, small_bytes, monkeypatch):
    """arrays -> restore keeps margins and every step, kept by steps or by epochs."""
    monkeypatch.setattr("bench.models.sgd.SMALL_BYTES", small_bytes)
    data = samples(n_classes)
    network = RECIPE.fit(data, rng=np.random.default_rng(0))
    restored = RECIPE.restore(RECIPE.arrays(network), data)
    assert network.trajectory.stride == (1 if small_bytes else 4)
    assert torch.equal(network.margins(data.inputs), restored.margins(data.inputs))
    steps = network.trajectory.backwards(), restored.trajectory.backwards()
    for (theta, rows, rate), (theta_again, rows_again, rate_again) in zip(*steps, strict=True):
        assert torch.equal(theta, theta_again)
        assert torch.equal(rows, rows_again)
        assert rate == rate_again


def test_a_convolutional_network_is_kept_by_epochs():
    """Where every step would take more than the limit, one model an epoch is kept."""
    recipe = SGD(CNN((8, 16), 64), epochs=30, batch_size=1)
    network = recipe.fit(samples(shape=(1, 8, 8)), rng=np.random.default_rng(0))
    assert network.trajectory.stride == 30
    assert sum(array.nbytes for array in recipe.arrays(network).values()) < 8 * 2**20


def test_every_row_once_an_epoch_in_nearly_equal_batches():
    """Each epoch is a permutation, dealt as evenly as can be."""
    schedule = RECIPE.fit(samples(), rng=np.random.default_rng(0)).trajectory.schedule
    assert [len(schedule.batch(t)) for t in range(12)] == [8, 8, 7, 7] * 3
    for epoch in range(3):
        seen = torch.cat([schedule.batch(t) for t in range(4 * epoch, 4 * epoch + 4)])
        assert sorted(seen.tolist()) == list(range(30))


def test_rates_fall_as_the_square_root():
    """After step c the rate is multiplied by sqrt(c / (c + 1))."""
    recipe = SGD(MLP(), epochs=2, batch_size=10, learning_rate=0.5, decay="sqrt")
    rates = recipe.fit(samples(), rng=np.random.default_rng(0)).trajectory.schedule.rates
    expected = [0.5]
    for c in range(1, 6):
        expected.append(expected[-1] * (c / (c + 1)) ** 0.5)
    assert rates == pytest.approx(expected)


def test_a_name_stands_for_its_rates():
    """Half a cosine, by name and as an object."""
    named, given = (
        SGD(MLP(), epochs=2, batch_size=10, learning_rate=0.5, decay=decay)
        .fit(samples(), rng=np.random.default_rng(0))
        .trajectory.schedule.rates
        for decay in ("cosine", Cosine())
    )
    assert named == given
    assert named[0] == 0.5 > named[-1]


def test_training_lowers_the_loss():
    """Regression on a linear target ends near it."""
    data = samples(0)
    network = SGD(MLP(), epochs=200, batch_size=8).fit(data, rng=np.random.default_rng(0))
    assert row_losses(network.margins(data.inputs), data.targets).max() < 1e-6


def test_unrecorded_networks_are_not_retrained():
    """Without the run there is no counterfactual; the error says what to set."""
    recipe = SGD(MLP(), epochs=2, record=False)
    network = recipe.fit(samples(), rng=np.random.default_rng(0))
    assert network.trajectory is None
    assert recipe.capabilities == {"black_box", "gradient"}
    assert list(recipe.arrays(network)) == ["final"]
    with pytest.raises(ValueError, match="record=true"):
        network.retrain(torch.ones(1, 30, dtype=torch.bool))
    recorded = SGD(MLP(), epochs=2).fit(samples(), rng=np.random.default_rng(0))
    (again,) = recorded.retrain(torch.ones(1, 30, dtype=torch.bool))
    found, wanted = (each.margins(samples().inputs) for each in (again, network))
    # Doubles of networks in single precision, trained by two programs.
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_wrong_numbers_are_refused():
    """A value that can't train is named."""
    with pytest.raises(ValueError, match="epochs=0: wanted more than 0"):
        SGD(MLP(), epochs=0)
    with pytest.raises(ValueError, match="single_logit wants 2 classes, not 3"):
        SGD(MLP(), single_logit=True).fit(samples(), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="training diverged at step"):
        SGD(MLP(), epochs=50, learning_rate=1e6, weight_decay=1.0).fit(
            samples(0), rng=np.random.default_rng(0)
        )


@pytest.mark.parametrize("checkpoints", ["auto", "every_step", "every_epoch", "sqrt"])
@pytest.mark.parametrize(
    "optimiser", [Momentum(nesterov=True), Adam(), Decoupled(Adam(), 0.1), Decoupled(PLAIN, 0.1)]
)
def test_any_optimiser_and_policy_comes_back_from_the_cache(optimiser, checkpoints):
    """Parameters and states of every step, and retraining, after arrays -> restore."""
    rates = WarmUp(1, Cosine())
    recipe = replace(RECIPE, optimiser=optimiser, checkpoints=checkpoints, decay=rates)
    data = samples()
    network = recipe.fit(data, rng=np.random.default_rng(0))
    restored = recipe.restore(recipe.arrays(network), data)
    strides = {"auto": 1, "every_step": 1, "every_epoch": 4, "sqrt": 4}
    assert restored.trajectory.stride == strides[checkpoints]
    assert restored.trajectory.schedule.rates == rates.rates(0.1, 12, 4)
    for one, other in zip(
        network.trajectory.stretches(), restored.trajectory.stretches(), strict=True
    ):
        assert torch.equal(one.thetas, other.thetas)
        assert torch.equal(one.states, other.states)
    keep = torch.rand(2, 30, generator=torch.Generator().manual_seed(0)) < 0.8
    assert torch.equal(network.trajectory.retrain(keep), restored.trajectory.retrain(keep))


def test_states_count_in_what_is_kept(monkeypatch):
    """Adam keeps three numbers a parameter: past the limit an epoch is the stride."""
    kept = 13 * (5 * 5 + 5 * 3 + 3) * 4
    monkeypatch.setattr("bench.models.sgd.SMALL_BYTES", kept)
    for optimiser, stride in [(PLAIN, 1), (Adam(), 4)]:
        recipe = replace(RECIPE, optimiser=optimiser)
        network = recipe.fit(samples(), rng=np.random.default_rng(0))
        assert network.trajectory.stride == stride

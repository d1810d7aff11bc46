import numpy as np
import pytest
import torch
from torch import nn

from bench.data import Samples
from bench.models.convolutional import VGG, ResNet
from bench.models.fixed_norm import fixed
from bench.models.influence import mean_losses, query_gradient, sgd_influence
from bench.models.network import MLP
from bench.models.sgd import SGD


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4),
        nn.BatchNorm1d(4), nn.Linear(4, 2),
    )  # fmt: skip


def test_statistics_are_those_of_the_inputs():
    """Mean and variance of each layer's inputs, the layers before already normalised by theirs."""
    inputs, module = torch.randn(50, 1, 6, 6), net()
    fixed(module, inputs)
    before = module[0](inputs)
    torch.testing.assert_close(module[1].running_mean, before.mean((0, 2, 3)))
    torch.testing.assert_close(module[1].running_var, before.var((0, 2, 3)))
    hidden = module[:5](inputs)
    torch.testing.assert_close(module[5].running_mean, hidden.mean(0), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(module[5].running_var, hidden.var(0), rtol=1e-2, atol=1e-4)
    assert not module.training
    assert module[1].momentum == 0.1


def test_rows_are_independent_then():
    """A row's output is the same whoever is with it, and the network isn't changed by rows."""
    inputs, module = torch.randn(50, 1, 6, 6), fixed(net(), torch.randn(50, 1, 6, 6))
    whole = module(inputs)
    torch.testing.assert_close(module(inputs[7:8]), whole[7:8])


def test_other_buffers_are_refused():
    """A buffer that isn't batch norm's is named, and what to do instead."""
    module = MLP().build(torch.Size([3]), 2)
    module.register_buffer("scale", torch.ones(1))
    with pytest.raises(ValueError, match="this network has scale: train it by .*Trained"):
        fixed(module, torch.randn(4, 3))


@pytest.mark.parametrize(
    "architecture",
    [ResNet(1, (2, 3), norm="batch"), VGG(((2,), (3,)), hidden=3, norm="batch")],
)
def test_a_normed_network_has_a_run_like_any_other(architecture):
    """Recorded, restored, retrained; the influence is the change of a row's weight."""
    rng = np.random.default_rng(0)
    samples = Samples(torch.rand(20, 1, 8, 8), torch.tensor(rng.integers(2, size=20)), 2)
    recipe = SGD(architecture, 2, 5, learning_rate=0.003, checkpoints="every_epoch")
    network = recipe.fit(samples, rng=np.random.default_rng(1))
    restored = recipe.restore(recipe.arrays(network), samples)
    assert torch.equal(network.margins(samples.inputs), restored.margins(samples.inputs))
    run, again = network.trajectory, restored.trajectory
    query = query_gradient(run.objective, run.final, samples)
    whole = sgd_influence(run, query)
    assert torch.equal(sgd_influence(again, query), whole)
    keep = ~torch.eye(20, dtype=torch.bool)
    (alone,) = network.retrain(keep[3:4])
    inputs = samples.inputs
    change = mean_losses(run.objective, again.retrain(keep), samples)[3]
    base = mean_losses(run.objective, run.final[None], samples)[0]
    loss = run.objective.loss(alone.margins(inputs), samples.targets).mean()
    assert loss.item() == pytest.approx(float(change), abs=1e-6)
    truth = mean_losses(run.objective, run.retrain(keep), samples) - base
    assert np.corrcoef(whole.numpy(), truth.numpy())[0, 1] > 0.95


def test_unrecorded_networks_keep_their_statistics():
    """record=False: the last weights and the buffers are all there is."""
    samples = Samples(torch.rand(20, 1, 8, 8), torch.arange(20) % 2, 2)
    recipe = SGD(ResNet(1, (2,)), epochs=1, batch_size=5, record=False)
    network = recipe.fit(samples, rng=np.random.default_rng(1))
    restored = recipe.restore(recipe.arrays(network), samples)
    assert torch.equal(network.margins(samples.inputs), restored.margins(samples.inputs))

"""Convolutional networks and the recipe that trains them by torch's optimisers."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.data import Samples
from bench.models.base import StorableRecipe
from bench.models.convolutional import VGG, ResNet
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.models.trained import Trained


def pictures(n: int = 120, side: int = 16) -> Samples:
    """Bright left halves or bright right ones, in noise."""
    rng = np.random.default_rng(0)
    targets = np.arange(n) % 2
    pixels = rng.uniform(0, 0.5, (n, 3, side, side))
    pixels[targets == 0, :, :, : side // 2] += 0.3
    pixels[targets == 1, :, :, side // 2 :] += 0.3
    return Samples(torch.tensor(pixels).float(), torch.tensor(targets), 2)


@pytest.mark.parametrize(
    ("architecture", "layers", "parameters"),
    [
        (ResNet(1), 8, 78_042),
        (ResNet(3), 20, 272_474),
        (ResNet(1, norm="group"), 8, 78_042),
        (VGG(), 8, None),
    ],
)
def test_depth_and_size(architecture, layers: int, parameters: int | None):
    """6 n + 2 layers with weights, as in the ResNet paper's table (0.27 million for 20); two
    shortcuts are convolutions besides. Ten outputs for images of 32x32."""
    net = architecture.build(torch.Size([3, 32, 32]), 10)
    weighty = [
        name
        for name, part in net.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(weighty) == layers
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    if parameters is not None:
        assert sum(p.numel() for p in net.parameters()) == parameters


def test_a_residual_block_is_its_formula():
    """relu(x + f(x)) where shapes stay: with f's last weights 0 it is relu(x)."""
    net = ResNet(1, (4,), "none").build(torch.Size([2, 6, 6]), 3)
    block = net[3]
    inputs = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(inputs), (inputs + block.body(inputs)).relu())
    nn.init.zeros_(block.body[3].weight)
    nn.init.zeros_(block.body[3].bias)
    torch.testing.assert_close(block(inputs), inputs.relu())


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("architecture", [ResNet(1, (8, 8)), VGG(((8,), (8,)), 8)])
def test_it_learns(architecture, optimiser: str):
    """Halves of pictures are told apart; the model is in eval mode, so rows don't mix."""
    rate = 0.05 if optimiser == "sgd" else 0.01
    recipe = Trained(architecture, epochs=6, batch_size=16, optimiser=optimiser, learning_rate=rate)
    data = pictures()
    model = recipe.fit(data, rng=np.random.default_rng(0))
    with torch.no_grad():
        margins = model.margins(data.inputs)
        alone = model.margins(data.inputs[:1])
    assert (margins.argmax(1) == data.targets).double().mean() > 0.95
    torch.testing.assert_close(alone[0], margins[0], atol=1e-5, rtol=1e-5)
    assert not any(part.training for part in model.module.modules())


def test_the_same_rng_trains_the_same_network_and_global_randomness_is_left_alone():
    """Batch norm's averages and dropout's masks included; arrays make it again to the bit."""

    class Dropped:
        def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
            middle = (nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, n_outputs))
            return nn.Sequential(nn.Flatten(), *middle)

    data = Samples(torch.randn(50, 12), torch.arange(50) % 3, 3)
    recipe = Trained(Dropped(), epochs=2, batch_size=8)
    state = torch.get_rng_state()
    one, two, three = (recipe.fit(data, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        margins = one.margins(data.inputs)
        assert torch.equal(margins, two.margins(data.inputs))
        assert not torch.equal(margins, three.margins(data.inputs))
        assert isinstance(recipe, StorableRecipe)
        again = recipe.restore(recipe.arrays(one), data)
        assert torch.equal(margins, again.margins(data.inputs))


def test_plain_sgd_is_the_recorded_one():
    """Without momentum and decay a step is theta - rate grad, as the recorded SGD's: from the same
    start and batches the same network comes out."""
    data = Samples(torch.randn(30, 4), torch.arange(30) % 2, 2)
    plain = Trained(
        MLP((5,)), epochs=1, batch_size=30, momentum=0.0, weight_decay=0.0, decay="none"
    )
    rate = plain.learning_rate
    start = Trained(MLP((5,)), epochs=1, batch_size=30, learning_rate=1e-30, weight_decay=0.0)
    recorded = SGD(MLP((5,)), epochs=1, batch_size=30, learning_rate=rate)
    found = plain.fit(data, rng=np.random.default_rng(4)).module.state_dict()
    wanted = recorded.fit(data, rng=np.random.default_rng(4)).module.state_dict()
    unmoved = start.fit(data, rng=np.random.default_rng(4)).module.state_dict()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name])
        assert not torch.equal(value, unmoved[name])


def test_regression_and_divergence():
    """Numbers are fitted by squared errors; a rate too high is named."""
    inputs = torch.randn(64, 3)
    data = Samples(inputs, inputs.sum(1), 0)
    recipe = Trained(MLP(), epochs=30, batch_size=16, weight_decay=0.0)
    model = recipe.fit(data, rng=np.random.default_rng(0))
    with torch.no_grad():
        torch.testing.assert_close(
            model.margins(inputs)[:, 0], inputs.sum(1).double(), atol=0.05, rtol=0.05
        )
    with pytest.raises(ValueError, match="training diverged"):
        Trained(MLP(), learning_rate=1e10).fit(data, rng=np.random.default_rng(0))


def test_recorded_sgd_trains_residual_networks_of_any_norm():
    """Batch norm's statistics are fixed there; retrained on all rows it is the network itself."""
    data = pictures(16, 8)
    for norm in ("batch", "group", "none"):
        model = SGD(ResNet(1, (4,), norm), epochs=1).fit(data, rng=np.random.default_rng(0))
        assert model.trajectory is not None
        keep = torch.ones((1, 16), dtype=torch.bool)
        again = model.retrain(keep)[0]
        assert torch.equal(model.margins(data.inputs), again.margins(data.inputs))


def test_impossible_numbers():
    with pytest.raises(ValueError, match="epochs=0"):
        Trained(MLP(), epochs=0)
    with pytest.raises(ValueError, match="blocks=0"):
        ResNet(0)
    with pytest.raises(ValueError, match="leave nothing"):
        VGG().build(torch.Size([3, 4, 4]), 2)

"""The network for when no gradient is wanted against the network itself."""

import pytest
import torch
from torch import nn

from bench.models.forward_only import forward_only
from bench.models.network import CNN, Network
from bench.setfunction.memory_format import channels_last


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "cnn": CNN((4, 6), 8).build(torch.Size((2, 9, 9)), 3),
        "pool of 3": nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        "ceil": nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten()
        ),
        "ReLU first": nn.Sequential(nn.ReLU(), nn.Flatten(), nn.ReLU(), nn.Linear(162, 2)),
        "nested": nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), nn.ReLU(), nn.Flatten()
        ),
        "mlp": nn.Sequential(nn.Flatten(), nn.Linear(162, 9), nn.ReLU(), nn.Linear(9, 2)),
        "average": nn.Sequential(
            nn.Conv2d(2, 4, 3, padding="same"),
            nn.AvgPool2d(2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 3, 2, groups=1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        "circular": nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Flatten()
        ),
        "own": nn.Linear(9, 2),
    }


@pytest.mark.parametrize("name", list(networks()))
@pytest.mark.parametrize("last", [False, True])
def test_it_answers_as_the_network(name: str, last: bool):
    """Up to rounding, in both memory formats, and the inputs stay as they were."""
    module = networks()[name].eval()
    inputs = torch.randn(5, 2, 9, 9, generator=torch.Generator().manual_seed(1))
    inputs = channels_last(inputs) if last else inputs
    if name == "own":
        inputs = inputs[:, 0, 0]
    before = inputs.clone()
    with torch.no_grad():
        torch.testing.assert_close(
            forward_only(module)(inputs), module(inputs), rtol=1e-5, atol=1e-6
        )
    assert torch.equal(inputs, before)


def test_a_hook_on_a_layer_is_called():
    """Whoever looks at a layer gets the network as it is; one on the whole may be left out."""
    module = networks()["cnn"].eval()
    seen = []
    module[0].register_forward_hook(lambda *_: seen.append(1))
    assert forward_only(module) is module
    with torch.no_grad():
        forward_only(module)(torch.zeros(1, 2, 9, 9))
    assert seen


def test_rows_are_counted():
    """The rows that go through without the module being called count as well."""
    model = Network(networks()["cnn"].eval(), 3)
    with torch.no_grad():
        found = model.forward_only()(torch.zeros(7, 2, 9, 9))
        torch.testing.assert_close(found, model.margins(torch.zeros(7, 2, 9, 9)))
    assert model.calls.forward == 7

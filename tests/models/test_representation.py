import pytest
import torch

from bench.isolation import Unsupported
from bench.models import representation
from bench.models.network import CNN, MLP
from bench.models.representation import penultimate


def test_features_are_the_last_layers_inputs(monkeypatch: pytest.MonkeyPatch):
    """The network's output is its last layer of them; parts give the same; no hook stays."""
    module, inputs = MLP().build(torch.Size([5]), 3), torch.randn(20, 5)
    found = penultimate(module, inputs)
    last = representation.last_layer(module)
    torch.testing.assert_close(last(found), module(inputs))
    monkeypatch.setattr(representation, "CHUNK_ROWS", 7)
    torch.testing.assert_close(penultimate(module, inputs), found)
    assert not last._forward_hooks


def test_a_convolutional_network_ends_in_a_linear_layer():
    assert penultimate(CNN().build(torch.Size([1, 8, 8]), 2), torch.zeros(3, 1, 8, 8)).ndim == 2


def test_networks_that_end_otherwise_are_named():
    with pytest.raises(Unsupported, match="needs a network: its last linear layer"):
        penultimate(None, torch.zeros(1, 2))
    other = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    with pytest.raises(Unsupported, match="ends in a linear layer"):
        penultimate(other, torch.zeros(1, 2))

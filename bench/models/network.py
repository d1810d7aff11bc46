"""Networks: architectures as data, and the trained model around a module."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bench.clock import Calls
from bench.models.forward_only import forward_only
from bench.models.stack import unflatten
from bench.models.trajectory import Trajectory

Activation = Literal["relu", "gelu", "softplus", "tanh"]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


@runtime_checkable
class Architecture(Protocol):
    """A frozen dataclass that builds an untrained module."""

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        """A module from inputs of `shape` (no batch axis) to `n_outputs` numbers."""
        ...


@dataclass(frozen=True)
class MLP:
    """Linear layers with an activation between them; no `widths`: a linear model."""

    widths: tuple[int, ...] = ()
    activation: Activation = "relu"

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        sizes = [int(np.prod(shape)), *self.widths, n_outputs]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[self.activation]()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class CNN:
    """3x3 convolutions, one 2x2 max pooling, one hidden linear layer."""

    channels: tuple[int, ...] = (16, 32)
    hidden: int = 64

    def build(self, shape: torch.Size, n_outputs: int) -> nn.Module:
        depth, height, width = shape
        layers: list[nn.Module] = []
        for channels in self.channels:
            layers += [nn.Conv2d(depth, channels, 3, padding=1), nn.ReLU()]
            depth = channels
        layers += [nn.MaxPool2d(2), nn.Flatten()]
        flat = depth * (height // 2) * (width // 2)
        layers += [nn.Linear(flat, self.hidden), nn.ReLU(), nn.Linear(self.hidden, n_outputs)]
        return nn.Sequential(*layers)


def as_margins(outputs: Float[Tensor, "*n k"], n_classes: int) -> Float[Tensor, "*n outputs"]:
    """One column a class: a single logit z of two classes stands for the margins (0, z)."""
    if n_classes == 2 and outputs.shape[-1] == 1:
        return torch.cat([torch.zeros_like(outputs), outputs], dim=-1)
    if outputs.shape[-1] != max(n_classes, 1):
        wanted = {0: "a regression wants one", 2: "n_classes=2 wants 2, or 1, the logit"}
        text = wanted.get(n_classes, f"n_classes={n_classes} wants as many")
        raise ValueError(f"the network gives {outputs.shape[-1]} outputs: {text}")
    return outputs


@dataclass(frozen=True)
class Network:
    """A trained network; see `bench.models.base.Model`."""

    module: nn.Module
    n_classes: int
    trajectory: Trajectory | None = None
    calls: Calls = field(default_factory=Calls)

    def margins(self, inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
        return as_margins(self.module(inputs), self.n_classes).double()

    def forward_only(self) -> Callable[[Float[Tensor, "n *f"]], Float[Tensor, "n outputs"]]:
        """`margins` for when no gradient is wanted: fewer passes over memory, rows counted."""
        forward = forward_only(self.module)

        def margins(inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
            if forward is not self.module:  # whose hook counts
                self.calls.forward += len(inputs)
            return as_margins(forward(inputs), self.n_classes).double()

        return margins

    def to(self, device: str | torch.device) -> "Network":
        """A copy on that device; where its training was recorded, trained again there."""
        if self.trajectory is None:
            return replace(self, module=copy.deepcopy(self.module).to(device))
        again = self.trajectory.to(device)
        module = with_parameters(again.objective.module, again.final)
        return replace(self, module=module, trajectory=again)

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> "list[Network]":
        if self.trajectory is None:
            raise ValueError(
                "this network can't be retrained: its training wasn't recorded (record=true does)"
            )
        finals = self.trajectory.retrain(keep)
        return [Network(with_parameters(self.module, flat), self.n_classes) for flat in finals]


def with_parameters(module: nn.Module, flat: Float[Tensor, " p"]) -> nn.Module:
    """A copy of `module` in eval mode with the parameters `flat`."""
    copied = copy.deepcopy(module)
    copied.load_state_dict({**copied.state_dict(), **unflatten(module, flat.detach().clone())})
    return copied.eval()


def initial(
    architecture: Architecture, shape: torch.Size, n_outputs: int, *, rng: np.random.Generator
) -> nn.Module:
    """An untrained module with torch's default initial weights, drawn from `rng`.

    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        return architecture.build(shape, n_outputs).eval()

"""Models of anyone's, named in a yaml: a function, or a network that a function returns."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.given import BlackBox
from bench.models.network import Network


def imported(path: str) -> Callable[..., Any]:
    """What `package.module:name` names.

    Raises
    ------
    ValueError
        where it isn't such a name, can't be imported or isn't callable.
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"{path!r}: wanted package.module:name")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path} can't be imported: {error}") from error
    if not callable(found):
        raise ValueError(f"{path} is no function")
    called: Callable[..., Any] = found
    return called


@dataclass(frozen=True)
class NamedFunction:
    """A function as a black box; nothing is trained.

    It takes float32 inputs `n *features`, as a tensor, and gives a number for each class (one for
    regression), as a tensor or an array `n n_classes`. Whoever names it answers for the test rows
    not having been seen in training.

    Parameters
    ----------
    function : `package.module:name`; the default is an example for two classes.
    gives : what its numbers are; regression has margins only.
    """

    function: str
    gives: Literal["margins", "probabilities"] = "margins"

    version: ClassVar[int] = 1

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> BlackBox:
        return BlackBox(imported(self.function), samples.n_classes, self.gives)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        return {}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> BlackBox:
        return self.fit(samples, rng=np.random.default_rng(0))


@dataclass(frozen=True)
class NamedNetwork:
    """A network that a function without arguments returns, so that gradients are there.

    It is put into eval mode and gives a margin for each class, or one logit of two.

    Parameters
    ----------
    build : `package.module:name` of the function or `nn.Module` class that makes it.
    weights : path of its state dict, read without unpickling objects; None where `build` makes
        it complete.
    """

    build: str
    weights: str | None = None

    version: ClassVar[int] = 1

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "gradient"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        """The network; weights that `build` leaves random are drawn from `rng`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            module = imported(self.build)()
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.build} makes a {type(module).__name__}, no nn.Module")
        if self.weights is not None:
            path = Path(self.weights).expanduser()
            module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return Network(module.eval(), samples.n_classes)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        """Weights and buffers, as random ones can't be drawn again."""
        assert model.module is not None
        return {name: value.numpy() for name, value in model.module.state_dict().items()}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        found = self.fit(samples, rng=np.random.default_rng(0))
        found.module.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
        return found


def mean_input(inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n 2"]:
    """An example of two classes: the margin of the second is the mean of the inputs."""
    mean = inputs.flatten(1).mean(1)
    return torch.stack([torch.zeros_like(mean), mean], dim=1)

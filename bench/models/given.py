"""Models that were trained elsewhere: a user's own module, or any callable."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bench.clock import Calls
from bench.data import Samples
from bench.models.base import Capability, Model

SMALLEST = 1e-300
"""Stands for a probability of 0, whose logarithm would be infinite."""


@dataclass(frozen=True)
class BlackBox:
    """A plain callable as a model; see `bench.models.base.Model`.

    Parameters
    ----------
    function : from float32 inputs `n *features` to `n n_classes` numbers, or `n 1` where
        `n_classes` is 0; a tensor or an array.
    n_classes : 0 for regression.
    gives : what the numbers are; regression has margins only.
    """

    function: Callable[[Tensor], Tensor | np.ndarray]
    n_classes: int
    gives: Literal["margins", "probabilities"] = "margins"
    calls: Calls = field(default_factory=Calls)
    module: None = None
    trajectory: None = None

    def margins(self, inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
        self.calls.forward += len(inputs)
        outputs = torch.as_tensor(self.function(inputs)).double()
        expected = (len(inputs), max(self.n_classes, 1))
        if tuple(outputs.shape) != expected:
            raise ValueError(f"the model gave {tuple(outputs.shape)} numbers, wanted {expected}")
        return outputs.clamp(min=SMALLEST).log() if self.gives == "probabilities" else outputs

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> list[Model]:
        raise ValueError("a model given as a callable can't be trained again")


@dataclass(frozen=True)
class Given:
    """The recipe of a model that is there already: nothing is trained.

    Whoever gives it answers for the test rows not having been seen in training.
    """

    model: Model

    @property
    def capabilities(self) -> frozenset[Capability]:
        gradient: frozenset[Capability] = frozenset({"gradient"} if self.model.module else ())
        recorded: frozenset[Capability] = frozenset(
            {"replay", "retrain"} if self.model.trajectory else ()
        )
        return frozenset[Capability]({"black_box"}) | gradient | recorded

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Model:
        check_evaluates(self.model.module)
        few = samples.inputs[:2]
        try:
            with torch.no_grad():
                self.model.margins(few)
        except Exception as error:  # whatever a user's own code raises
            raise ValueError(
                f"the given model doesn't answer inputs of shape {tuple(few.shape)}, as the data "
                f"set's are encoded: {error}"
            ) from error
        return self.model


def check_evaluates(module: nn.Module | None) -> None:
    """Raise `ValueError` for a network in train mode."""
    if module is not None and any(part.training for part in module.modules()):
        raise ValueError(
            "the given network is in train mode, where dropout and batch norm answer "
            "differently each time: call .eval() first"
        )

"""What a trained model offers, and the recipe that trains it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bench.clock import Calls
from bench.data import Samples

if TYPE_CHECKING:
    from bench.models.trajectory import Trajectory

Capability = Literal["black_box", "gradient", "replay", "retrain"]
"""What a model offers and a method may need.

black_box : margins of any inputs. gradient : a differentiable `module`. replay : the SGD
trajectory by which it was trained. retrain : training again without chosen rows.
"""


@runtime_checkable
class Model(Protocol):
    """A trained model.

    Attributes
    ----------
    n_classes : 0 for regression.
    calls : counts of the rows it was asked.
    module : the network, in eval mode, or None for a black box.
    trajectory : the SGD run that trained it, or None.
    """

    @property
    def n_classes(self) -> int: ...

    @property
    def calls(self) -> Calls: ...

    @property
    def module(self) -> nn.Module | None: ...

    @property
    def trajectory(self) -> "Trajectory | None": ...

    def margins(self, inputs: Float[Tensor, "n *features"]) -> Float[Tensor, "n outputs"]:
        """Scores before the softmax, one column a class, float64; one column for regression.

        Probabilities are their softmax. Differentiable in `inputs` where there is a `module`.
        """
        ...

    def retrain(self, keep: Bool[Tensor, "m n_train"]) -> "Sequence[Model]":
        """The models trained in the same way on the kept rows alone, one per row of `keep`.

        Raises `ValueError` where the model cannot be trained again.
        """
        ...


@runtime_checkable
class Recipe(Protocol):
    """How to train a model: a frozen dataclass, its fields are the hyperparameters."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the trained model will offer."""
        ...

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Model:
        """Train on all of `samples`; raises `ValueError` where the loss becomes NaN."""
        ...


@runtime_checkable
class StorableRecipe(Recipe, Protocol):
    """A recipe whose models the cache keeps as arrays, without a pickle.

    `version` rises when the same fields train another model.
    """

    version: ClassVar[int]

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        """What must be kept to make the model again."""
        ...

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Model:
        """The model that `arrays` came from; `samples` are those it was fitted on."""
        ...

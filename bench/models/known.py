"""Functions whose best explanations are known by theorem, as models that nobody trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.network import Network
from bench.models.stack import flatten

Truth = Literal["affine", "additive", "xor", "copies"]
"""What a true function is made of, see `true_function`."""

PAIR = 2.0
"""Effect of the pair that `xor` and `copies` have: two of the linear terms are larger than half
of it, so that what an explanation makes of the pair changes the order."""

_CURVES: tuple[Callable[[Tensor], Tensor], ...] = (torch.tanh, torch.square, torch.sin, torch.exp)


def slopes(d: int) -> Float[Tensor, " d"]:
    """1.75, -1.5, .. down to nearly 0: sizes all differ, signs take turns."""
    sizes = 1.75 * (1 - torch.arange(d) / (d + 1))
    return sizes * (-1) ** torch.arange(d)


class Additive(nn.Module):
    """sum_i a_i f_i(x_i), f_i in turn tanh, square, sine and exponential."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(slopes(d))

    def forward(self, inputs: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
        columns = enumerate(inputs.unbind(1))
        curved = torch.stack([_CURVES[i % len(_CURVES)](x) for i, x in columns], dim=1)
        return (curved @ self.slopes)[:, None]


class Paired(nn.Module):
    """c h(x_1, x_2) + sum_{i > 2} a_i x_i.

    For `xor` h is x_1 x_2: with a reference of 0 the pair counts only while both are there. For
    `copies` h is max(x_1, x_2, 0) + min(x_1, x_2, 0): where x_1 = x_2 either of them suffices.
    """

    def __init__(self, d: int, kind: Literal["xor", "copies"]) -> None:
        super().__init__()
        self.kind = kind
        self.pair = nn.Parameter(torch.tensor([PAIR]))
        self.slopes = nn.Parameter(slopes(d - 2))

    def forward(self, inputs: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
        both, others = inputs[:, :2], inputs[:, 2:]
        if self.kind == "xor":
            joint = both.prod(1)
        else:
            joint = both.amax(1).clamp(min=0) + both.amin(1).clamp(max=0)
        return (self.pair * joint + others @ self.slopes)[:, None]


def true_function(truth: Truth, d: int) -> nn.Module:
    """The function of `d` inputs to one number: a regression's output or the logit of class 1.

    `affine` is a linear layer, `additive` a sum of curves, `xor` and `copies` are a pair and a
    linear rest. None of them is random.
    """
    if truth == "additive":
        return Additive(d).eval()
    if truth in ("xor", "copies"):
        return Paired(d, truth).eval()
    linear = nn.Linear(d, 1)
    linear.load_state_dict({"weight": slopes(d)[None], "bias": torch.zeros(1)})
    return nn.Sequential(nn.Flatten(), linear).eval()


@dataclass(frozen=True)
class Known:
    """The true function of the synthetic data sets instead of a trained model.

    It is a function of the inputs as a model sees them, that is standardised.

    Parameters
    ----------
    truth : see `true_function`.
    """

    truth: Truth = "affine"

    version: ClassVar[int] = 1

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "gradient"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        """The function itself; of `samples` only the shape counts."""
        if (
            samples.inputs.ndim != 2
            or samples.inputs.shape[1] < 3
            or samples.n_classes not in (0, 2)
        ):
            raise ValueError(
                f"inputs {tuple(samples.inputs.shape)} of {samples.n_classes} classes: known "
                "functions take tables of three inputs or more, for 2 classes or a regression"
            )
        return Network(true_function(self.truth, samples.inputs.shape[1]), samples.n_classes)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert model.module is not None
        return {"parameters": flatten(model.module).numpy()}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        return self.fit(samples, rng=np.random.default_rng(0))

"""A plain function of anyone's, named in a yaml."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int

from bench.models.base import Capability
from bench.setfunction.outcome import outcome
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import seeded

Predict = Callable[[np.ndarray], np.ndarray]
"""From inputs `m *features` to g of every class, `m C` (one column for regression)."""


@dataclass(frozen=True)
class Function:
    """What a function gives that knows nothing of earnest.

    It is called as `function(predict, inputs, targets, baseline, feature_of)`. `predict` takes an
    array of inputs `m *features` and gives g of every class, `m C`; `inputs` and `baseline` are
    `n *features`, and so is `feature_of`, which of the p features a position belongs to;
    `targets` are the n classes to explain. It returns numbers `n p`, larger = more influential.
    The global random states are seeded before.

    Parameters
    ----------
    function : `package.module:name`; `deleted_alone` of this file is an example.

    References
    ----------
    The function's own.
    """

    function: str

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not (module and name):
            raise ValueError(f"function={self.function!r}: wanted package.module:name")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        module, _, name = self.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        with seeded(rng):
            found = function(
                _predict(problem),
                problem.inputs.cpu().numpy().copy(),
                problem.targets.cpu().numpy().copy(),
                problem.baseline.cpu().numpy().copy(),
                problem.partition.of(torch.arange(problem.n)).cpu().numpy().copy(),
            )
        values = np.asarray(found, dtype=float)
        if values.shape != (problem.n, problem.p):
            raise ValueError(
                f"{self.function} gave the shape {values.shape}, wanted {(problem.n, problem.p)}"
            )
        return Attribution(values)


def _predict(problem: AttributionProblem) -> Predict:
    like, classes = problem.inputs, max(1, problem.model.n_classes)

    def predict(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            margins = problem.model.margins(torch.as_tensor(inputs).to(like))
            each = [
                outcome(
                    margins, torch.full_like(problem.targets[:1], c).expand(len(margins)), problem.g
                )
                for c in range(classes)
            ]
        found: np.ndarray = torch.stack(each, dim=1).cpu().numpy()
        return found

    return predict


def deleted_alone(
    predict: Predict,
    inputs: Float[np.ndarray, "n *features"],
    targets: Int[np.ndarray, " n"],
    baseline: Float[np.ndarray, "n *features"],
    feature_of: Int[np.ndarray, "n *features"],
) -> Float[np.ndarray, "n p"]:
    """How much g falls where each feature alone takes the baseline's values."""
    rows = np.arange(len(inputs))
    deleted = [
        predict(np.where(feature_of == i, baseline, inputs))[rows, targets]
        for i in range(feature_of.max() + 1)
    ]
    fall: np.ndarray = predict(inputs)[rows, targets][:, None] - np.stack(deleted, axis=1)
    return fall

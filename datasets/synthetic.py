"""Synthetic tables drawn from functions whose best explanations are known by theorem."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float

from bench.data import Column, Table
from bench.models.known import Truth, true_function

_SEED = 20190
"""Of the one draw that these data sets are."""

_SOURCE = "https://openreview.net/forum?id=H1lS8oA5YQ (the criterion); drawn here"


@dataclass(frozen=True)
class SyntheticNumber:
    """Normal inputs, the target a known function of them and a little normal noise.

    Parameters
    ----------
    truth : the function, see `bench.models.known.true_function`.
    rows, columns : how many.
    noise : its standard deviation.

    References
    ----------
    .. [1] Hara, Ikeno, Soma, Maehara, "Feature Attribution As Feature Selection", 2018.
    """

    truth: Truth = "affine"
    rows: int = 1000
    columns: int = 8
    noise: float = 0.1

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "number"

    def __post_init__(self) -> None:
        _check(self.rows, self.columns)

    def load(self) -> Table:
        """Columns x1, x2, .. and the noisy function."""
        rng = np.random.default_rng(_SEED)
        values = _drawn(self.truth, self.rows, self.columns, rng)
        targets = _response(self.truth, values) + self.noise * rng.normal(size=self.rows)
        return _table(f"synthetic_number_{self.truth}", values, targets, ())


@dataclass(frozen=True)
class SyntheticClasses:
    """Normal inputs, two classes whose log-odds are a known function of them.

    For `xor` the first two inputs are -1 or 1 with equal probability; for `copies` the second
    equals the first.

    Parameters
    ----------
    truth : the function, see `bench.models.known.true_function`.
    rows, columns : how many.

    References
    ----------
    .. [1] Hara, Ikeno, Soma, Maehara, "Feature Attribution As Feature Selection", 2018.
    """

    truth: Truth = "affine"
    rows: int = 1000
    columns: int = 8

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def __post_init__(self) -> None:
        _check(self.rows, self.columns)

    def load(self) -> Table:
        """Columns x1, x2, .. and classes drawn by their log-odds."""
        rng = np.random.default_rng(_SEED)
        values = _drawn(self.truth, self.rows, self.columns, rng)
        probabilities = 1 / (1 + np.exp(-_response(self.truth, values)))
        targets = (rng.random(self.rows) < probabilities).astype(np.int64)
        return _table(f"synthetic_classes_{self.truth}", values, targets, ("no", "yes"))


def _check(rows: int, columns: int) -> None:
    if rows < 1 or columns < 3:
        raise ValueError(f"rows={rows}, columns={columns}: wanted at least 1 and 3")


def _drawn(
    truth: Truth, rows: int, columns: int, rng: np.random.Generator
) -> Float[np.ndarray, "n c"]:
    values = rng.normal(size=(rows, columns))
    if truth == "xor":
        values[:, :2] = np.sign(values[:, :2])
    elif truth == "copies":
        values[:, 1] = values[:, 0]
    return values


def _response(truth: Truth, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    function = true_function(truth, values.shape[1]).double()
    with torch.no_grad():
        response: np.ndarray = function(torch.from_numpy(values)).squeeze(1).numpy()
    return response


def _table(
    name: str, values: Float[np.ndarray, "n c"], targets: np.ndarray, class_names: tuple[str, ...]
) -> Table:
    columns = tuple(Column(f"x{i + 1}") for i in range(values.shape[1]))
    return Table(name, values, columns, targets, class_names, "MIT", _SOURCE)

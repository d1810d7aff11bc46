"""What may take rows over from a black box."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int


@runtime_checkable
class Partner(Protocol):
    """Parts in an order, each of which decides rows that no part before it does.

    A `RuleList` is one that can be read; a control may decide by other means.
    """

    @property
    def labels(self) -> tuple[int, ...]:
        """What it may say."""
        ...

    @property
    def literals(self) -> tuple[int, ...]:
        """What it looks at, one for each time that it does."""
        ...

    def __len__(self) -> int:
        """How many parts there are."""
        ...

    def decided_by(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The place of the part that decides each row of literals, -1 where none does."""
        ...

    def predict(self, values: Bool[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """Each row's label, -1 where no part decides it."""
        ...

    def texts(self, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
        """The parts in words."""
        ...

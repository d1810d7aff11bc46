"""Decisions that favour one of two groups alike in all else: Fukuchi, Hara, Maehara, AAAI 2020."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Column, Table

_SEED = 2020
"""Of the one draw that this data set is."""


@dataclass(frozen=True)
class BiasedCoin:
    """Uniform numbers, a group by the toss of a fair coin, decisions 1[x1 + .2 s > .5].

    The rate of positive decisions is .5 in group 0 and .7 in group 1, the sensitive column `s`.

    Parameters
    ----------
    rows : how many people; the first rows of a larger data set are a smaller one.
    dimensions : of x; of these x1 alone counts.

    References
    ----------
    Fukuchi, Hara, Maehara, *Faking Fairness via Stealthily Biased Sampling*, AAAI 2020, Sec. 5.1.
    """

    rows: int = 1000
    dimensions: int = 1

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.dimensions < 1:
            raise ValueError(
                f"rows={self.rows}, dimensions={self.dimensions}: wanted at least 1 of each"
            )

    def load(self) -> Table:
        """Columns x1, x2, .. and s, and the decisions."""
        of_inputs, of_groups = np.random.default_rng(_SEED).spawn(2)
        inputs = of_inputs.random((self.rows, self.dimensions))
        groups = of_groups.integers(2, size=self.rows)
        return Table(
            name="biased_coin",
            values=np.column_stack([inputs, groups.astype(float)]),
            columns=(
                *(Column(f"x{i + 1}") for i in range(self.dimensions)),
                Column("s", ("0", "1")),
            ),
            targets=(inputs[:, 0] + 0.2 * groups > 0.5).astype(np.int64),
            class_names=("negative", "positive"),
            licence="MIT",
            source="https://arxiv.org/abs/1901.08291 (the distribution); drawn here",
            sensitive="s",
        )

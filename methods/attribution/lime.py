"""LIME: a local linear model of which features are kept."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.models.base import Capability
from bench.setfunction.regression import lime_design, ridge_regression
from bench.tasks.attribution import Attribution, AttributionProblem


@dataclass(frozen=True)
class LIME:
    """Ridge coefficients of F on random masks, weighted by their nearness to the instance.

    The masks are shared by all instances and come in pairs of complements; features that the
    reference leaves as they are get 0. A table's masks are compared by Euclidean distance, an
    image's by cosine distance, as in the authors' package.

    Parameters
    ----------
    samples : masks.
    ridge : penalty on the squared coefficients; large against few samples, it can reorder them.
    table_width : the kernel's width, in square roots of p, where the inputs are rows of a table.
    image_width : the kernel's width where they are images.

    References
    ----------
    Ribeiro, Singh, Guestrin, *"Why Should I Trust You?"*, KDD 2016, Alg. 1 and eq. 2.
    """

    samples: int = 500
    ridge: float = 1.0
    table_width: float = 0.75
    image_width: float = 0.25

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def __post_init__(self) -> None:
        for name in ("samples", "table_width", "image_width"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        if problem.inputs.ndim == 4:
            design = lime_design(problem.p, self.samples, self.image_width, "cosine", rng=rng)
        else:
            width = self.table_width * problem.p**0.5
            design = lime_design(problem.p, self.samples, width, "euclidean", rng=rng)
        return Attribution(ridge_regression(design, problem.value, problem.null, self.ridge))

"""Any explainer of shap that only asks the model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import alone, seeded

from .shap_call import explainer_class


@dataclass(frozen=True)
class ShapPerturbation:
    """Shapley values of F by an explainer of shap, one instance after the other.

    Shap is handed F as a model of p binary columns, 1 = kept, with 0 for its background: so it
    knows any features and any reference. What the reference leaves as it is gets 0 and is no
    column, as shap itself does with a single background row.

    Parameters
    ----------
    explainer : a class of shap that takes a function and a background, like `KernelExplainer`.
    options : keyword arguments of its `shap_values`, or of its call where it has none.

    References
    ----------
    Lundberg, Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017, Sec. 4.
    """

    explainer: str
    options: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})
    imports: ClassVar[tuple[str, ...]] = ("shap",)

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind = explainer_class(self.explainer)
        values = np.zeros((problem.n, problem.p))
        with seeded(rng) as seed:
            # PermutationExplainer sows the global state anew unless it is told a seed.
            made = {"seed": seed} if "seed" in signature(kind).parameters else {}
            for row in range(problem.n):
                live = np.flatnonzero(~problem.null[row])
                if live.size:
                    make = partial(kind, **made)
                    values[row, live] = self._shapley(make, alone(problem, row), live)
                made = {name: number + 1 for name, number in made.items()}
        return Attribution(values)

    def _shapley(
        self, make: Callable[..., Any], problem: AttributionProblem, live: np.ndarray
    ) -> Float[np.ndarray, " live"]:
        def game(kept: np.ndarray) -> np.ndarray:
            masks = np.zeros((len(kept), problem.p), dtype=bool)
            masks[:, live] = np.asarray(kept) < 0.5
            found: np.ndarray = problem.value(masks)[0]
            return found

        explainer = make(game, np.zeros((1, live.size)))
        whole = np.ones((1, live.size))
        if hasattr(explainer, "shap_values"):
            given = explainer.shap_values(whole, **self.options)
        else:
            given = explainer(whole, **self.options).values
        values: np.ndarray = np.asarray(given, dtype=float).ravel()
        return values

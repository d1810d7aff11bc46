"""Shapley values of forests and boosted trees by shap's TreeExplainer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from bench.models.base import Capability
from bench.models.boosting import BoostingModel
from bench.models.forest import ForestModel
from bench.models.trees import Trees
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.base import Unsupported
from bench.tasks.foreign import package, seeded

from .shap_call import explainer_class, together


@dataclass(frozen=True)
class ShapTree:
    """The sum over a feature's positions of the interventional values of shap's TreeExplainer.

    The draws of the reference are its background, so where each position is a feature these are
    the Shapley values of F. They are of what trees add up to: a forest's probabilities, the
    log-odds of two boosted classes, the output of regressions. For the probability of two boosted
    classes the explainer scales the values of the log-odds, draw by draw, until they sum to the
    change of the probability; Shapley values of F these are not. It reads the trees and asks the
    model nothing.

    References
    ----------
    Lundberg, Erion, Chen et al., *From local explanations to global understanding with
    explainable AI for trees*, Nature Machine Intelligence 2020 (interventional TreeExplainer).
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})
    imports: ClassVar[tuple[str, ...]] = ("shap",)

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        kind, maskers = explainer_class("TreeExplainer"), package("shap.maskers")
        found = torch.zeros_like(problem.inputs, dtype=torch.float64).flatten(1)
        with seeded(rng):
            for rows in together(problem):
                draws = problem.reference.of(rows[:1])[0].flatten(1).double().cpu().numpy()
                explainer = kind(
                    _ensemble(problem, int(problem.targets[rows[0]])),
                    maskers.Independent(draws, max_samples=len(draws)),
                    feature_perturbation="interventional",
                    model_output="probability" if _bends(problem) else "raw",
                )
                values = explainer.shap_values(
                    problem.inputs[rows].flatten(1).double().cpu().numpy()
                )
                found[rows] = torch.from_numpy(np.reshape(values, found[rows].shape))
        return Attribution(problem.partition.pooled(found.view(problem.inputs.shape)))


def _bends(problem: AttributionProblem) -> bool:
    """Whether g is a probability that trees give the log-odds of."""
    return isinstance(problem.model, BoostingModel) and problem.g == "probability"


def _ensemble(problem: AttributionProblem, target: int) -> dict[str, Any]:
    """The trees whose sum is g for this target, or its log-odds, in shap's own form."""
    model, g = problem.model, problem.g
    if isinstance(model, ForestModel):
        if g not in ("probability", "output"):
            raise Unsupported(f"the trees of a forest don't add up to its {g}: g=probability")
        scale = 1 / len(model.trees.roots)
        return _form(model.trees, scale * model.trees.values[:, target], 0.0)
    if not isinstance(model, BoostingModel):
        raise Unsupported("needs a forest or boosted trees of bench.models")
    values, start = model.trees.values, model.start
    if not model.n_classes:
        return _form(model.trees, values[:, 0], float(start[0]))
    if model.n_classes > 2:
        raise Unsupported(f"the trees of {model.n_classes} boosted classes don't add up to g")
    if g == "label":
        raise Unsupported("trees don't add up to the label: g=probability, logit and margin")
    rival = 1 - target
    lead = values[:, target] - values[:, rival]
    return _form(model.trees, lead, float(start[target] - start[rival]))


def _form(trees: Trees, values: Float[np.ndarray, " nodes"], start: float) -> dict[str, Any]:
    own = np.arange(len(values))
    leaf = trees.left == own
    each = []
    for root, nodes in zip(trees.roots, np.split(own, trees.roots[1:]), strict=True):
        left, right = (
            np.where(leaf, -1, child - root)[nodes] for child in (trees.left, trees.right)
        )
        each.append(
            {
                "children_left": left,
                "children_right": right,
                "children_default": left,
                "features": np.where(leaf, -1, trees.feature)[nodes],
                "thresholds": trees.threshold[nodes].astype(float),
                "values": values[nodes, None],
                "node_sample_weight": np.ones(len(nodes)),
            }
        )
    return {
        "trees": each,
        "base_offset": start,
        "objective": "binary_crossentropy",
        "tree_output": "log_odds",
    }

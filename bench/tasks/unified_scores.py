"""The scores of a unified explanation: its two sides on one scale, and whether it is faithful."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.scores.data_influence import area, data_influence
from bench.tasks.attribution import Attribution
from bench.tasks.attribution_scores import scores_of
from bench.tasks.attribution_truth import Held as HeldFeatures
from bench.tasks.base import Metric, Score, Scores
from bench.tasks.unified_problem import Unified, UnifiedProblem
from bench.tasks.unified_truth import Truth

_PAPER = "Pan, Wang, Hara, Interpretable Companions for Black-Box Models, AISTATS 2020"

NO_FEATURES, NO_DATA = "it ranks no features", "it orders no training rows"
SAYS_NOTHING = "it predicts nothing itself"

METRICS = (
    Metric(
        "both_sides",
        "higher",
        (-math.inf, math.inf),
        "",
        "mean of ideal_influence and data_influence at each query point; a side that the "
        "explanation doesn't have counts 0, as chance does: whoever asks for it gets nothing",
        "earnest",
    ),
    Metric(
        "ideal_influence",
        "higher",
        (-1.0, 1.0),
        "",
        "II of the features against the model's own set function, as in the task attribution: "
        "1 = ideal, 0 = chance",
        "earnest",
    ),
    Metric(
        "data_influence",
        "higher",
        (-math.inf, math.inf),
        "",
        "(A_rand - A) / (A_rand - A_best), A the area under G(k) = f_c(x) of the model trained "
        "again without the first k training rows, k <= K, c the class predicted at x: 1 = the "
        "best order known, 0 = chance",
        "earnest",
    ),
    Metric(
        "fidelity",
        "higher",
        (0.0, 1.0),
        "share of covered query points",
        "where the explanation predicts a class itself, how often it is the model's",
        _PAPER,
    ),
    Metric(
        "coverage",
        "none",
        (0.0, 1.0),
        "share of query points",
        "query points of which the explanation says something, by a rule of the chosen prefix",
        f"{_PAPER}, Sec. 3 (transparency)",
    ),
    Metric(
        "ideal_influence_covered",
        "higher",
        (-1.0, 1.0),
        "",
        "ideal_influence over the covered query points alone",
        "earnest",
    ),
    Metric(
        "data_influence_covered",
        "higher",
        (-math.inf, math.inf),
        "",
        "data_influence over the covered query points alone",
        "earnest",
    ),
    Metric(
        "predicted_label_share",
        "none",
        (0.0, 1.0),
        "share of K rows",
        "how many of the first K training rows have the label that the model predicts at x",
        "earnest",
    ),
    Metric(
        "true_label_share",
        "none",
        (0.0, 1.0),
        "share of K rows",
        "how many of the first K training rows have the true label of x",
        "earnest",
    ),
    Metric(
        "tie_mass",
        "none",
        (0.0, 1.0),
        "share of pairs",
        "pairs of features that tie; ideal_influence is the mean over their random orders",
        "earnest",
    ),
)


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    features : the ideal order of the features.
    data : the best known order of the training rows.
    labels : the true class of each query point.
    """

    features: HeldFeatures
    data: Truth
    labels: Int[np.ndarray, " n"]


def scored(problem: UnifiedProblem, held: Held, explanation: Unified) -> Scores:
    """All scores of an explanation that fits the problem."""
    features, data = _feature_side(problem, held, explanation), _data_side(held, explanation)
    covered = _covered(explanation, problem.n)
    shares = {
        "predicted_label_share": problem.features.targets.cpu().numpy(),
        "true_label_share": held.labels,
    }
    scores = {
        "both_sides": _both(features, data),
        "ideal_influence": features.score,
        "data_influence": data.score,
        "fidelity": _fidelity(problem, explanation, covered),
        "coverage": Score.mean(covered.astype(float)),
        "ideal_influence_covered": features.over(covered),
        "data_influence_covered": data.over(covered),
        **{name: _label_share(problem, explanation, labels) for name, labels in shares.items()},
        "tie_mass": features.tie_mass,
    }
    return Scores(scores, _details(problem, held, explanation, features, data))


@dataclass(frozen=True)
class _Side:
    """One side's score at each query point, None where the explanation has no such side.

    `curves` are G along the data side's orders; `note` says what is missing, or how exact it is.
    """

    values: Float[np.ndarray, " n"] | None
    note: str
    tie_mass: Score = Score(math.nan, 0)
    curves: Float[np.ndarray, "n levels"] | None = None

    @property
    def score(self) -> Score:
        return self.over(slice(None))

    def over(self, chosen: Bool[np.ndarray, " n"] | slice) -> Score:
        """The mean over these query points."""
        if self.values is None:
            return Score(math.nan, 0, note=self.note)
        return Score.mean(self.values[chosen], self.note)


def _feature_side(problem: UnifiedProblem, held: Held, explanation: Unified) -> _Side:
    if explanation.features is None:
        return _Side(None, NO_FEATURES, Score(math.nan, 0, note=NO_FEATURES))
    values = Attribution(np.asarray(explanation.features.values, dtype=float))
    found = scores_of(problem.features, held.features, values)
    by_query = np.array(found.details["ideal_influence"], dtype=float)
    return _Side(by_query, found.values["ideal_influence"].note, found.values["tie_mass"])


def _data_side(held: Held, explanation: Unified) -> _Side:
    if explanation.data is None:
        return _Side(None, NO_DATA)
    truth = held.data
    counts = truth.retraining.counts
    curves = truth.retraining.curves(explanation.data.order[:, None, : counts[-1]])[:, 0]
    values = data_influence(area(curves, counts), truth.chance_areas, truth.best.areas)
    return _Side(values, _data_note(values), curves=curves)


def _data_note(values: Float[np.ndarray, " n"]) -> str:
    undefined, beyond = int(np.isnan(values).sum()), int((values > 1).sum())
    parts = ["against the best order known, not the exact one"]
    if beyond:
        parts.append(f"{beyond} of {len(values)} orders beat it")
    if undefined:
        parts.append(f"undefined on {undefined} query points: no order is known to beat chance")
    return "; ".join(parts)


def _both(features: _Side, data: _Side) -> Score:
    missing = [side.note for side in (features, data) if side.values is None]
    sides = [side.values for side in (features, data) if side.values is not None]
    return Score.mean(np.sum(sides, axis=0) / 2, "".join(f"{note}: counts 0" for note in missing))


def _covered(explanation: Unified, n: int) -> Bool[np.ndarray, " n"]:
    return np.ones(n, dtype=bool) if explanation.says is None else explanation.says >= 0


def _fidelity(
    problem: UnifiedProblem, explanation: Unified, covered: Bool[np.ndarray, " n"]
) -> Score:
    if explanation.says is None:
        return Score(math.nan, 0, note=SAYS_NOTHING)
    if not covered.any():
        return Score(math.nan, 0, note="no query point is covered")
    alike = explanation.says == problem.features.targets.cpu().numpy()
    return Score.mean(alike[covered].astype(float))


def _label_share(
    problem: UnifiedProblem, explanation: Unified, labels: Int[np.ndarray, " n"]
) -> Score:
    if explanation.data is None:
        return Score(math.nan, 0, note=NO_DATA)
    retrieved = problem.train.targets.numpy()[explanation.data.order[:, : problem.removed]]
    return Score.mean((retrieved == labels[:, None]).mean(axis=1), f"K = {problem.removed}")


def _details(
    problem: UnifiedProblem, held: Held, explanation: Unified, features: _Side, data: _Side
) -> dict[str, Any]:
    """Scores by query point, and G by the mean over them."""
    truth = held.data
    curves = {"chance": truth.chance, "best": truth.best.curves}
    if data.curves is not None:
        curves["method"] = data.curves
    return {
        "ideal_influence": _listed(features.values),
        "data_influence": _listed(data.values),
        "predicted": problem.features.targets.tolist(),
        "labels": held.labels.tolist(),
        "says": None if explanation.says is None else explanation.says.tolist(),
        "reasons": list(explanation.reasons),
        "removed": list(truth.retraining.counts),
        "curves": {name: curve.mean(axis=0).tolist() for name, curve in curves.items()},
        "notes": dict(explanation.notes),
    }


def _listed(values: Float[np.ndarray, " n"] | None) -> list[float] | None:
    return None if values is None else values.tolist()

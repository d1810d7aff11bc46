"""How well a fairwash works: how fair it looks, how true it is, and whether it is noticed."""

import math
from collections.abc import Sequence
from typing import Any

from bench.tasks.base import Score, Scores
from bench.tasks.fairwashing_case import Held
from bench.tasks.fairwashing_metrics import metrics_of
from bench.tasks.fairwashing_models import of_models, of_people
from bench.tasks.fairwashing_problem import (
    Detector,
    Explanation,
    FairwashingProblem,
    Rationalization,
    Sampling,
    describe,
)
from bench.tasks.fairwashing_samples import of_sampling


def scored(
    problem: FairwashingProblem,
    held: Held,
    explanation: Explanation,
    detectors: Sequence[Detector],
) -> Scores:
    """All scores of an answer."""
    check(problem, explanation)
    if isinstance(explanation, Sampling):
        values, details = of_sampling(problem, held, explanation, detectors)
    elif problem.scope == "local":
        values, details = of_people(problem, held, explanation)
    else:
        values, details = of_models(problem, held, explanation, detectors)
    missing = Score(math.nan, 0, note=f"not of a {details['kind']}")
    whole = {metric.name: values.get(metric.name, missing) for metric in metrics_of(detectors)}
    groups = {"groups": list(held.group_names), "accuracy": held.accuracy}
    return Scores(whole, {**describe(problem), **groups, **details})


def check(problem: FairwashingProblem, explanation: Any) -> None:
    """Raise `ValueError` where the answer doesn't fit the problem."""
    if not isinstance(explanation, Rationalization | Sampling):
        raise ValueError(
            f"the method answered with {type(explanation).__name__}: wanted a Rationalization or "
            "a Sampling, of bench.tasks.fairwashing"
        )
    if isinstance(explanation, Sampling):
        problem.check_global()
        if not explanation.designs:
            raise ValueError("no design: wanted one at least")
    if isinstance(explanation, Rationalization):
        given, asked = len(explanation.candidates), len(problem.regions)
        if given != asked:
            raise ValueError(
                f"candidates for {given} regions: wanted a tuple of them for each of {asked}"
            )

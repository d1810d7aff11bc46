"""Scores of published samples."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bench.isolation import Unsupported
from bench.rules.fairness import NEITHER
from bench.sampling import Design
from bench.scores.detection import transport_cost
from bench.scores.disparity import disparity
from bench.tasks.base import Score
from bench.tasks.fairwashing_case import Held, own_unfairness
from bench.tasks.fairwashing_caught import caught_by, detected, evasion_cost, power_told
from bench.tasks.fairwashing_detection import SampleAuditor
from bench.tasks.fairwashing_looks import Looks, number, rates, washability
from bench.tasks.fairwashing_problem import Detector, FairwashingProblem, Region, Sampling

_DISTANCES = 20
"""Samples whose distance from the auditor's people is computed."""


def of_sampling(
    problem: FairwashingProblem,
    held: Held,
    explanation: Sampling,
    detectors: Sequence[Detector],
) -> tuple[dict[str, Score], dict[str, Any]]:
    """Of samples: the first design is published."""
    own = own_unfairness(problem, Region(problem.population))
    drawn = [_drawn(problem, held, design) for design in explanation.designs]
    realised = [_realised(problem, samples) for samples in drawn]
    auditor = SampleAuditor(problem, held)
    watches = {
        detector.name: [auditor.watch(detector, design) for design in explanation.designs]
        for detector in detectors
        if detector.of == "sample"
    }
    mean = np.array([float(np.nanmean(one)) for one in realised])
    found, caught = Looks(np.ones(len(mean)), mean, own), caught_by(watches, len(mean))
    gap = 1 - explanation.bound / explanation.cost if explanation.cost else 0.0
    values = {
        "washability": Score(washability(np.minimum(mean[:1], own), own)),
        "unfairness": Score.mean(realised[0]),
        "fidelity": Score(1.0, note="samples hold true decisions"),
        "candidates": Score(float(len(drawn))),
        "gap": Score(max(gap, 0.0) if not math.isnan(gap) else gap, note=""),
        "cost": Score(explanation.cost),
        "distance": _distance(problem, held, drawn[0]),
        **detected(watches, 0),
        "evasion_cost": evasion_cost(found, caught),
    }
    details = {
        "kind": "sample",
        "black_box": {
            "unfairness": own,
            "rates": rates(
                problem.decisions[problem.population],
                problem.groups[problem.population],
                held.group_names,
            ),
        },
        "published": {
            "unfairness": float(mean[0]),
            "largest": float(np.nanmax(realised[0])),
            "rates": _mean_rates(problem, held, drawn[0]),
        },
        "bound": number(explanation.bound),
        "cost": number(explanation.cost),
        "rate": problem.rate,
        "audit_size": problem.audit_size,
        "designs": [
            {"unfairness": float(u), "power": number(float(p))}
            for u, p in zip(mean, caught, strict=True)
        ],
        "detectors": {name: power_told(each[0]) for name, each in watches.items()},
    }
    return values, details


def _drawn(problem: FairwashingProblem, held: Held, design: Design) -> list[Int[np.ndarray, " k"]]:
    """Rows of the suing group in each audit's sample."""
    rng = np.random.default_rng(held.seed)
    return [problem.population[design.draw(rng=rng)] for _ in range(held.audits)]


def _realised(
    problem: FairwashingProblem, samples: Sequence[Int[np.ndarray, " k"]]
) -> Float[np.ndarray, " audits"]:
    """The unfairness that a reader of each sample computes; NaN where a group is missing."""
    found = []
    for rows in samples:
        given = problem.decisions[rows], problem.groups[rows], problem.labels[rows]
        try:
            found.append(float(disparity(problem.measure, *given).absolute))
        except ValueError:
            found.append(math.nan)
    return np.array(found)


def _mean_rates(
    problem: FairwashingProblem, held: Held, samples: Sequence[Int[np.ndarray, " k"]]
) -> dict[str, float]:
    """How often each group gets what it wishes for, in all samples together."""
    rows = np.concatenate(list(samples))
    return rates(problem.decisions[rows], problem.groups[rows], held.group_names)


def _distance(
    problem: FairwashingProblem, held: Held, samples: Sequence[Int[np.ndarray, " k"]]
) -> Score:
    """Least cost between samples and as many of the auditor's people, squared Euclid on [x, s]."""
    test, rng = held.test, np.random.default_rng(held.seed)
    known, found = np.flatnonzero(test.groups != NEITHER), []
    for rows in samples[:_DISTANCES]:
        own = rng.choice(known, len(rows), replace=False)
        sides = (problem.inputs[rows], problem.groups[rows]), (test.inputs[own], test.groups[own])
        try:
            found.append(transport_cost(*(np.column_stack(side) for side in sides)))
        except Unsupported as error:
            return Score(math.nan, 0, note=str(error))
    return Score.mean(np.array(found))

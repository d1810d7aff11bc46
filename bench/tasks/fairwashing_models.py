"""Scores of readable models: one for the whole suing group, or one for each who complains."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from bench.tasks.base import Score
from bench.tasks.fairwashing_case import Held, own_unfairness
from bench.tasks.fairwashing_caught import caught_by, detected, evasion_cost, power_told
from bench.tasks.fairwashing_detection import ModelAuditor, Watch
from bench.tasks.fairwashing_looks import (
    FLOORS,
    Looks,
    looks,
    number,
    rates,
    unfairness,
    washability,
)
from bench.tasks.fairwashing_problem import (
    Candidate,
    Detector,
    FairwashingProblem,
    Rationalization,
    Region,
    Surrogate,
)


def of_models(
    problem: FairwashingProblem,
    held: Held,
    explanation: Rationalization,
    detectors: Sequence[Detector],
) -> tuple[dict[str, Score], dict[str, Any]]:
    """Of readable models for the whole suing group."""
    (candidates,) = explanation.candidates
    models = [candidate.model for candidate in candidates]
    seen = looks(models, *_suing(problem))
    if not candidates:
        none = Score(0.0, note="no candidate")
        return {"candidates": none, "washability": none}, {"kind": "model"}
    unseen = looks(models, *_unseen(problem, held))
    assert held.faithful is not None
    honest = looks([held.faithful], *_suing(problem))
    place = seen.published(float(honest.fidelity[0]))
    watches = _watched(problem, held, models, detectors)
    caught = caught_by(watches, len(models))
    values = {
        "washability": _washability(seen),
        "unfairness": Score(float(seen.unfairness[place])),
        "fidelity": Score(float(seen.fidelity[place])),
        "fidelity_at_half": Score(_at_half(seen, problem)),
        "test_washability": Score(_test_washability(seen, unseen)),
        "test_unfairness": Score(float(unseen.unfairness[place])),
        "test_fidelity": Score(float(unseen.fidelity[place])),
        **_transferred(models[place], problem.measure, held),
        "size": Score(float(candidates[place].size)),
        "candidates": Score(float(len(candidates))),
        "gap": _gap(candidates),
        **detected(watches, place),
        "evasion_cost": evasion_cost(seen, caught),
    }
    details = {
        "kind": "model",
        "black_box": _black_box(problem, held, seen, unseen),
        "candidates": _told_of(candidates, seen, unseen, caught),
        "published": _published(models[place], problem, held, seen, unseen, place),
        "honest": _published(
            held.faithful, problem, held, honest, looks([held.faithful], *_unseen(problem, held)), 0
        ),
        "detectors": {name: power_told(one[place]) for name, one in watches.items()},
        "floors": FLOORS.tolist(),
        "least": seen.least.tolist(),
    }
    return values, details


def _washability(found: Looks) -> Score:
    note = "" if found.own > 0 else "the black box is fair: nothing to wash"
    return Score(washability(found.least, found.own), note=note)


def _at_half(found: Looks, problem: FairwashingProblem) -> float:
    """Fidelity of the truest candidate that is half as unfair, or of one answer to all."""
    share = float(problem.decisions.mean())
    half = found.fidelity[found.unfairness <= found.own / 2]
    return float(max([share, 1 - share, *half.tolist()]))


def _test_washability(seen: Looks, unseen: Looks) -> float:
    """Of the candidates that are chosen where the attacker sees."""
    places = [seen.chosen(floor) for floor in FLOORS]
    kept = [
        unseen.own if k is None or seen.unfairness[k] > seen.own else unseen.unfairness[k]
        for k in places
    ]
    return washability(np.array(kept), unseen.own)


def _transferred(model: Surrogate, measure: str, held: Held) -> dict[str, Score]:
    """Beside other black boxes."""
    said, groups = model.predict(held.test.columns), held.test.groups
    fidelity = [float(np.mean(said == other)) for other in held.others.values()]
    unfair = [unfairness(measure, said, groups, other) for other in held.others.values()]
    note = "" if held.others else "no other black boxes"
    return {
        "transfer_fidelity": Score.mean(np.array(fidelity), note),
        "transfer_unfairness": Score.mean(np.array(unfair), note),
    }


def _gap(candidates: Sequence[Candidate]) -> Score:
    gaps = np.array([candidate.gap for candidate in candidates])
    if np.isnan(gaps).any():
        return Score(math.nan, 0, note="nothing is proved")
    largest = float(np.maximum(gaps, 0).max())
    return Score(largest, note="" if largest > 1e-9 else "every candidate is proved the best")


def _watched(
    problem: FairwashingProblem,
    held: Held,
    models: Sequence[Surrogate],
    detectors: Sequence[Detector],
) -> dict[str, list[Watch]]:
    """Of each detector what it says of each model."""
    if not held.honest:
        return {}
    auditor = ModelAuditor(problem, held)
    return {
        detector.name: [auditor.watch(detector, model) for model in models]
        for detector in detectors
        if detector.of == "surrogate"
    }


def _black_box(
    problem: FairwashingProblem, held: Held, seen: Looks, unseen: Looks
) -> dict[str, Any]:
    return {
        "unfairness": seen.own,
        "test_unfairness": unseen.own,
        "rates": rates(problem.decisions, problem.groups, held.group_names),
        "test_rates": rates(held.test.decisions, held.test.groups, held.group_names),
    }


def _told_of(
    candidates: Sequence[Candidate], seen: Looks, unseen: Looks, caught: Float[np.ndarray, " k"]
) -> list[dict[str, float | None]]:
    """The candidates for figures."""
    return [
        {
            "fidelity": float(seen.fidelity[k]),
            "unfairness": float(seen.unfairness[k]),
            "test_fidelity": float(unseen.fidelity[k]),
            "test_unfairness": float(unseen.unfairness[k]),
            "size": candidates[k].size,
            "gap": number(candidates[k].gap),
            "power": number(float(caught[k])),
        }
        for k in range(len(candidates))
    ]


def _published(
    model: Surrogate,
    problem: FairwashingProblem,
    held: Held,
    seen: Looks,
    unseen: Looks,
    place: int,
) -> dict[str, Any]:
    """The model as its reader sees it, with the numbers that an auditor would see."""
    said = model.predict(problem.columns)
    return {
        "text": model.text(problem.names, problem.class_names).split("\n"),
        "fidelity": float(seen.fidelity[place]),
        "unfairness": float(seen.unfairness[place]),
        "test_fidelity": float(unseen.fidelity[place]),
        "test_unfairness": float(unseen.unfairness[place]),
        "rates": rates(said, problem.groups, held.group_names),
        "test_rates": rates(model.predict(held.test.columns), held.test.groups, held.group_names),
    }


_Seen = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _suing(problem: FairwashingProblem) -> _Seen:
    """What `looks` needs of those before whom it has to look well."""
    given = problem.columns, problem.decisions, problem.groups, problem.labels
    return problem.measure, *given


def _unseen(problem: FairwashingProblem, held: Held) -> _Seen:
    """The same of those whom the attacker hasn't seen."""
    test = held.test
    return problem.measure, test.columns, test.decisions, test.groups, test.labels


def of_people(
    problem: FairwashingProblem, held: Held, explanation: Rationalization
) -> tuple[dict[str, Score], dict[str, Any]]:
    """Of readable models for one person each."""
    users = [
        _of_person(problem, region, candidates)
        for region, candidates in zip(problem.regions, explanation.candidates, strict=True)
    ]
    names = ("washability", "unfairness", "fidelity", "size", "candidates")
    values = {name: Score.mean(np.array([user[name] for user in users])) for name in names}
    proved = [c for candidates in explanation.candidates for c in candidates]
    if proved:
        values["gap"] = _gap(proved)
    own = {"unfairness": float(np.mean([user["black_box"] for user in users]))}
    return values, {"kind": "people", "users": users, "black_box": own}


def _of_person(
    problem: FairwashingProblem, region: Region, candidates: Sequence[Candidate]
) -> dict[str, float]:
    """The fairest of those candidates that give the person's decision, as in the paper.

    Where there is none, the person is told of the black box itself.
    """
    at = region.rows
    agreeing = [c for c in candidates if _agrees(c.model, problem, region)]
    own = own_unfairness(problem, region)
    if not agreeing:
        return {
            "black_box": own,
            "washability": 0.0,
            "unfairness": own,
            "fidelity": 1.0,
            "size": math.nan,
            "candidates": 0.0,
        }
    models = [c.model for c in agreeing]
    found = looks(
        models,
        problem.measure,
        problem.columns[at],
        problem.decisions[at],
        problem.groups[at],
        problem.labels[at],
    )
    place = int(np.lexsort([-found.fidelity, found.unfairness])[0])
    return {
        "black_box": own,
        "washability": washability(found.least, own),
        "unfairness": float(found.unfairness[place]),
        "fidelity": float(found.fidelity[place]),
        "size": float(agreeing[place].size),
        "candidates": float(len(agreeing)),
    }


def _agrees(model: Surrogate, problem: FairwashingProblem, region: Region) -> bool:
    if region.kept is None:
        return True
    row = [region.kept]
    return bool((model.predict(problem.columns[row]) == problem.decisions[row]).all())

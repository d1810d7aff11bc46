"""What all rationalizers do alike: candidates for each region, each said once."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from bench.rules.rationalize import FairList, Suing
from bench.tasks.fairwashing_problem import (
    Candidate,
    FairwashingProblem,
    Rationalization,
    Region,
)


def answered(
    problem: FairwashingProblem, found: Callable[[Suing], Iterable[Candidate]]
) -> Rationalization:
    """Candidates for each region, without those that its person knows to be wrong.

    Parameters
    ----------
    found : candidates for a region's rows, in order.
    """
    return Rationalization(
        tuple(
            tuple(one for one in found(problem.suing(region)) if _agrees(one, problem, region))
            for region in problem.regions
        )
    )


def _agrees(candidate: Candidate, problem: FairwashingProblem, region: Region) -> bool:
    """Whether it gives the person in the region the black box's decision."""
    if region.kept is None:
        return True
    (label,) = candidate.model.predict(problem.columns[[region.kept]])
    return bool(label == problem.decisions[region.kept])


def candidate(found: FairList) -> Candidate:
    """A rule list, without the seconds that it took: equal answers are equal."""
    return Candidate(replace(found, seconds=0.0), len(found.rules), found.objective, found.bound)


def least_first(lists: Iterable[FairList]) -> list[Candidate]:
    """Rule lists by their objective, each once, with the least of its objectives."""
    once: dict[object, FairList] = {}
    for one in sorted(lists, key=lambda each: each.objective):
        once.setdefault((one.rules, one.default), one)
    return [candidate(one) for one in once.values()]


def truest_first(candidates: Iterable[Candidate], suing: Suing) -> list[Candidate]:
    """Of models that say the same of all rows the smallest; those that err least first."""
    once: dict[bytes, Candidate] = {}
    for one in candidates:
        said = np.asarray(one.model.predict(suing.values), dtype=np.int64)
        known = once.get(said.tobytes(), one)
        once[said.tobytes()] = min(known, one, key=lambda each: each.size)
    return sorted(once.values(), key=lambda each: _errors(each, suing))


def _errors(one: Candidate, suing: Suing) -> int:
    return int((one.model.predict(suing.values) != suing.black_box).sum())

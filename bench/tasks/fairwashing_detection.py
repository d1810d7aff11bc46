"""Would it have been noticed? Detectors on published samples and models, beside honest ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.rules.fairness import NEITHER
from bench.sampling import Design, Simple
from bench.scores.detection import Power, monte_carlo_p_values, power
from bench.tasks.fairwashing_case import Held, People
from bench.tasks.fairwashing_problem import Audit, Detector, FairwashingProblem, Surrogate

LEVEL = 0.05
"""Of the tests: so seldom is the honest called dishonest."""


@dataclass(frozen=True)
class Watch:
    """What one detector found over all audits.

    Attributes
    ----------
    washed, honest : its statistics of what was published, and of what honest people publish; of
        models a row for each audit, as all are asked about the same people.
    rejected, accused : of each audit, whether the published was called dishonest; of each honest
        one likewise.
    """

    washed: Float[np.ndarray, " audits"]
    rejected: Bool[np.ndarray, " audits"]
    honest: Float[np.ndarray, "*audits honest"]
    accused: Bool[np.ndarray, " all_honest"]

    @property
    def power(self) -> Power:
        """How often it is caught."""
        return power(self.rejected)

    @property
    def level(self) -> Power:
        """How often the honest are accused; `LEVEL` is promised."""
        return power(self.accused)

    @property
    def auroc(self) -> float:
        """Share of pairs in which the washed has the larger statistic, a tie counting half; of
        models pairs that were asked about the same people."""
        washed, honest = self.washed[:, None], np.atleast_2d(self.honest)
        return float(np.mean((washed > honest) + (washed == honest) / 2))


@dataclass(frozen=True)
class _Told:
    """A detector's statistics and p-values, NaN where it leaves them to a comparison."""

    statistics: Float[np.ndarray, " k"]
    p_values: Float[np.ndarray, " k"]

    def rejected(self, null: Float[np.ndarray, "*k draws"]) -> Bool[np.ndarray, " k"]:
        """By its own p-values, else by the null's statistics: one set for all, or one each."""
        compared = monte_carlo_p_values(self.statistics, null)
        found: np.ndarray = np.where(np.isnan(self.p_values), compared, self.p_values) <= LEVEL
        return found


def _told(
    detector: Detector,
    audits: Sequence[Audit],
    own: Sequence[Audit] | None,
    rng: np.random.Generator,
) -> _Told:
    others = [None] * len(audits) if own is None else own
    found = [detector.detect(a, b, rng=rng) for a, b in zip(audits, others, strict=True)]
    return _Told(
        np.array([one.statistic for one in found]), np.array([one.p_value for one in found])
    )


@dataclass(frozen=True)
class SampleAuditor:
    """Looks at published samples, with people of the test part beside them.

    Each audit has a sample drawn anew. So has each honest sample, and each of the comparison's,
    which the auditor draws from his own people.
    """

    problem: FairwashingProblem
    held: Held

    def watch(self, detector: Detector, design: Design) -> Watch:
        """What the detector says of the design's samples."""
        drawn_rng, honest_rng, null_rng = np.random.default_rng(self.held.seed).spawn(3)
        if detector not in self._honest:
            honest = Simple(len(self.problem.population), self.problem.audit_size)
            self._honest[detector] = self._told_of(detector, honest, honest_rng)
        washed, fair = self._told_of(detector, design, drawn_rng), self._honest[detector]
        leaves_open = np.isnan([*washed.p_values, *fair.p_values]).any()
        null = self._null(detector, null_rng) if leaves_open else np.zeros(1)
        return Watch(washed.statistics, washed.rejected(null), fair.statistics, fair.rejected(null))

    @cached_property
    def _honest(self) -> dict[Detector, _Told]:
        """What detectors say of honest samples, once for all designs."""
        return {}

    def _told_of(self, detector: Detector, design: Design, rng: np.random.Generator) -> _Told:
        return _told(detector, self._samples(design, rng), self._own(rng), rng)

    def _samples(self, design: Design, rng: np.random.Generator) -> list[Audit]:
        problem = self.problem
        drawn = [problem.population[design.draw(rng=rng)] for _ in range(self.held.audits)]
        return [Audit(problem.inputs[k], problem.groups[k], problem.decisions[k]) for k in drawn]

    def _own(self, rng: np.random.Generator) -> list[Audit]:
        known, size = _known(self.held.test), self.problem.audit_size
        picked = [rng.choice(len(known), size, replace=False) for _ in range(self.held.audits)]
        return [known.rows(rows) for rows in picked]

    def _null(self, detector: Detector, rng: np.random.Generator) -> Float[np.ndarray, " audits"]:
        """Statistics of two halves of what the auditor knows, as large as a sample each."""
        known, size = _known(self.held.test), self.problem.audit_size
        both = [rng.permutation(len(known))[: 2 * size] for _ in range(self.held.audits)]
        first, second = ([known.rows(half) for half in halves] for halves in _halves(both, size))
        return _told(detector, first, second, rng).statistics


def _halves(
    drawn: list[Int[np.ndarray, " k"]], size: int
) -> tuple[list[Int[np.ndarray, " h"]], list[Int[np.ndarray, " h"]]]:
    return [rows[:size] for rows in drawn], [rows[size:] for rows in drawn]


_OfHonest = tuple[Float[np.ndarray, "audits models"], Bool[np.ndarray, " both"]]


@dataclass(frozen=True)
class ModelAuditor:
    """Asks black box and published model about people of the test part.

    Each audit asks about others. The comparison are the honest models, about the same people.
    """

    problem: FairwashingProblem
    held: Held

    def watch(self, detector: Detector, model: Surrogate) -> Watch:
        """What the detector says of the model."""
        if detector not in self._honest:
            self._honest[detector] = self._of_honest(detector)
        table, accused = self._honest[detector]
        washed = self._statistics(detector, model)
        return Watch(washed.statistics, washed.rejected(table), table, accused)

    @cached_property
    def _honest(self) -> dict[Detector, _OfHonest]:
        """What detectors say of honest models, once for all candidates."""
        return {}

    def _of_honest(self, detector: Detector) -> _OfHonest:
        """Statistics; and whether each model is accused, beside the others."""
        told = [self._statistics(detector, one) for one in self.held.honest]
        table = np.stack([one.statistics for one in told], axis=1)
        accused = [one.rejected(np.delete(table, place, axis=1)) for place, one in enumerate(told)]
        return table, np.concatenate(accused)

    @cached_property
    def _audits(self) -> list[tuple[Audit, Bool[np.ndarray, "k c"]]]:
        """People asked about, and what models may know of them."""
        rng, size = np.random.default_rng(self.held.seed), self.problem.audit_size
        known, test = _known(self.held.test), self.held.test
        columns = test.columns[test.groups != NEITHER]
        picked = [rng.choice(len(known), size, replace=False) for _ in range(self.held.audits)]
        return [(known.rows(rows), columns[rows]) for rows in picked]

    def _statistics(self, detector: Detector, model: Surrogate) -> _Told:
        rng = np.random.default_rng(self.held.seed)
        asked = [
            Audit(one.inputs, one.groups, one.decisions, model.predict(columns))
            for one, columns in self._audits
        ]
        return _told(detector, asked, None, rng)


def _known(people: People) -> Audit:
    """The test part's people of the two groups."""
    rows = people.groups != NEITHER
    return Audit(people.inputs[rows], people.groups[rows], people.decisions[rows])

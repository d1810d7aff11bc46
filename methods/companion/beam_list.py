"""Companion rule lists by beam search."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from bench.models.base import Capability
from bench.rules import RuleList
from bench.rules.ground import Ground
from bench.rules.kernels import kernels
from bench.rules.local_search import locally_best
from bench.tasks.companion import CompanionProblem


@dataclass(frozen=True)
class BeamList:
    """Keep the most promising lists of each length, extend each by every rule.

    Lists of one length are compared as if one label took all that they leave, else those that
    cover much would always win. Of lists that leave the same rows the better one is kept.

    Parameters
    ----------
    width : lists kept of each length. longest : rules in a list at most.
    polish : whether the best list is bettered by single changes until none helps.

    References
    ----------
    The objective: Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS
    2020, Sec. 4.
    """

    width: int = 100
    longest: int = 20
    polish: bool = True

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        ground = problem.ground
        best = _best_of_beam(ground, self.width, self.longest)
        if self.polish:
            _, best = locally_best(ground, best, longest=self.longest)
        return problem.listed(best)


@dataclass(frozen=True)
class _Beam:
    """Lists of one length; `right` and `area` as in `Ground.value`, `left` uncaptured rows."""

    lists: Int[np.ndarray, "lists length"]
    right: Float[np.ndarray, " lists"]
    area: Float[np.ndarray, " lists"]
    left: Float[np.ndarray, " lists"]


def _best_of_beam(ground: Ground, width: int, longest: int) -> list[int]:
    nothing = np.zeros((1, 0), dtype=int)
    beam = _Beam(
        nothing, np.array([float(ground.box_right)]), np.zeros(1), np.array([1.0 * ground.n])
    )
    best, best_value = list[int](), ground.value(())
    for _ in range(min(longest, ground.n_rules)):
        beam, values = _extended(ground, beam, width)
        if not len(beam.lists):
            break
        if values.max() > best_value:
            best, best_value = beam.lists[values.argmax()].tolist(), float(values.max())
    return best


def _extended(ground: Ground, beam: _Beam, width: int) -> tuple[_Beam, Float[np.ndarray, " lists"]]:
    """The most promising lists with a rule more, and their objectives in units of 2 N^2."""
    sets, gains = ground.left_by(beam.lists), slice(1, 1 + ground.n_labels)
    table, totals = kernels().counts(sets, ground.rows), ground.total(sets)
    size, gain = table[:, 0], table[:, gains].max(axis=1)
    right, area = beam.right[:, None] + gain, beam.area[:, None]
    area = area + size * (2 * beam.right[:, None] + gain)
    left = beam.left[:, None] - size
    closing = (totals[:, gains, None] - table[:, gains]).max(axis=1)
    promise = np.where(size > 0, area + left * (2 * right + closing), -np.inf)
    node, rule = _first_of_each_set(ground, beam, sets, promise, width)
    grown = _Beam(
        np.column_stack([beam.lists[node], rule]),
        right[node, rule],
        area[node, rule],
        left[node, rule],
    )
    ends = promise[node, rule] if ground.completed else grown.area
    return grown, ends - ground.price * grown.lists.shape[1]


def _first_of_each_set(
    ground: Ground,
    beam: _Beam,
    sets: np.ndarray,
    promise: Float[np.ndarray, "lists rules"],
    width: int,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"]]:
    """The `width` most promising pairs of list and rule, of equal leftovers one."""
    seen, kept = set[bytes](), list[tuple[int, int]]()
    for place in np.argsort(-promise, axis=None, kind="stable"):
        node, rule = np.unravel_index(place, promise.shape)
        if len(kept) == width or promise[node, rule] == -np.inf:
            break
        left = (sets[node] & ~ground.by_rule[rule]).tobytes()
        if left not in seen:
            seen.add(left)
            kept.append((int(node), int(rule)))
    pairs = np.array(kept, dtype=int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]

"""Local search over the lists of a pool: all rules at one place of a list are tried together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt64

from bench.rules.ground import Ground
from bench.rules.kernels import Sets


@dataclass(frozen=True)
class _States:
    """Several lists side by side.

    Attributes
    ----------
    left : the rows that are uncaptured. right, area : rows that are right, 2 N^2 AUTAC so far.
    """

    left: Sets
    right: Float[np.ndarray, " lists"]
    area: Float[np.ndarray, " lists"]


class Neighbours:
    """Objectives of the lists that differ from one by a single change."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        kinds = np.repeat(np.arange(len(ground.rows.starts) - 1), np.diff(ground.rows.starts))
        quantities = ground.rows.weights[: 1 + ground.n_labels, kinds]
        self.weights = np.ascontiguousarray(quantities.T, dtype=np.float32)  # exact up to 2^24 rows
        self.all_rules = ground.by_rule

    def inserted(self, rules: Sequence[int], place: int) -> Float[np.ndarray, " rules"]:
        """Each rule of the pool put in before `place`, in units of 2 N^2."""
        return self._value(self._with_all(rules[:place]), rules[place:], len(rules) + 1)

    def replaced(self, rules: Sequence[int], place: int) -> Float[np.ndarray, " rules"]:
        """Each rule of the pool in the stead of the one at `place`."""
        return self._value(self._with_all(rules[:place]), rules[place + 1 :], len(rules))

    def _with_all(self, rules: Sequence[int]) -> _States:
        ground = self.ground
        start = _States(ground.everything[None], np.array([float(ground.box_right)]), np.zeros(1))
        for rule in rules:
            start = self._next(start, ground.by_rule[rule])
        return self._next(start, self.all_rules)

    def _next(self, states: _States, captures: UInt64[np.ndarray, "*lists words"]) -> _States:
        captured = states.left & captures
        size, gain = self._counted(captured)
        return _States(
            states.left & ~captures,
            states.right + gain,
            states.area + size * (2 * states.right + gain),
        )

    def _counted(self, captured: Sets) -> tuple[np.ndarray, np.ndarray]:
        """Sizes, and what the best label gains."""
        size, *gains = np.asarray(
            np.bitwise_count(captured).astype(np.float32) @ self.weights, dtype=float
        ).T
        return size, np.max(gains, axis=0)

    def _value(
        self, states: _States, later: Sequence[int], length: int
    ) -> Float[np.ndarray, " rules"]:
        for rule in later:
            states = self._next(states, self.ground.by_rule[rule])
        if self.ground.completed:
            states = self._next(states, self.ground.everything)
        return states.area - self.ground.price * length


def locally_best(ground: Ground, rules: Sequence[int], *, longest: int) -> tuple[float, list[int]]:
    """Make the best change, one after the other, until none helps.

    A change adds a rule at any place, replaces or removes one, or moves one elsewhere.

    Parameters
    ----------
    longest : rules in a list at most.

    Returns
    -------
    The objective, in units of AUTAC, and the list.
    """
    neighbours, best = Neighbours(ground), list(rules)
    value = ground.value(best)
    while True:
        found, changed = max(_changes(neighbours, best, longest), key=lambda pair: pair[0])
        if found <= value + 1e-9 * ground.scale:
            return value / ground.scale, best
        value, best = found, changed


def _changes(
    neighbours: Neighbours, rules: list[int], longest: int
) -> Iterator[tuple[float, list[int]]]:
    """The best change of each kind and place."""
    ground = neighbours.ground
    yield ground.value(rules), rules
    for place in range(len(rules) + 1):
        before, after = rules[:place], rules[place:]
        if len(rules) < longest:
            values = neighbours.inserted(rules, place)
            yield float(values.max()), [*before, int(values.argmax()), *after]
        if after:
            values = neighbours.replaced(rules, place)
            yield float(values.max()), [*before, int(values.argmax()), *after[1:]]
            without = before + after[1:]
            yield ground.value(without), without
            for to in range(len(without) + 1):
                moved = [*without[:to], rules[place], *without[to:]]
                yield ground.value(moved), moved

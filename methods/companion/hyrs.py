"""Hybrid rule sets: rules for each label substitute for the black box where that costs little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from bench.models.base import Capability
from bench.rules import RuleList, pack, sizes, unpack
from bench.tasks.companion import CompanionProblem

Goal = Literal["fewer wrong", "fewer rules", "more covered"]
GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True)
class HyRS:
    """Annealed rule sets at several rewards for transparency, the best of them as a list.

    A row that a positive rule covers is positive, any other that a negative rule covers is
    negative, the black box decides the rest. (Of more than two labels each has its set, the last
    label's first.) Minimised is the share of rows that this hybrid has wrong, plus a penalty for
    each rule, minus a reward times the covered share. A rule of the pool belongs to the label of
    most rows that it covers.

    A step has one of the objective's three terms in view, with equal chance: it takes a row
    that is wrong and removes a rule that decides it or adds one that sets it right; it removes a
    rule; or it takes an uncovered row and adds a rule that covers it. Among the rules that would
    do it takes the best, or now and then any. More rules than the best objective so far allows
    can't be optimal, and make the step remove one. Objective and plan are the paper's; chances,
    temperatures and the choice among the rules that would do are ours.

    One reward gives one hybrid of one transparency, so the problem's objective chooses among
    several. A set has no order, a companion has: rules come in the order of their gain rate over
    the black box, but after those of prior sets that share a training row with them. So whoever
    uses the whole list has the hybrid itself, on each training row, with its own labels.

    Parameters
    ----------
    rewards : for transparency, the paper's theta_2, a search each.
    penalty : for a rule, theta_1.
    sweeps : steps of a search for each rule of the pool.
    temperature : of the first step, in units of the objective; it falls to a hundredth.
    explore : the chance of taking any rule that would do.

    References
    ----------
    Wang, *Gaining Free or Low-Cost Transparency with Interpretable Partial Substitute*, ICML
    2019.
    """

    rewards: tuple[float, ...] = (0.01, 0.1, 0.3, 1.0)
    penalty: float = 0.001
    sweeps: int = 5
    temperature: float = 0.01
    explore: float = 0.1

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def __post_init__(self) -> None:
        if not self.rewards:
            raise ValueError("rewards=(): wanted one or more")
        if not self.penalty > 0:
            raise ValueError(f"penalty={self.penalty}: wanted more than 0, or rules cost nothing")

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        found = []
        for reward in self.rewards:
            board = board_of(problem, self.penalty, reward)
            found.append(listed(problem, board, self._search(board, rng).rules))
        return max(found, key=problem.value)

    def _search(self, board: "Board", rng: np.random.Generator) -> "Hybrid":
        """The best hybrid that is met."""
        current = best = board.hybrid(())
        for temperature in self._temperatures(len(board.captures)):
            most_rules = (best.objective + board.reward) / board.penalty
            too_many = len(current.rules) > most_rules
            goal: Goal = "fewer rules" if too_many else GOALS[rng.integers(len(GOALS))]
            options = board.options(current, goal, rng)
            if not options:
                continue
            any_will_do = rng.random() < self.explore
            new = options[rng.integers(len(options))] if any_will_do else min(options)
            if new.objective - current.objective < temperature * rng.exponential():
                current = board.hybrid(new.rules)
                best = min(best, current, key=lambda hybrid: hybrid.objective)
        return best

    def _temperatures(self, n_rules: int) -> Float[np.ndarray, " steps"]:
        steps = self.sweeps * n_rules
        cooled: np.ndarray = 0.01 ** (np.arange(steps) / max(steps - 1, 1))
        return self.temperature * cooled


class Option(NamedTuple):
    """A rule set one step away, and its objective."""

    objective: float
    rules: tuple[int, ...]


@dataclass(frozen=True)
class Hybrid:
    """A rule set with the black box behind it.

    Attributes
    ----------
    rules : places in the pool, rising. claimed : for each label the rows that its set or a
        prior one covers; at the end none. right : rows that the hybrid has right.
    """

    rules: tuple[int, ...]
    claimed: UInt64[np.ndarray, "labels_and_one words"]
    right: UInt64[np.ndarray, " words"]
    objective: float


@dataclass(frozen=True)
class Board:
    """The pool and the rows, packed.

    Attributes
    ----------
    covers, captures : the rows of each rule, and the same packed. label : of each rule.
    own : the rows of each label. truth : the label of each row. box_right : the rows that the
        black box has right.
    penalty, reward : theta_1 and theta_2.
    """

    covers: Bool[np.ndarray, "rules n"]
    captures: UInt64[np.ndarray, "rules words"]
    label: Int[np.ndarray, " rules"]
    own: UInt64[np.ndarray, "labels words"]
    truth: Int[np.ndarray, " n"]
    box_right: UInt64[np.ndarray, " words"]
    penalty: float
    reward: float

    def hybrid(self, rules: Sequence[int]) -> Hybrid:
        """That rule set's."""
        claimed = np.zeros((len(self.own) + 1, self.own.shape[1]), dtype=np.uint64)
        for rule in rules:
            claimed[: self.label[rule] + 1] |= self.captures[rule]
        by_rules = claimed[:-1] & ~claimed[1:] & self.own
        right = np.bitwise_or.reduce(by_rules) | (self.box_right & ~claimed[0])
        wrong, covered = len(self.truth) - int(sizes(right)), int(sizes(claimed[0]))
        cost = (wrong - self.reward * covered) / len(self.truth) + self.penalty * len(rules)
        return Hybrid(tuple(sorted(rules)), claimed, right, cost)

    def options(self, hybrid: Hybrid, goal: Goal, rng: np.random.Generator) -> list[Option]:
        """Steps that serve it; in view of a row, drawn, that is wrong or uncovered."""
        if goal == "fewer rules":
            return self._without(hybrid, hybrid.rules)
        reached = hybrid.right if goal == "fewer wrong" else hybrid.claimed[0]
        missing = np.flatnonzero(~unpack(reached[None], len(self.truth))[0])
        if not len(missing):
            return []
        row = int(rng.choice(missing))
        covering = np.flatnonzero(self.covers[:, row])
        if goal == "more covered":
            return self._with(hybrid, covering)
        deciding = max((self.label[r] for r in hybrid.rules if self.covers[r, row]), default=-1)
        mistaken = [r for r in hybrid.rules if self.covers[r, row] and self.label[r] == deciding]
        truth = self.truth[row]
        mending = covering[(self.label[covering] == truth) & (truth > deciding)]
        return self._without(hybrid, mistaken) + self._with(hybrid, mending)

    def _without(self, hybrid: Hybrid, rules: Sequence[int]) -> list[Option]:
        """One of these rules less."""
        rests = [tuple(other for other in hybrid.rules if other != rule) for rule in rules]
        return [Option(self.hybrid(rest).objective, rest) for rest in rests]

    def _with(self, hybrid: Hybrid, rules: Int[np.ndarray, " some"]) -> list[Option]:
        """One of these rules more; it decides what no set of its label or a prior one claims."""
        label, captures = self.label[rules], self.captures[rules]
        taken = captures & ~hybrid.claimed[label]
        mended = sizes(taken & self.own[label]) - sizes(taken & hybrid.right)
        covered = sizes(taken & ~hybrid.claimed[0])
        gain = (mended + self.reward * covered) / len(self.truth) - self.penalty
        return [
            Option(float(hybrid.objective - gained), (*hybrid.rules, int(rule)))
            for gained, rule in zip(gain, rules, strict=True)
            if rule not in hybrid.rules
        ]


def board_of(problem: CompanionProblem, penalty: float, reward: float) -> Board:
    """The problem's pool and training rows."""
    train, pool = problem.train, problem.pool
    covers = unpack(pool.captures, len(train))
    own = train.labels == np.arange(len(problem.class_names))[:, None]
    return Board(
        covers,
        pool.captures,
        np.array([problem.majority(train.labels[rows]) for rows in covers]),
        pack(own),
        train.labels,
        pack((train.labels == train.black_box)[None])[0],
        penalty,
        reward,
    )


def listed(problem: CompanionProblem, board: Board, rules: Sequence[int]) -> RuleList:
    """The hybrid as a list, what gains most first; see `HyRS`."""
    left, order = np.full(board.captures.shape[1], ~np.uint64(0)), list[int]()
    while len(order) < len(rules):
        waiting = [rule for rule in rules if rule not in order]
        free = [rule for rule in waiting if not _has_prior(board, rule, waiting)]
        order.append(max(free, key=lambda rule: _gain_rate(board, rule, left)))
        left &= ~board.captures[order[-1]]
    labels = tuple(board.label[order].tolist())
    return RuleList(tuple(problem.pool.rules[rule] for rule in order), labels)


def _has_prior(board: Board, rule: int, others: Sequence[int]) -> bool:
    """Whether one of the others decides rows of this rule in its stead."""
    prior = [other for other in others if board.label[other] > board.label[rule]]
    return bool((board.captures[prior] & board.captures[rule]).any())


def _gain_rate(board: Board, rule: int, left: UInt64[np.ndarray, " words"]) -> float:
    """Right rows gained over the black box for each row decided; what decides none comes last."""
    decided = board.captures[rule] & left
    gain = sizes(decided & board.own[board.label[rule]]) - sizes(decided & board.box_right)
    return float(gain / sizes(decided)) if decided.any() else -np.inf

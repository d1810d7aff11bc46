"""One chain of simulated annealing over rule lists, evaluated from the first changed rule on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int

from bench.rules import pack, sizes
from bench.tasks.companion import CompanionProblem

ADD, REMOVE, SWAP, REPLACE = range(4)


class Ground(NamedTuple):
    """The numbers of a problem.

    Attributes
    ----------
    n, positives, box_right : training rows, those with label 1, those where the black box is
        right.
    alpha : what a rule costs.
    completed : whether a default rule decides the rows that are left.
    longest : rules in a list at most.
    """

    n: int
    positives: int
    box_right: int
    alpha: float
    completed: bool
    longest: int


@dataclass(frozen=True)
class Draws:
    """All that chance decides in a chain, drawn before it starts.

    Attributes
    ----------
    start : the first list.
    moves : ADD, REMOVE, SWAP or REPLACE.
    rules : the rule that an ADD or a REPLACE brings.
    places, others : in [0, 1), where in the list; `others` is a SWAP's second place.
    floors : the largest loss of the objective that is accepted, as a number <= 0.
    """

    start: Int[np.ndarray, " m"]
    moves: Int[np.ndarray, " steps"]
    rules: Int[np.ndarray, " steps"]
    places: Float[np.ndarray, " steps"]
    others: Float[np.ndarray, " steps"]
    floors: Float[np.ndarray, " steps"]


def best_of_chain(
    problem: CompanionProblem, draws: Draws, *, longest: int, compiled: bool
) -> tuple[float, list[int]]:
    """The largest objective that a chain meets, and the places of its rules in the pool.

    Parameters
    ----------
    longest : rules in a list at most.
    compiled : by numba, on words of 64 rows. The answer is the same without: then a set of
        rows is one long Python integer, whose bits are counted faster than NumPy adds up words.
    """
    train = problem.train
    right = train.black_box == train.labels
    sets = pack(np.stack([np.ones(len(train), dtype=bool), train.labels == 1, right]))
    completed = problem.objective == "autac_completed"
    _, positives, box_right = sizes(sets).tolist()
    ground = Ground(len(train), positives, box_right, problem.alpha, completed, longest)
    arrays, captures = tuple(vars(draws).values()), problem.pool.captures
    if compiled:
        lefts = np.zeros((2, longest + 1, sets.shape[1]), dtype=np.uint64)
        # numba compiles again for an array that can't be written, and for a view: hence a copy.
        value, best = _compiled()(arrays, captures.copy(), sets, lefts, ground)
    else:
        lists = tuple(array.tolist() for array in arrays)
        empty = [[0] * (longest + 1) for _ in range(2)]
        value, best = _interpreted()(lists, _integers(captures), _integers(sets), empty, ground)
    return float(value), [int(rule) for rule in best]


def _integers(sets: np.ndarray) -> list[int]:
    return [int.from_bytes(row.astype("<u8").tobytes(), "little") for row in sets]


def _captured(
    captures: list[int], rule: int, left: list[int], at: int, sets: list[int]
) -> tuple[int, int, int]:
    """What `rule` captures of the rows `left[at]`: all, those of label 1, those where the black
    box is right; what it leaves goes to `left[at + 1]`."""
    captured = captures[rule] & left[at]
    left[at + 1] = left[at] ^ captured
    return captured.bit_count(), (captured & sets[1]).bit_count(), (captured & sets[2]).bit_count()


@no_type_check
def _propose(move, rule, place, other, rules, length, new):
    """Write a changed list to `new`, from the first changed place on.

    Returns that place and the new length; place -1 where the move can't be made.
    """
    if move == ADD and length < len(rules):
        at = int(place * (length + 1))
        new[at] = rule
        for k in range(at, length):
            new[k + 1] = rules[k]
        return at, length + 1
    if move == ADD or length == 0 or (move == SWAP and length == 1):
        return -1, length
    at = int(place * length)
    if move == REMOVE:
        for k in range(at, length - 1):
            new[k] = rules[k + 1]
        return at, length - 1
    for k in range(length):
        new[k] = rules[k]
    if move == REPLACE:
        new[at] = rule
        return at, length
    second = int(other * (length - 1))
    second += int(second >= at)
    new[at], new[second] = rules[second], rules[at]
    return min(at, second), length


@no_type_check
def _chain(captured: Callable[..., Any], jit: Callable[[Any], Any]) -> Callable[..., Any]:
    """The chain for one way of holding sets: integers in lists, or words in arrays.

    Before rule k of a list, `left[k]` are the rows that no rule has captured, and `state[k]`
    counts the captured rows, those of label 1 among them, those that the black box has right,
    those that the rules have right, and the doubled area so far.
    """
    propose = jit(_propose)

    @jit
    def evaluate(rules, first, length, left, state, captures, sets, ground):
        covered, ones, by_box, by_rule, area = state[first]
        for k in range(first, length):
            n, p, c = captured(captures, rules[k], left, k, sets)
            gain = max(p, n - p) - c
            area += n * (2 * (ground.box_right - by_box + by_rule) + gain)
            covered += n
            ones += p
            by_box += c
            by_rule += c + gain
            state[k + 1] = (covered, ones, by_box, by_rule, area)
        if ground.completed:
            n, p, c = ground.n - covered, ground.positives - ones, ground.box_right - by_box
            area += n * (2 * (c + by_rule) + max(p, n - p) - c)
        return area / (2.0 * ground.n * ground.n) - ground.alpha * length

    @jit
    def run(draws, captures, sets, lefts, ground):
        start, moves, drawn, places, others, floors = draws
        rules, new = [0] * ground.longest, [0] * ground.longest
        left, new_left = lefts[0], lefts[1]
        state = [(0, 0, 0, 0, 0)] * (ground.longest + 1)
        new_state = state[:]
        left[0], length = sets[0], len(start)
        for k in range(length):
            rules[k] = start[k]
        value = evaluate(rules, 0, length, left, state, captures, sets, ground)
        best, best_value = rules[:length], value
        for step in range(len(moves)):
            first, new_length = propose(
                moves[step], drawn[step], places[step], others[step], rules, length, new
            )
            if first < 0:
                continue
            new_left[first], new_state[first] = left[first], state[first]
            new_value = evaluate(
                new, first, new_length, new_left, new_state, captures, sets, ground
            )
            if new_value - value < floors[step]:
                continue
            length, value = new_length, new_value
            for k in range(first, length):
                rules[k] = new[k]
                left[k + 1], state[k + 1] = new_left[k + 1], new_state[k + 1]
            if value > best_value:
                best, best_value = rules[:length], value
        return best_value, best

    return run


@cache
def _interpreted() -> Callable[..., Any]:
    chain: Callable[..., Any] = _chain(_captured, lambda function: function)
    return chain


@cache
@no_type_check
def _compiled() -> Callable[..., Any]:
    from numba import njit

    @njit
    def ones(word):
        """Bits set; compilers know this sum and use the processor's own instruction for it."""
        word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
        pairs = np.uint64(0x3333333333333333)
        word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
        word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))

    @njit
    def captured(captures, rule, left, at, sets):
        n, positives, box_right = 0, 0, 0
        for word in range(sets.shape[1]):
            both = captures[rule, word] & left[at, word]
            left[at + 1, word] = left[at, word] ^ both
            n += ones(both)
            positives += ones(both & sets[1, word])
            box_right += ones(both & sets[2, word])
        return n, positives, box_right

    return _chain(captured, njit)

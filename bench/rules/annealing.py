"""Simulated annealing over the lists of a pool, evaluated from the first changed rule on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int

from bench.rules.ground import Ground

ADD, REMOVE, SWAP, REPLACE = range(4)


class Numbers(NamedTuple):
    """The numbers of a `Ground`, and the longest list that is allowed."""

    n: int
    box_right: int
    price: float
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
    floors : the largest loss of the objective that is accepted, as a number <= 0, in units of
        AUTAC.
    """

    start: Int[np.ndarray, " m"]
    moves: Int[np.ndarray, " steps"]
    rules: Int[np.ndarray, " steps"]
    places: Float[np.ndarray, " steps"]
    others: Float[np.ndarray, " steps"]
    floors: Float[np.ndarray, " steps"]


def best_of_chain(
    ground: Ground, draws: Draws, *, longest: int, compiled: bool
) -> tuple[float, list[int]]:
    """The largest objective that a chain meets, in units of AUTAC, and that list.

    Parameters
    ----------
    longest : rules in a list at most.
    compiled : by numba, on words of 64 rows. The answer is the same without: then a set of
        rows is one long Python integer, whose bits are counted faster than NumPy adds up words.
    """
    numbers = Numbers(ground.n, ground.box_right, ground.price, ground.completed, longest)
    floors = draws.floors * ground.scale
    arrays = (draws.start, draws.moves, draws.rules, draws.places, draws.others, floors)
    with_all = np.concatenate([ground.by_rule, ground.everything[None]])
    if compiled:
        lefts = np.zeros((2, longest + 2, with_all.shape[1]), dtype=np.uint64)
        value, best = _compiled()(arrays, with_all, ground.masks, lefts, numbers)
    else:
        lists = tuple(array.tolist() for array in arrays)
        empty = [[0] * (longest + 2) for _ in range(2)]
        captures, masks = _integers(with_all), _integers(ground.masks)
        value, best = _interpreted()(lists, captures, masks, empty, numbers)
    return float(value) / ground.scale, [int(rule) for rule in best]


def _integers(sets: np.ndarray) -> list[int]:
    return [int.from_bytes(row.astype("<u8").tobytes(), "little") for row in sets]


def _captured(
    captures: list[int], rule: int, left: list[int], at: int, masks: list[int]
) -> tuple[int, int]:
    """Of what `rule` captures of `left[at]`: its size, and what its best label gains.

    What it leaves goes to `left[at + 1]`.
    """
    captured = captures[rule] & left[at]
    left[at + 1] = left[at] ^ captured
    size, most = captured.bit_count(), 0
    rest = size
    for label in range(1, len(masks) - 1):
        with_label = (captured & masks[label]).bit_count()
        rest -= with_label
        most = max(most, with_label)
    return size, max(most, rest) - (captured & masks[-1]).bit_count()


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
    counts them, the rows that are right, and the doubled area so far.
    """
    propose = jit(_propose)

    @jit
    def evaluate(rules, first, length, left, state, captures, masks, numbers):
        uncaptured, right, area = state[first]
        for k in range(first, length):
            size, gain = captured(captures, rules[k], left, k, masks)
            area += size * (2 * right + gain)
            right += gain
            uncaptured -= size
            state[k + 1] = (uncaptured, right, area)
        if numbers.completed:
            # The last of the captures is no rule of the pool: it captures all.
            size, gain = captured(captures, len(captures) - 1, left, length, masks)
            area += size * (2 * right + gain)
        return area - numbers.price * length

    @jit
    def run(draws, captures, masks, lefts, numbers):
        start, moves, drawn, places, others, floors = draws
        rules, new = [0] * numbers.longest, [0] * numbers.longest
        left, new_left = lefts[0], lefts[1]
        state = [(numbers.n, numbers.box_right, 0)] * (numbers.longest + 1)
        new_state = state[:]
        left[0], length = masks[0], len(start)
        for k in range(length):
            rules[k] = start[k]
        value = evaluate(rules, 0, length, left, state, captures, masks, numbers)
        best, best_value = rules[:length], value
        for step in range(len(moves)):
            first, new_length = propose(
                moves[step], drawn[step], places[step], others[step], rules, length, new
            )
            if first < 0:
                continue
            new_left[first], new_state[first] = left[first], state[first]
            new_value = evaluate(
                new, first, new_length, new_left, new_state, captures, masks, numbers
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

    from bench.rules.words import ones

    @njit
    def captured(captures, rule, left, at, masks):
        size, box_right, most = 0, 0, 0
        for word in range(masks.shape[1]):
            both = captures[rule, word] & left[at, word]
            left[at + 1, word] = left[at, word] ^ both
            size += np.int64(ones(both))
            box_right += np.int64(ones(both & masks[-1, word]))
        rest = size
        for label in range(1, len(masks) - 1):
            with_label = 0
            for word in range(masks.shape[1]):
                captures_left = left[at, word] ^ left[at + 1, word]
                with_label += np.int64(ones(captures_left & masks[label, word]))
            rest -= with_label
            most = max(most, with_label)
        return size, max(most, rest) - box_right

    return _chain(captured, njit)

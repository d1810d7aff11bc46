from importlib.util import find_spec

import numpy as np
import pytest
from earnest.methods.companion.companion_annealing import CompanionAnnealing

from bench.rules import Literals, mine
from bench.rules.annealing import ADD, REMOVE, REPLACE, SWAP, Draws, _propose, best_of_chain
from bench.tasks.companion import CompanionProblem, Rows

OBJECTIVES = pytest.mark.parametrize("objective", ["autac", "autac_completed"])
ENGINES = pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(find_spec("numba") is None, reason="no numba")),
    ],
)


def problem(
    seed: int,
    n: int = 80,
    rules: int = 3,
    objective: str = "autac_completed",
    alpha: float = 0.003,
    labels: int = 2,
) -> CompanionProblem:
    """Random literals; labels and a black box that have a little to do with them."""
    rng = np.random.default_rng(seed)
    holds = rng.random((n, 5)) < 0.5
    values = np.stack([holds, ~holds], axis=2).reshape(n, 10)
    told = (holds[:, 0] & holds[:, 1]) * rng.integers(1, labels, n)
    truth = np.where(rng.random(n) < 0.7, told, rng.integers(0, labels, n))
    black_box = np.where(rng.random(n) < 0.5, truth, rng.integers(0, labels, n))
    literals = Literals(values, tuple("aAbBcCdDeE"))
    train = Rows(literals, truth.astype(int), black_box.astype(int))
    pool = mine(literals, train.labels, min_support=0.05, max_conditions=2, per_label=rules)
    names = tuple("xyz")[:labels]
    return CompanionProblem(train, np.ones(n), pool, names, objective, alpha)


def draws(given: CompanionProblem, steps: int, seed: int, temperature: float = 0.003) -> Draws:
    return CompanionAnnealing(
        sweeps=-(-steps // len(given.pool.rules)), temperature=temperature
    )._draws(len(given.pool.rules), np.random.default_rng(seed))


def literal_chain(given: CompanionProblem, drawn: Draws, longest: int) -> tuple[float, list[int]]:
    """The chain with whole lists, each evaluated from its first rule on by the task."""

    def value(rules: list[int]) -> float:
        return given.value(given.labelled([given.pool.rules[rule] for rule in rules]))

    rules = drawn.start.tolist()
    current = best_value = value(rules)
    best = rules
    for move, rule, place, other, floor in zip(
        drawn.moves, drawn.rules, drawn.places, drawn.others, drawn.floors, strict=True
    ):
        new, n = list(rules), len(rules)
        if move == ADD and n < longest:
            new.insert(int(place * (n + 1)), int(rule))
        elif move == REMOVE and n:
            del new[int(place * n)]
        elif move == SWAP and n > 1:
            at, rest = int(place * n), [k for k in range(n) if k != int(place * n)]
            second = rest[int(other * (n - 1))]
            new[at], new[second] = new[second], new[at]
        elif move == REPLACE and n:
            new[int(place * n)] = int(rule)
        else:
            continue
        if value(new) - current >= floor:
            rules, current = new, value(new)
        if current > best_value:
            best, best_value = rules, current
    return best_value, best


@ENGINES
@OBJECTIVES
@pytest.mark.parametrize("labels", [2, 3])
def test_the_chain_is_the_literal_one(objective: str, compiled: bool, labels: int):
    """Evaluation from the first changed rule on is evaluation of the whole list, in each step:
    one wrong number would send the two chains apart. Sets over several words; hot and cold."""
    for seed, temperature in enumerate([0.1, 0.003, 1e-9]):
        given = problem(seed, n=150, rules=12, objective=objective, labels=labels)
        drawn = draws(given, 250, seed, temperature)
        value, best = best_of_chain(given.ground, drawn, longest=6, compiled=compiled)
        expected, expected_list = literal_chain(given, drawn, 6)
        assert best == expected_list
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.skipif(find_spec("numba") is None, reason="no numba")
def test_compiled_and_interpreted_chains_give_one_answer():
    """Bit for bit, on a longer run than the literal chain can follow."""
    given = problem(7, n=500, rules=40)
    drawn = draws(given, 5000, 7)
    one, two = (best_of_chain(given.ground, drawn, longest=20, compiled=c) for c in (False, True))
    assert one == two


def test_moves_of_the_paper():
    """Add, remove, swap, replace; from the first changed place on, -1 where there is none."""
    rules = [5, 6, 7, 0]

    def after(move: int, place: float, other: float = 0.0, length: int = 3):
        new = [None] * 4
        at, longer = _propose(move, 9, place, other, rules, length, new)
        return at, rules[: max(at, 0)] + new[max(at, 0) : longer] if at >= 0 else None

    assert after(ADD, 0.0) == (0, [9, 5, 6, 7])
    assert after(ADD, 0.99) == (3, [5, 6, 7, 9])
    assert after(REMOVE, 0.4) == (1, [5, 7])
    assert after(REPLACE, 0.99) == (2, [5, 6, 9])
    assert after(SWAP, 0.99, 0.0) == (0, [7, 6, 5])
    assert after(SWAP, 0.0, 0.0) == (0, [6, 5, 7])
    assert after(ADD, 0.5, length=4) == after(SWAP, 0.5, length=1) == (-1, None)
    assert after(REMOVE, 0.5, length=0) == after(REPLACE, 0.5, length=0) == (-1, None)

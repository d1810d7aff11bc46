"""Shared by the tests of companions: random problems."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.rules import Literals, RulePool, mine
from bench.tasks.companion import CompanionProblem, Rows


def _random_problem(
    seed: int,
    *,
    n: int = 80,
    rules: int = 3,
    n_labels: int = 2,
    at_most: int | None = None,
    objective: str = "autac_completed",
    alpha: float = 0.003,
) -> CompanionProblem:
    """Random literals; labels and a black box that have a little to do with them.

    Parameters
    ----------
    rules : of the pool for each label. at_most : rules of the pool in all.
    """
    rng = np.random.default_rng(seed)
    holds = rng.random((n, 5)) < 0.5
    values = np.stack([holds, ~holds], axis=2).reshape(n, 10)
    drawn = rng.integers(n_labels, size=(2, n))
    told = (holds[:, 0] & holds[:, 1]) + (n_labels > 2) * holds[:, 2].astype(int)
    labels = np.where(rng.random(n) < 0.7, told, drawn[0])
    black_box = np.where(rng.random(n) < rng.choice([0.3, 0.6]), labels, drawn[1])
    train = Rows(Literals(values, tuple("aAbBcCdDeE")), labels, black_box)
    pool = mine(train.literals, labels, min_support=0.05, max_conditions=2, per_label=rules)
    pool = RulePool(pool.rules[:at_most], pool.captures[:at_most])
    names = ("no", "yes", "maybe", "other")[:n_labels]
    return CompanionProblem(train, np.ones(n), pool, names, objective, alpha)


@pytest.fixture(scope="session")
def random_problem() -> Callable[..., CompanionProblem]:
    """Makes a problem from a seed."""
    return _random_problem

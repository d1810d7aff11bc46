"""What an attribution is held against, and no method sees."""

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from jaxtyping import Bool, Float

from bench.cache import Cache, cache_root
from bench.models.network import Network
from bench.setfunction.certificate import Certificate, Effort
from bench.setfunction.certificate import certify as find_certificate
from bench.setfunction.distinct import Remembered
from bench.setfunction.ideal import Ideal, best_known, exact_ideal
from bench.setfunction.table import (
    SetFunction,
    Tabulated,
    check_table,
    shapley_values,
    spot_check,
)
from bench.tasks.attribution_problem import AttributionProblem

REMEMBERED = 20
"""Features up to which F's answers are kept during a search: 8 MiB an instance."""

PROBES = 256
"""Random sets of deleted features by which infidelity is estimated."""


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    table : F of all sets, None beyond `exact_up_to`.
    ideal : the areas that no order beats, or the best known ones.
    tie_keys : random numbers that break ties, one set a shuffle; every second shuffle is the
        reverse of the one before, so that what ties throughout is exactly at chance.
    draw_spread : standard deviation of g over the draws, with everything deleted.
    shapley : the exact Shapley values, None without a table.
    probes : random sets S, each feature in it with probability 1/2.
    drops : F(nothing deleted) - F(S) of each of them.
    drop : F(nothing deleted) - F(everything deleted).
    seed : of what is drawn for each method alike: noisy inputs, random weights.
    """

    table: Float[np.ndarray, "n sets"] | None
    ideal: Ideal
    tie_keys: Float[np.ndarray, "n k p"]
    draw_spread: Float[np.ndarray, " n"]
    shapley: Float[np.ndarray, "n p"] | None
    probes: Bool[np.ndarray, "m p"]
    drops: Float[np.ndarray, "n m"]
    drop: Float[np.ndarray, " n"]
    seed: int

    def lookup(self, problem: AttributionProblem) -> SetFunction:
        """F, by table where there is one."""
        return problem.value if self.table is None else Tabulated(self.table)


def hold(
    problem: AttributionProblem,
    exact_up_to: int,
    shuffles: int,
    rng: np.random.Generator,
    *,
    certify: float = 0.0,
) -> Held:
    """Find the ideal, exactly for up to so many features, and draw what scores share.

    Parameters
    ----------
    certify : multiplications an instance spent on bounds where it isn't exact, 0 for none.
    """
    ties_rng, orders_rng, probes_rng = rng.spawn(3)
    table = cached_table(problem) if problem.p <= exact_up_to else None
    if table is None:
        check_repeats(problem)
        ideal = best_known(_remembered(problem), problem.null, rng=orders_rng)
        if certify:
            ideal = replace(ideal, certificate=certificate(problem, ideal, certify))
    else:
        ideal = exact_ideal(table)
    value = problem.value if table is None else Tabulated(table)
    ends = value(np.array([[False] * problem.p, [True] * problem.p]))
    probes = probes_rng.random((PROBES, problem.p)) < 0.5
    return Held(
        table,
        ideal,
        _tie_keys(problem.n, shuffles, problem.p, ties_rng),
        _draw_spread(problem),
        None if table is None else shapley_values(table),
        probes,
        ends[:, :1] - value(probes),
        ends[:, 0] - ends[:, 1],
        int(probes_rng.integers(2**63)),
    )


def _remembered(problem: AttributionProblem) -> SetFunction:
    """F, asked for no set twice where all could be kept: searches come by many again."""
    few = problem.p <= REMEMBERED
    return Remembered(problem.value, problem.n, problem.p) if few else problem.value


def certificate(problem: AttributionProblem, best: Ideal, products: float) -> Certificate | str:
    """Bounds of what any order reaches, or why there are none."""
    if not isinstance(problem.model, Network):
        return "the model is no network"
    return find_certificate(
        problem.model.module,
        problem.inputs,
        problem.targets,
        problem.reference,
        problem.partition,
        problem.g,
        best.orders,
        best.joint,
        Effort(products=products),
    )


def check_repeats(problem: AttributionProblem) -> None:
    """Raise `ArithmeticError` where the model answers the same rows differently.

    So does a shortcut of `value` that isn't what the whole model says.
    """
    masks = np.eye(problem.p, dtype=bool)
    direct = problem.direct(masks)
    if not np.array_equal(direct, problem.direct(masks)):
        raise ArithmeticError(
            "the model answers the same row differently each time: is it in eval mode?"
        )
    check_table(problem.value(masks), np.arange(problem.p), direct)


def cached_table(problem: AttributionProblem) -> Float[np.ndarray, "n sets"]:
    """The problem's table, built once for all settings and processes that share it.

    It is compared with direct calls at random sets whether it was built or found; these
    answers are part of its name, so that even a model without weights to hash is told apart.

    Raises
    ------
    ArithmeticError
        where it differs from them.
    """
    numbers, direct = spot_check(problem.direct, problem.p)
    digest = sha256(f"{problem.g} {problem.p}".encode())
    module = problem.model.module
    for tensor in (
        problem.inputs,
        problem.targets,
        problem.reference.draws,
        problem.partition.membership,
        *(module.state_dict().values() if module is not None else ()),
    ):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(direct.tobytes())
    cache = Cache(cache_root())
    table = cache.arrays("tables", digest.hexdigest(), lambda: {"table": problem.table()})["table"]
    check_table(table, numbers, direct)
    return table


def _tie_keys(
    n: int, shuffles: int, p: int, rng: np.random.Generator
) -> Float[np.ndarray, "n k p"]:
    drawn = rng.random((n, (shuffles + 1) // 2, p))
    return np.stack([drawn, 1 - drawn], axis=2).reshape(n, -1, p)[:, :shuffles]


def _draw_spread(problem: AttributionProblem) -> Float[np.ndarray, " n"]:
    draws, n = problem.reference.count, problem.n
    if draws == 1:
        return np.zeros(n)
    single = [
        replace(problem, reference=problem.reference.only(k)).value(
            np.ones((1, problem.p), dtype=bool)
        )
        for k in range(draws)
    ]
    spread: np.ndarray = np.concatenate(single, axis=1).std(axis=1, ddof=1)
    return spread

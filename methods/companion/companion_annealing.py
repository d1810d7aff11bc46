"""Companion rule lists by simulated annealing."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from bench.models.base import Capability
from bench.rules import RuleList
from bench.tasks.base import Unsupported
from bench.tasks.companion import CompanionProblem

from .chain import Draws, best_of_chain


@dataclass(frozen=True)
class CompanionAnnealing:
    """The best list that chains of random changes meet.

    A chain starts from three random rules. Each step adds, removes, swaps or replaces a rule,
    with equal chance, and is taken back where it loses more than T log(1/u), u uniform.

    Parameters
    ----------
    restarts : chains, each from a start of its own.
    sweeps : steps of a chain for each rule of the pool; the paper's 50,000 steps are 125 for
        each of its 400 rules.
    temperature : T at the first step, in units of AUTAC.
    cooling : `log`, T_n = temperature / log(2 + n), as in the paper; or `geometric`, down to a
        hundredth at the last step.
    longest : rules in a list at most.
    compiled : by numba; the same answer, 15 to 30 times as many steps a second, after some
        seconds of compilation.

    References
    ----------
    Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 4.
    """

    restarts: int = 8
    sweeps: int = 60
    temperature: float = 0.0003
    cooling: Literal["log", "geometric"] = "geometric"
    longest: int = 20
    compiled: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        if self.compiled and find_spec("numba") is None:
            raise Unsupported("compiled=true needs numba: pip install 'earnest[fast]'")
        pool = problem.pool.rules
        found = [
            best_of_chain(
                problem,
                self._draws(len(pool), rng),
                longest=self.longest,
                compiled=self.compiled,
            )
            for _ in range(self.restarts)
        ]
        _, best = max(found, key=lambda pair: pair[0])
        return problem.labelled([pool[rule] for rule in best])

    def _draws(self, n_rules: int, rng: np.random.Generator) -> Draws:
        steps = self.sweeps * n_rules
        return Draws(
            start=rng.permutation(n_rules)[: min(3, self.longest)],
            moves=rng.integers(4, size=steps),
            rules=rng.integers(n_rules, size=steps),
            places=rng.random(steps),
            others=rng.random(steps),
            floors=self._temperatures(steps) * np.log1p(-rng.random(steps)),
        )

    def _temperatures(self, steps: int) -> Float[np.ndarray, " steps"]:
        if self.cooling == "log":
            cooled: np.ndarray = 1 / np.log(2.0 + np.arange(steps))
        else:
            cooled = 0.01 ** (np.arange(steps) / max(steps - 1, 1))
        return self.temperature * cooled

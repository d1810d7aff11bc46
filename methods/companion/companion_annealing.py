"""Companion rule lists by simulated annealing."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from bench.models.base import Capability
from bench.rules import RuleList
from bench.rules.annealing import Draws, best_of_chain
from bench.rules.local_search import locally_best
from bench.tasks.base import Unsupported
from bench.tasks.companion import CompanionProblem


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
    polish : whether the best list is bettered by single changes until none helps.
    seconds : CPU seconds after which no chain begins, in the stead of `restarts`: the best list
        so far, which then depends on the machine.
    compiled : by numba; the same answer, some 30 times as many steps a second, after some
        seconds of compilation. None: where numba is installed.

    References
    ----------
    Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 4.
    """

    restarts: int = 16
    sweeps: int = 30
    temperature: float = 0.0005
    cooling: Literal["log", "geometric"] = "geometric"
    longest: int = 20
    polish: bool = True
    seconds: float | None = None
    compiled: bool | None = None

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset()

    def explain(self, problem: CompanionProblem, *, rng: np.random.Generator) -> RuleList:
        installed = find_spec("numba") is not None
        if self.compiled and not installed:
            raise Unsupported("compiled=true needs numba: pip install 'earnest[fast]'")
        compiled = installed if self.compiled is None else self.compiled
        ground, longest = problem.ground, self.longest
        chains = (self._draws(ground.n_rules, rng) for _ in self._turns())
        found = (best_of_chain(ground, one, longest=longest, compiled=compiled) for one in chains)
        _, best = max(found, key=lambda pair: pair[0])
        if self.polish:
            _, best = locally_best(ground, best, longest=longest)
        return problem.listed(best)

    def _turns(self) -> Iterator[int]:
        """One for each chain."""
        if self.seconds is None:
            yield from range(self.restarts)
            return
        began, turn = time.process_time(), 0
        while turn == 0 or time.process_time() - began < self.seconds:
            yield turn
            turn += 1

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

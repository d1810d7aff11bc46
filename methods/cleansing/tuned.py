"""Any damped method, with the damping whose advice helps the query most when it is taken."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from bench.models.base import Capability
from bench.models.influence import mean_losses
from bench.tasks.base import Method
from bench.tasks.cleansing import CleansingProblem, Influence


@runtime_checkable
class ManyDampings(Protocol):
    """A method that answers for many dampings in less time than for one after the other."""

    def explain_each(
        self, problem: CleansingProblem, dampings: Sequence[float], *, rng: np.random.Generator
    ) -> Sequence[Influence | FloatingPointError]:
        """What `explain` returns or raises with each damping and this `rng`."""
        ...


@dataclass(frozen=True)
class Tuned:
    """The values of `method` with one of `dampings`.

    For each damping the rows that it calls most harmful are left out and the model is trained
    again, all runs in one batch; the damping with the smallest mean loss on the problem's own
    query wins, the earlier one among equals. Nothing else is looked at: neither the rows that
    choose how many to remove nor the test data reach a method. Every candidate answers from the
    same random stream. The time, the rows asked and the retraining are the method's own cost, so
    equally long lists are equal budgets.

    Parameters
    ----------
    method : has a field `damping`.
    dampings : the candidates. One that the method can't compute with is passed over.
    percent : of the training rows, how many are left out.

    Raises
    ------
    FloatingPointError
        where the method can compute with none of them.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7:
    its damping differs by experiment (1.0, 0.1, 10). The use of validation data here: earnest.
    """

    method: Method[CleansingProblem, Influence]
    dampings: tuple[float, ...]
    percent: float = 5.0

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay", "retrain"})

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self.method)]  # type: ignore[arg-type]
        if "damping" not in names:
            raise ValueError(f"{type(self.method).__name__} has no damping, but {names}")
        if not self.dampings:
            raise ValueError("dampings=(): wanted at least one")
        if not 0 < self.percent < 100:
            raise ValueError(f"percent={self.percent}: wanted more than 0 and less than 100")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        damping, answer = self.best(problem, rng=rng)
        return replace(answer, notes={**answer.notes, "damping": damping})

    def best(
        self, problem: CleansingProblem, *, rng: np.random.Generator
    ) -> tuple[float, Influence]:
        """The damping that wins, and its answer."""
        answers, refused = self._answers(problem, int(rng.integers(2**63)))
        if not answers:
            raise FloatingPointError("; ".join(refused))
        keep = torch.stack([self._kept(answer) for answer in answers.values()])
        finals = problem.trajectory.retrain(keep)
        losses = mean_losses(problem.trajectory.objective, finals, problem.validation)
        won = list(answers)[int(losses.detach().argmin())]
        return won, answers[won]

    def _answers(
        self, problem: CleansingProblem, seed: int
    ) -> tuple[dict[float, Influence], list[str]]:
        found = dict(zip(self.dampings, self._found(problem, seed), strict=True))
        answers = {d: answer for d, answer in found.items() if isinstance(answer, Influence)}
        return answers, [str(error) for error in found.values() if not isinstance(error, Influence)]

    def _found(
        self, problem: CleansingProblem, seed: int
    ) -> Sequence[Influence | FloatingPointError]:
        """What the method returns or raises with each damping."""
        if isinstance(self.method, ManyDampings):
            rng = np.random.default_rng(seed)
            return self.method.explain_each(problem, self.dampings, rng=rng)
        return [self._one(problem, damping, seed) for damping in self.dampings]

    def _one(
        self, problem: CleansingProblem, damping: float, seed: int
    ) -> Influence | FloatingPointError:
        method: Any = replace(self.method, damping=damping)  # type: ignore[type-var]
        try:
            answer: Influence = method.explain(problem, rng=np.random.default_rng(seed))
        except FloatingPointError as error:
            return error
        return answer

    def _kept(self, answer: Influence) -> Bool[Tensor, " n_train"]:
        n = len(answer.values)
        kept = torch.ones(n, dtype=torch.bool)
        removed = max(1, round(self.percent / 100 * n))
        kept[torch.from_numpy(np.argsort(answer.values, kind="stable")[:removed])] = False
        return kept

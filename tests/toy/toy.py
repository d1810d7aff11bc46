"""A task that costs nothing, to test the engine: guess the mean of a column."""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from bench.clock import Calls
from bench.data import Column, DataMissing, Samples, Table, split
from bench.tasks.base import Case, Metric, Score, Scores, Unsupported


@dataclass(frozen=True)
class ToyData:
    rows: int = 40
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "table"
    predicts: ClassVar[str] = "classes"

    def load(self) -> Table:
        if self.rows == 0:
            raise DataMissing("toy.csv (sha256 00) is absent: set data_dir")
        values = np.arange(self.rows, dtype=float)[:, None]
        return Table(
            "toy", values, (Column("x"),), np.arange(self.rows) % 2, ("a", "b"), "MIT", "-"
        )


@dataclass(frozen=True)
class ToyModel:
    shift: float
    n_classes: int = 2
    calls: Calls = field(default_factory=Calls)
    module: None = None
    trajectory: None = None


@dataclass(frozen=True)
class ToyRecipe:
    diverges: bool = False
    version: ClassVar[int] = 1

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"black_box"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> ToyModel:
        if self.diverges:
            raise ValueError("training diverged at step 3")
        return ToyModel(float(samples.inputs.mean()))

    def arrays(self, model: ToyModel) -> dict[str, np.ndarray]:
        return {"shift": np.array(model.shift)}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> ToyModel:
        return ToyModel(float(arrays["shift"]))


@dataclass(frozen=True)
class Setting:
    shown: ClassVar[tuple[str, ...]] = ("level",)
    split: str = "percent 60/20/20"
    level: int = 1


@dataclass(frozen=True)
class Problem:
    values: np.ndarray
    model: Any = None


@dataclass(frozen=True)
class ToyTask:
    name: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    accepts: ClassVar[frozenset[str]] = frozenset({"classes"})
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("error", "lower", (0.0, float("inf")), "", "distance to the mean", "-"),
    )
    Setting: ClassVar[type] = Setting

    def refuses(self, data: Any, setting: Setting) -> str | None:
        return "level 0 has no case" if setting.level == 0 else None

    def case(self, data: Table, recipe: Any, setting: Setting, *, rng: Any) -> Case[Problem, float]:
        split_rng, _noise, model_rng, _case = rng.spawn(4)
        parts = split(data, setting.split, rng=split_rng)
        inputs = torch.as_tensor(data.values[parts.train], dtype=torch.float32)
        targets = torch.as_tensor(data.targets[parts.train])
        recipe.fit(Samples(inputs, targets, 2), rng=model_rng)
        return Case(Problem(data.values[parts.train]), float(data.values[parts.test].mean()))

    def adapts(self, setting: Any) -> bool:
        return False

    def adapt(self, case: Any, setting: Any, method: Any, *, rng: Any) -> tuple[Any, ...]:
        return (case,)

    def scores(self, cases: tuple[Any, ...], explanations: tuple[Any, ...]) -> Scores:
        return Scores({"error": Score(abs(explanations[0] - cases[0].held))})

    def tiny(self) -> Problem:
        return Problem(np.zeros((2, 1)))


@dataclass(frozen=True)
class Mean:
    """Answers at once."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    pause: float = 0.0

    def explain(self, problem: Problem, *, rng: np.random.Generator) -> float:
        time.sleep(self.pause)
        return float(problem.values.mean() + rng.normal() * 0.1)


@dataclass(frozen=True)
class Bad:
    """Ends in the way that it is told, on real problems only."""

    how: str
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem: Problem, *, rng: np.random.Generator) -> float:
        if self.how == "raises":
            raise RuntimeError("I always raise")
        if self.how == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "sleeps":
            time.sleep(3600)
        raise Unsupported("I answer nothing")


@dataclass(frozen=True)
class NeedsGradient(Mean):
    """Needs what the toy model hasn't."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

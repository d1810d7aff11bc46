"""What every task, method and score agrees on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from bench.components import Config, build, did_you_mean
from bench.isolation import Unsupported
from bench.models.base import Capability

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)
E_co = TypeVar("E_co", covariant=True)
H = TypeVar("H")


@dataclass(frozen=True)
class Metric:
    """A score's name and how to read it.

    Attributes
    ----------
    name : as it stands in tables.
    direction : whether a higher or a lower value is better; `none` where it only describes.
    range : least and largest possible value.
    unit : what one is counted in, "" for a plain number.
    definition : one sentence.
    source : paper and equation, or "earnest".
    """

    name: str
    direction: Literal["higher", "lower", "none"]
    range: tuple[float, float]
    unit: str
    definition: str
    source: str


@dataclass(frozen=True)
class Score:
    """A metric's value in one cell.

    Attributes
    ----------
    value : the mean over what was averaged; NaN where the metric is undefined there.
    n : how many instances it was averaged over (1 where it is no average).
    se : standard error of that mean over instances, NaN where there is none.
    note : why it is undefined, or how exact it is.
    """

    value: float
    n: int = 1
    se: float = float("nan")
    note: str = ""

    @classmethod
    def mean(cls, values: np.ndarray, note: str = "") -> "Score":
        """Mean and standard error over the finite entries of `values`."""
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            return cls(float("nan"), 0, note=note or "undefined on every instance")
        spread = finite.std(ddof=1) / np.sqrt(finite.size) if finite.size > 1 else float("nan")
        return cls(float(finite.mean()), int(finite.size), float(spread), note)


@dataclass(frozen=True)
class Scores:
    """All that scoring one explanation gave.

    Attributes
    ----------
    values : a score for each of the task's metrics, by name.
    details : what figures need (curves, one drawn instance), JSON-ready lists and numbers.
    """

    values: Mapping[str, Score]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case(Generic[P, H]):
    """A problem, and what is held back to score its explanations.

    `held` (test data, truth, exact tables) never reaches a method or its process.
    """

    problem: P
    held: H


@runtime_checkable
class Method(Protocol[P_contra, E_co]):
    """Answers a problem. A frozen dataclass: its fields are its hyperparameters.

    `version` rises when the same fields and seed give another answer. `needs` names what the
    model must offer. A method that samples inputs may offer `sampler(problem, *, rng)`, the
    inputs at which it will ask the model, by which an attack adapts to it. One that loads large
    packages only when it is asked may name them in `imports: ClassVar[tuple[str, ...]]`: a sweep
    then loads them once and not for each cell.
    """

    version: ClassVar[int]
    needs: ClassVar[frozenset[Capability]]

    def explain(self, problem: P_contra, *, rng: np.random.Generator) -> E_co:
        """The explanation; raises `Unsupported` with a reason where there can be none."""
        ...


@runtime_checkable
class Task(Protocol):
    """What is asked, and how an answer is scored.

    `Setting` is the task's frozen dataclass of what changes the problem; its class attribute
    `shown` names the fields that stand in every table. `metrics` are its scores (the first is
    the headline), `accepts` the kinds of target (`classes`, `number`) it has cases for. One
    whose problems can live on a GPU, where its recipe trains there, says `on_gpu = True`; its
    tiny problem has `to(device)`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    metrics: ClassVar[tuple[Metric, ...]]
    Setting: ClassVar[type]
    accepts: ClassVar[frozenset[str]]

    def refuses(self, data: Any, setting: Any) -> str | None:
        """Why this task has no case on such data, or None."""
        ...

    def case(self, data: Any, recipe: Any, setting: Any, *, rng: np.random.Generator) -> Any:
        """Split, train and gather one `Case`; `rng` is named by seed and data set alone."""
        ...

    def adapts(self, setting: Any) -> bool:
        """Whether a method meets more than the case, so that `adapt` must be asked."""
        ...

    def adapt(
        self, case: Any, setting: Any, method: Any, *, rng: np.random.Generator
    ) -> tuple[Case[Any, Any], ...]:
        """The cases that this method is run on: the case alone, unless the task attacks it."""
        ...

    def scores(self, cases: tuple[Any, ...], explanations: tuple[Any, ...]) -> Scores:
        """Score the explanations of the adapted cases; never timed."""
        ...

    def tiny(self) -> Any:
        """A problem that any method answers in a blink: warm-up and conformance."""
        ...


def make_setting(cls: type, defaults: Config, overrides: Config, what: str) -> Any:
    """The setting of a task: its yaml's defaults, with fields replaced.

    Raises
    ------
    ConfigError
        for an unknown field or a value of the wrong type.
    """
    for key in overrides:
        if key not in cls.__dataclass_fields__:  # type: ignore[attr-defined]
            raise did_you_mean(key, cls.__dataclass_fields__, what)  # type: ignore[attr-defined]
    path = f"{cls.__module__}.{cls.__qualname__}"
    return build({"_target_": path, **defaults, **overrides}, what)


def setting_text(setting: Any) -> str:
    """A setting in short: the fields named in its `shown`, and those that aren't the default.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Setting:
    ...     shown: ClassVar[tuple[str, ...]] = ("reference",)
    ...     reference: str = "mean"
    ...     draws: int = 32
    >>> setting_text(Setting())
    'reference=mean'
    >>> setting_text(Setting(draws=8))
    'reference=mean draws=8'
    """
    shown = getattr(setting, "shown", ())
    texts = [
        f"{f.name}={getattr(setting, f.name)}"
        for f in fields(setting)
        if f.name in shown or getattr(setting, f.name) != f.default
    ]
    return " ".join(texts) or "default"


__all__ = [
    "Capability",
    "Case",
    "Method",
    "Metric",
    "Score",
    "Scores",
    "Task",
    "Unsupported",
    "make_setting",
    "setting_text",
]

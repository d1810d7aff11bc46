"""One cell, the whole story: load, train, explain under the clock, score, record."""

import contextlib
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from bench.cache import Cache, cache_root
from bench.clock import Calls, Costs, PeakMemory, Stopwatch, counted
from bench.components import Config, ConfigError, build
from bench.data import Data
from bench.devices import CPU
from bench.explainers import Explainers
from bench.isolation import Limits, Outcome, Unsupported, Worker
from bench.models.cached import CachedRecipe
from bench.provenance import where
from bench.record import Record, canonical, key_of
from bench.seeding import stream
from bench.tasks.base import Case, Metric, Scores

PRELOAD = ("torch", "torch.func", "numpy", "bench.cell", "bench.models.network")


@dataclass(frozen=True)
class Choice:
    """A component by the name of its yaml, and the fields to replace as canonical JSON."""

    name: str
    replaced: str = "{}"

    @classmethod
    def parse(cls, entry: Any, what: str) -> "Choice":
        """From `lime` or `{lime: {samples: 2000}}`."""
        if isinstance(entry, str):
            return cls(entry)
        if isinstance(entry, Mapping) and len(entry) == 1:
            ((name, overrides),) = entry.items()
            if isinstance(overrides, Mapping):
                return cls(str(name), canonical(overrides))
        raise ConfigError(f"{what}={entry!r}: wanted a name, or {{name: {{field: value}}}}")

    @property
    def overrides(self) -> Config:
        fields: Config = json.loads(self.replaced)
        return fields

    @property
    def label(self) -> str:
        """As it stands in tables: `lime samples=2000`; a part's fields stand alone."""
        return " ".join([self.name, *_spelled(self.overrides)])

    @property
    def entry(self) -> Any:
        """What `parse` would read again."""
        return {self.name: self.overrides} if self.overrides else self.name


def _spelled(overrides: Config) -> Iterator[str]:
    for key, value in overrides.items():
        if isinstance(value, dict) and "_target_" not in value:
            yield from _spelled(value)
        else:
            yield f"{key}={value}"


@dataclass(frozen=True)
class Component:
    """A choice, resolved: what to build, its version, and a digest of its source."""

    choice: Choice
    config: Config
    version: int
    source: str

    @property
    def identity(self) -> dict[str, Any]:
        """What of it goes into a cell's key."""
        return {"config": self.config, "version": self.version}


@dataclass(frozen=True)
class Cell:
    """One (task, setting, data set, model, method, seed), ready to be run in any process."""

    suite: str
    task: Component
    setting: Mapping[str, Any]
    setting_text: str
    dataset: Component
    model: Component
    method: Component
    seed: int
    data_hash: str
    device: str = CPU
    """Where it runs, see `bench.devices`; no part of the key."""

    @cached_property
    def problem_config(self) -> dict[str, Any]:
        """What decides the case; cells that share it share the case."""
        return {
            "task": self.task.identity,
            "setting": dict(self.setting),
            "dataset": {**self.dataset.identity, "data_hash": self.data_hash},
            "model": self.model.identity,
            "seed": self.seed,
        }

    @cached_property
    def kind_key(self) -> str:
        """Of the problem, whatever its seed."""
        return key_of({**self.problem_config, "seed": None})

    @cached_property
    def config(self) -> dict[str, Any]:
        """What the key is hashed from."""
        return {**self.problem_config, "method": self.method.identity}

    @cached_property
    def key(self) -> str:
        return key_of(self.config)

    @cached_property
    def problem_key(self) -> str:
        return key_of(self.problem_config)

    @property
    def source(self) -> str:
        """A digest of the components' files."""
        parts = (self.task, self.dataset, self.model, self.method)
        return digest_of("".join(part.source for part in parts))

    @property
    def choices(self) -> dict[str, Any]:
        """The overrides by which `earnest run` makes this cell again."""
        return {
            "task": self.task.choice.name,
            "setting": dict(self.setting),
            "dataset": self.dataset.choice.entry,
            "model": self.model.choice.entry,
            "method": self.method.choice.entry,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Built:
    """What building a case left behind: its files, and how long loading and training took."""

    folder: Path
    seconds: Mapping[str, float]


def build_case(cell: Cell, folder: Path) -> Built:
    """Load the data, train the model, make the case; the problem goes to a file of its own."""
    _one_thread()
    start = perf_counter()
    data = _load_data(canonical(cell.dataset.config))
    loaded = perf_counter()
    if data.fingerprint != cell.data_hash:
        raise ValueError(
            f"{cell.dataset.choice.label} has changed since the cells were planned: it now reads "
            f"{data.fingerprint[:12]}, planned was {cell.data_hash[:12]}; clear the cache's "
            "folder 'fingerprints' and plan anew"
        )
    digest = sha256((canonical(cell.model.identity) + cell.model.source).encode()).hexdigest()
    model, cache = build(cell.model.config, "model"), Cache(cache_root())
    recipe = CachedRecipe(model, digest, cache, cell.device)
    case = make_case(cell, data, recipe)
    _dump(case, folder / "case.pkl")
    _dump(case.problem, folder / "problem.pkl")
    total = perf_counter() - loaded
    train = sum(recipe.seconds)
    return Built(folder, {"load": loaded - start, "train": train, "case": total - train})


def make_case(cell: Cell, data: Data, recipe: Any) -> Case[Any, Any]:
    """The case of a cell's problem; raises `Unsupported` where the task has none on this data."""
    task, setting = _task(cell), _setting(cell)
    reason = task.refuses(data, setting)
    if reason:
        raise Unsupported(reason)
    rng = stream(cell.seed, "case", cell.dataset.choice.label)
    case: Case[Any, Any] = task.case(data, recipe, setting, rng=rng)
    return case


def adapt_case(cell: Cell, folder: Path, problems: Path, cases: Path) -> None:
    """Make the cases that are this method's own (an attack), for a task that adapts."""
    _one_thread()
    method = build(cell.method.config, cell.method.choice.label)
    case, rng = _load(folder / "case.pkl"), _method_rng(cell, "attack")
    adapted = _task(cell).adapt(case, _setting(cell), method, rng=rng)
    _dump(adapted, cases)
    _dump(tuple(case.problem for case in adapted), problems)


def explain(cell: Cell, problems: Path, answer: Path) -> Costs:
    """Run the method on its problems; what is timed is `explain` alone."""
    _one_thread()
    method = build(cell.method.config, cell.method.choice.label)
    loaded = _load(problems)
    asked = loaded if isinstance(loaded, tuple) else (loaded,)
    _warm_up_once(canonical(cell.task.config), canonical(cell.method.config), cell.device)
    answers = [
        timed_explain(method, problem, _method_rng(cell, "explain"), cell.device)
        for problem in asked
    ]
    explanations, costs = zip(*answers, strict=True)
    _dump(explanations, answer)
    return _sum(costs)


def warm_up(task: Any, method: Any, device: str = CPU) -> None:
    """One answer to the tiny problem, so that imports and compilation come before the clock."""
    with contextlib.suppress(Exception):  # whatever is wrong shows on the real problem
        tiny = task.tiny() if device == CPU else task.tiny().to(device)
        method.explain(tiny, rng=np.random.default_rng(0))


@lru_cache
def _warm_up_once(task: str, method: str, device: str) -> None:
    """In a process that answers for the method again and again, its first time is enough."""
    warm_up(build(json.loads(task), "task"), build(json.loads(method), "method"), device)


def timed_explain(
    method: Any, problem: Any, rng: np.random.Generator, device: str = CPU
) -> tuple[Any, Costs]:
    """(explanation, what it took)."""
    model = getattr(problem, "model", None)
    calls = model.calls if model is not None else Calls()
    before = calls.copy()
    with counted(getattr(model, "module", None), calls):
        memory, watch = PeakMemory(), Stopwatch(device)
        explanation = method.explain(problem, rng=rng)
        seconds, cpu_seconds = watch.read()
    return explanation, Costs(seconds, cpu_seconds, memory.read(), calls.since(before))


def score(cell: Cell, folder: Path, cases: Path | None, answer: Path) -> Scores:
    """Score an answer against what was held back."""
    _one_thread()
    adapted = (_load_case(folder / "case.pkl"),) if cases is None else _load(cases)
    scores: Scores = _task(cell).scores(adapted, _load(answer))
    return scores


def run_cell(
    cell: Cell, built: Outcome, scorer: Worker, explainers: Explainers, limits: Limits
) -> Record:
    """Explain in a process that sees the method's problems only, score in `scorer`, record.

    Parameters
    ----------
    built : how `build_case` ended for this cell's problem.
    scorer : the worker that built the case; it must be alive where `built` is ok.
    explainers : the workers that explain.
    limits : of each stage.
    """
    if built.status != "ok":
        return _record(cell, "train", built)
    folder: Path = built.value.folder
    answer, seconds = folder / f"{cell.key}.answer", dict(built.value.seconds)
    problems, cases = folder / "problem.pkl", None
    try:
        if _task(cell).adapts(_setting(cell)):
            problems, cases = folder / f"{cell.key}.problems", folder / f"{cell.key}.cases"
            attacked = scorer.call(adapt_case, cell, folder, problems, cases, limits=limits)
            if attacked.status != "ok":
                return _record(cell, "attack", attacked, seconds)
            seconds["attack"] = attacked.seconds
        asked = cell.kind_key, canonical(cell.method.identity)
        explained = explainers.call(*asked, explain, cell, problems, answer, limits=limits)
        if explained.status != "ok":
            return _record(cell, "explain", explained, seconds)
        seconds["explain"] = explained.value.seconds
        scored = scorer.call(score, cell, folder, cases, answer, limits=limits)
        seconds["score"] = scored.seconds
        return _record(cell, "score", scored, seconds, explained.value)
    finally:
        for path in folder.glob(f"{cell.key}.*"):
            path.unlink(missing_ok=True)


def _record(
    cell: Cell,
    stage: str,
    outcome: Outcome,
    seconds: Mapping[str, float] | None = None,
    costs: Costs | None = None,
) -> Record:
    task = _task(cell)
    scores: Scores | None = outcome.value if outcome.status == "ok" else None
    record = Record(
        key=cell.key,
        suite=cell.suite,
        task=cell.task.choice.name,
        setting=cell.setting_text,
        settings=dict(cell.setting),
        dataset=cell.dataset.choice.label,
        data_hash=cell.data_hash,
        model=cell.model.choice.label,
        method=cell.method.choice.label,
        method_version=cell.method.version,
        seed=cell.seed,
        status=outcome.status,
        error_type=outcome.error_type,
        reason=outcome.reason,
        stage="" if outcome.status == "ok" else stage,
        scores={name: asdict(value) for name, value in scores.values.items()} if scores else {},
        metrics={metric.name: _described(metric) for metric in task.metrics},
        details=dict(scores.details) if scores else {},
        seconds=dict(seconds or {}),
        config=cell.config,
        choices=cell.choices,
        source=cell.source,
        traceback=outcome.traceback,
        log=outcome.log,
        **where(cell.device),
    )
    if costs is None:
        return record
    return replace(
        record,
        cpu_seconds=costs.cpu_seconds,
        peak_memory=costs.peak_memory,
        calls=asdict(costs.calls),
    )


def _described(metric: Metric) -> dict[str, Any]:
    return {key: value for key, value in asdict(metric).items() if key != "name"}


def _task(cell: Cell) -> Any:
    return build(cell.task.config, "task")


def _setting(cell: Cell) -> Any:
    return _task(cell).Setting(**cell.setting)


def _method_rng(cell: Cell, stage: str) -> np.random.Generator:
    names = (cell.dataset.choice.label, cell.setting_text, cell.model.choice.label)
    return stream(cell.seed, stage, *names, cell.method.choice.label)


def _sum(costs: tuple[Costs, ...]) -> Costs:
    return Costs(
        sum(c.seconds for c in costs),
        sum(c.cpu_seconds for c in costs),
        max(c.peak_memory for c in costs),
        Calls(
            *(sum(getattr(c.calls, f) for c in costs) for f in ("forward", "backward", "values"))
        ),
    )


def _one_thread() -> None:
    torch.set_num_threads(1)


def _dump(value: Any, path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)


def _load(path: Path) -> Any:
    """Read a file that this run wrote itself, into a folder of its own."""
    with path.open("rb") as file:
        return pickle.load(file)


@lru_cache(maxsize=1)
def _load_data(config: str) -> Data:
    """The data are read once for all seeds whose cases a worker builds."""
    data: Data = build(json.loads(config), "dataset").load()
    return data


@lru_cache(maxsize=1)
def _load_case(path: Path) -> Any:
    """The case is read once for all answers that a worker scores."""
    return _load(path)


def digest_of(text: str) -> str:
    """Sixteen hexadecimal digits that name a text."""
    return sha256(text.encode()).hexdigest()[:16]

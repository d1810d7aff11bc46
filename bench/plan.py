"""From an experiment to its cells: which there are, which are missing, which shard runs which."""

import importlib.metadata
import inspect
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench.cache import Cache
from bench.cell import Cell, Choice, Component, digest_of
from bench.components import Config, ConfigError, Shelf, build, did_you_mean, merged, target
from bench.data import DataMissing
from bench.record import STATUSES, Record, canonical
from bench.tasks.base import make_setting, setting_text

BLOCK_KEYS = ("task", "setting", "dataset", "model", "method")
RESUMES = ("missing", "changed", "all", "none", *STATUSES[1:])


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment, those of one problem next to each other.

    Attributes
    ----------
    cells : all that can be run. refused : (what, why) of pairs that don't fit. absent : (data
    set, why) of data that isn't there.
    """

    suite: str
    cells: tuple[Cell, ...]
    refused: tuple[tuple[str, str], ...]
    absent: tuple[tuple[str, str], ...]

    def shard(self, index: int, count: int) -> "Plan":
        """Every `count`-th problem from `index` on, with all of its cells."""
        problems = {
            key: i for i, key in enumerate(dict.fromkeys(c.problem_key for c in self.cells))
        }
        chosen = tuple(c for c in self.cells if problems[c.problem_key] % count == index)
        return Plan(self.suite, chosen, self.refused, self.absent)

    def left(self, done: Mapping[str, Record], resume: Sequence[str]) -> tuple[Cell, ...]:
        """The cells that `resume` asks for, given the records that are there.

        Raises
        ------
        ConfigError
            where `resume` holds a word that isn't one of `RESUMES`.
        """
        for word in resume:
            if word not in RESUMES:
                raise did_you_mean(word, RESUMES, "resume")
        return tuple(cell for cell in self.cells if _wanted(cell, done.get(cell.key), resume))

    def counts(self, done: Mapping[str, Record]) -> Counter[str]:
        """Cells by status, `missing` and `changed` (done by other source) among them."""
        statuses: Counter[str] = Counter()
        for cell in self.cells:
            record = done.get(cell.key)
            statuses[record.status if record else "missing"] += 1
            statuses["changed"] += bool(record and record.source != cell.source)
        return statuses


def _wanted(cell: Cell, record: Record | None, resume: Sequence[str]) -> bool:
    if "none" in resume:
        return False
    if record is None or "all" in resume:
        return True
    return record.status in resume or ("changed" in resume and record.source != cell.source)


@dataclass(frozen=True)
class Experiment:
    """A named grid: blocks of task x setting x data set x model x method, and the seeds."""

    suite: str
    grid: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]


def make_plan(experiment: Experiment, shelf: Shelf, cache: Cache) -> Plan:
    """All cells of `experiment`, once each.

    Raises
    ------
    ConfigError
        for a name or key that is unknown, a value that doesn't fit its field, or no cell at all.
    """
    planner = _Planner(experiment, shelf, cache)
    cells = {cell.key: cell for block in experiment.grid for cell in planner.cells(block)}
    plan = Plan(
        experiment.suite,
        tuple(cells.values()),
        tuple(dict.fromkeys(planner.refused)),
        tuple(dict.fromkeys(planner.absent)),
    )
    if not plan.cells:
        reasons = [f"{what}: {why}" for what, why in (*plan.absent, *plan.refused)]
        raise ConfigError("nothing to run\n" + "\n".join(reasons or ["the grid is empty"]))
    return plan


class _Planner:
    """Expands blocks; keeps what was looked up, refused and absent on the way."""

    def __init__(self, experiment: Experiment, shelf: Shelf, cache: Cache) -> None:
        self._experiment, self._shelf, self._cache = experiment, shelf, cache
        self._components: dict[tuple[str, Choice], Component] = {}
        self._hashes: dict[Choice, str | None] = {}
        self.refused: list[tuple[str, str]] = []
        self.absent: list[tuple[str, str]] = []

    def cells(self, block: Mapping[str, Any]) -> Iterator[Cell]:
        for key in block:
            if key not in BLOCK_KEYS:
                raise did_you_mean(key, BLOCK_KEYS, "key of a grid block")
        task = self._component("task", Choice.parse(block.get("task"), "task"))
        methods = [self._component(f"method/{task.choice.name}", c) for c in self._methods(block)]
        axes = product(
            self._choices(block, "dataset"),
            _listed(block.get("setting")),
            self._choices(block, "model"),
        )
        for dataset, overrides, model in axes:
            yield from self._problem_cells(
                task,
                dict(overrides or {}),
                self._component("dataset", dataset),
                self._component("model", model),
                methods,
            )

    def _problem_cells(
        self,
        task: Component,
        overrides: dict[str, Any],
        dataset: Component,
        model: Component,
        methods: list[Component],
    ) -> Iterator[Cell]:
        setting = self._setting(task, overrides)
        what = f"{task.choice.name} on {dataset.choice.label} with {model.choice.label}"
        accepts = getattr(target(task.config), "accepts", frozenset({"classes", "number"}))
        predicted = target(dataset.config).predicts
        if predicted not in accepts:
            why = f"{task.choice.name} scores no prediction of a {predicted}"
            self.refused.append((what, why))
            return
        fitting = [m for m in methods if self._fits(m, model, what)]
        data_hash = self._hash(dataset)
        if data_hash is None:
            return
        for seed, method in product(self._experiment.seeds, fitting):
            yield Cell(
                self._experiment.suite,
                task,
                asdict(setting),
                setting_text(setting),
                dataset,
                model,
                method,
                seed,
                data_hash,
            )

    def _fits(self, method: Component, model: Component, what: str) -> bool:
        lacking = target(method.config).needs - build(model.config, "model").capabilities
        if lacking:
            self.refused.append(
                (
                    f"{method.choice.label}, {what}",
                    f"the model offers no {', '.join(sorted(lacking))}",
                )
            )
        return not lacking

    def _choices(self, block: Mapping[str, Any], axis: str) -> list[Choice]:
        if block.get(axis) is None:
            raise ConfigError(f"task {block.get('task')} needs a {axis}: give {axis}=NAME")
        return [Choice.parse(entry, axis) for entry in _listed(block[axis])]

    def _methods(self, block: Mapping[str, Any]) -> list[Choice]:
        group = f"method/{block['task']}"
        if block.get("method") in (None, "*"):
            return [Choice(name) for name in self._shelf.names(group)]
        return self._choices(block, "method")

    def _component(self, group: str, choice: Choice) -> Component:
        if (group, choice) not in self._components:
            config = self._shelf.config(group, choice.name)
            if group == "task":
                config = {key: value for key, value in config.items() if key != "setting"}
            replaced = {k: v for k, v in choice.overrides.items() if config.get(k, ...) != v}
            config = merged(config, choice.overrides, choice.name)
            build(config, f"{group}/{choice.name}")
            cls = target(config)
            found = Component(
                Choice(choice.name, canonical(replaced)),
                config,
                int(getattr(cls, "version", 1)),
                _source(cls),
            )
            self._components[group, choice] = found
        return self._components[group, choice]

    def _setting(self, task: Component, overrides: Config) -> Any:
        """The task's setting: the yaml's defaults, with fields replaced."""
        defaults = self._shelf.config("task", task.choice.name).get("setting", {})
        cls = target(task.config).Setting
        return make_setting(cls, defaults, overrides, f"setting of {task.choice.name}")

    def _hash(self, dataset: Component) -> str | None:
        """The data's fingerprint, remembered by what loads it; None where it is absent."""
        if dataset.choice not in self._hashes:
            try:
                self._hashes[dataset.choice] = fingerprint(dataset, self._cache)
            except DataMissing as error:
                self.absent.append((dataset.choice.label, str(error)))
                self._hashes[dataset.choice] = None
        return self._hashes[dataset.choice]


def fingerprint(dataset: Component, cache: Cache) -> str:
    """The fingerprint of a data set, kept in the cache so that planning loads nothing twice."""
    bundled = importlib.metadata.version("scikit-learn")
    digest = digest_of(json.dumps([dataset.identity, dataset.source, bundled], sort_keys=True))
    loader = build(dataset.config, "dataset")

    def load() -> dict[str, np.ndarray]:
        return {"fingerprint": np.array(loader.load().fingerprint)}

    return str(cache.arrays("fingerprints", digest, load)["fingerprint"])


def estimate(cells: Iterable[Cell], done: Iterable[Record], jobs: int) -> float | None:
    """Seconds that `cells` will take on `jobs` workers, from the times of like cells; or None."""
    past: dict[tuple[str, ...], list[float]] = {}
    for record in done:
        took = sum(record.seconds.get(stage, 0.0) for stage in ("explain", "score"))
        for like in _likes(record.task, record.dataset, record.method):
            past.setdefault(like, []).append(took)
    seconds = 0.0
    for cell in cells:
        names = (cell.task.choice.name, cell.dataset.choice.label, cell.method.choice.label)
        known = next((past[like] for like in _likes(*names) if like in past), None)
        if known is None:
            return None
        seconds += statistics.median(known)
    return seconds / max(jobs, 1)


def _likes(task: str, dataset: str, method: str) -> tuple[tuple[str, ...], ...]:
    return ((task, dataset, method), (task, dataset), (task,))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _source(cls: type) -> str:
    try:
        return digest_of(Path(inspect.getfile(cls)).read_text())
    except (OSError, TypeError):
        return ""

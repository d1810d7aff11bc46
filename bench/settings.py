"""What `earnest run` can be told: the schema that Hydra checks, and the experiment it means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from bench.components import ConfigError, Shelf, did_you_mean
from bench.devices import CPU
from bench.isolation import Limits
from bench.plan import BLOCK_KEYS, Experiment


@dataclass
class Axes:
    """What is given beside an experiment, or instead of one.

    They have a node of their own because Hydra takes `method=lime` for a choice in its config
    group `method`: the command line writes `axes.method=lime` for it.
    """

    task: Any = None
    setting: Any = None
    dataset: Any = None
    model: Any = None
    method: Any = None


@dataclass
class Settings:
    """Every key of `conf/config.yaml`; its comments say what each one does."""

    experiment: Any = None
    suite: str = "adhoc"
    grid: list[Any] = field(default_factory=list)
    axes: Axes = field(default_factory=Axes)
    seed: Any = 0
    results_dir: str | None = None
    data_dir: str | None = None
    jobs: int = 0
    seconds: float = 600.0
    memory: float = 6.0
    device: str = CPU
    resume: Any = "missing"
    shard: int = 0
    n_shards: int = 1
    page: bool = True


def register() -> None:
    """Make the schema known to Hydra, so that a wrong key or type is refused at once."""
    ConfigStore.instance().store(name="schema", node=Settings)


def from_hydra(config: DictConfig) -> Settings:
    """The settings of a composed configuration."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    known = {f.name for f in fields(Settings)}
    values = {str(key): value for key, value in plain.items() if key in known}
    return Settings(**{**values, "axes": Axes(**values.get("axes", {}))})


def with_axes(override: str) -> str:
    """`method=lime` as `axes.method=lime`; every other override as it is."""
    name = override.lstrip("+").partition("=")[0].partition(".")[0]
    return f"axes.{override.lstrip('+')}" if name in BLOCK_KEYS and "=" in override else override


def experiment_of(settings: Settings, shelf: Shelf) -> Experiment:
    """The grid that the settings ask for.

    An axis given beside an experiment takes the place of that axis in every block where it
    fits: `method=` in the blocks of the tasks that have such a method, `task=` keeps the blocks
    of that task. So do `dataset=` and `model=` where the experiment has what they name: blocks
    keep those of theirs that are named; names that it hasn't take the place of all. Without an
    experiment the axes make a grid of one block.
    """
    seeds = _seeds(settings.seed)
    axes = asdict(settings.axes)
    if not settings.grid:
        if settings.axes.task is None:
            names = ", ".join(shelf.names("experiment"))
            raise ConfigError(f"nothing to run: give experiment=NAME ({names}) or task=NAME")
        return Experiment(settings.suite, (axes,), seeds)
    given = {key: value for key, value in axes.items() if value is not None}
    tasks = _listed(given.pop("task", None))
    blocks = [b for b in settings.grid if not tasks or b.get("task") in tasks]
    if not blocks:
        raise did_you_mean(str(tasks[0]), {str(b.get("task")) for b in settings.grid}, "task")
    whole = blocks
    for key in ("dataset", "model"):
        if all(_name(e) in _names(whole, key) for e in _listed(given.get(key))):
            blocks = _with_only(blocks, key, _listed(given.pop(key, None)))
    if not blocks:
        raise ConfigError("no block of the experiment has such a data set and such a model")
    if "method" in given:
        blocks = _with_methods(blocks, _listed(given.pop("method")), shelf)
    return Experiment(settings.suite, tuple({**block, **given} for block in blocks), seeds)


def _with_methods(
    blocks: Sequence[Mapping[str, Any]], methods: list[Any], shelf: Shelf
) -> list[dict[str, Any]]:
    """Each block with those of `methods` that its task has; a name that no task has is refused."""
    known: set[str] = set()
    chosen = []
    for block in blocks:
        names = set(shelf.names(f"method/{block['task']}"))
        known |= names
        fitting = [method for method in methods if _name(method) in names]
        if fitting:
            chosen.append({**block, "method": fitting})
    for method in methods:
        if _name(method) not in known:
            raise did_you_mean(str(_name(method)), known, "method")
    return chosen


def _names(blocks: Sequence[Mapping[str, Any]], key: str) -> set[str]:
    """What the blocks name on an axis, with fields of its own or without."""
    return {_name(entry) for block in blocks for entry in _listed(block.get(key))}


def _with_only(
    blocks: Sequence[Mapping[str, Any]], key: str, chosen: list[Any]
) -> list[Mapping[str, Any]]:
    """The blocks that have some of `chosen`, with these alone; all blocks if nothing is chosen.

    Where fields are given they take the place of the block's own.
    """
    if not chosen:
        return list(blocks)
    found: list[Mapping[str, Any]] = []
    for block in blocks:
        own = _listed(block.get(key))
        kept = [e for e in own if any(e == c or _name(e) == c for c in chosen)]
        names = {_name(e) for e in own}
        kept += [c for c in chosen if isinstance(c, Mapping) and _name(c) in names and c not in own]
        if kept:
            found.append({**block, key: kept})
    return found


def _name(entry: Any) -> str:
    return str(next(iter(entry))) if isinstance(entry, Mapping) and entry else str(entry)


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = _listed(value)
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ConfigError(
                f"seed={seed!r} is no whole number from 0 on: give seed=0 or seed=[0,1,2]"
            )
    return tuple(seeds)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def limits_of(settings: Settings) -> Limits:
    """Per-cell limits; memory is given in GiB."""
    for name in ("seconds", "memory"):
        limit = getattr(settings, name)
        if not (math.isfinite(limit) and limit > 0):
            raise ConfigError(f"{name}={limit} limits a cell: wanted a number above 0")
    if settings.jobs < 0:
        raise ConfigError(f"jobs={settings.jobs}: wanted how many cells at a time, 0 for the cores")
    return Limits(settings.seconds, int(settings.memory * 2**30))


def results_root(results_dir: str | None, environment: Mapping[str, str]) -> Path:
    """The folder of suites: `results_dir`, else `EARNEST_RESULTS`, else `./results/runs`."""
    return Path(results_dir or environment.get("EARNEST_RESULTS") or "results/runs")

"""earnest without files: methods, data and a model given as objects or names, scores returned."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cache import Cache, cache_root
from bench.cell import PRELOAD, digest_of, timed_explain
from bench.clock import Costs
from bench.components import Config, Shelf, build
from bench.data import Data
from bench.isolation import Limits, Outcome, Worker, attempt, preload
from bench.models.cached import CachedRecipe
from bench.models.given import Given
from bench.record import canonical
from bench.seeding import stream
from bench.tasks.base import Case, Method, make_setting, setting_text

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    methods: Any,
    data: str | Data,
    model: Any,
    *,
    task: str = "attribution",
    setting: Config | None = None,
    seeds: int | Sequence[int] = 1,
    isolate: bool = False,
    limits: Limits | None = None,
) -> "pd.DataFrame":
    """Explain and score, in this process, with no records and no Hydra.

    Parameters
    ----------
    methods : one or a list of: a name (`"lime"`), or an object with `explain`.
    data : a data set's name, or a `bench.data.Table` or `Images`.
    model : a name (`"mlp"`), a recipe with `fit`, or a trained model with `margins`
        (`bench.models.network.Network(module, n_classes)`,
        `bench.models.given.BlackBox(function, n_classes)`).
    task : the task's name.
    setting : fields of the task's setting that differ from its yaml.
    seeds : how many, or which.
    isolate : run `explain` in a process of its own under `limits`; a method that raises,
        crashes or never ends becomes a row with a status. Otherwise only what it raises does.

    Returns
    -------
    One row per (method, seed, metric): task, setting, dataset, model, method, seed, status,
    reason, metric, direction, value, n, se, note, seconds, cpu_seconds, peak_memory, forward,
    backward, values.

    Raises
    ------
    ConfigError
        for an unknown name or field.

    Examples
    --------
    >>> frame = evaluate(["random", "gradient"], "wine", "logistic", setting={"instances": 2})
    >>> sorted(frame.method.unique())
    ['gradient', 'random']
    """
    import pandas as pd  # late: no other part of the engine needs it

    shelf = Shelf()
    built_task, chosen = _task(shelf, task, setting or {})
    loaded = build(shelf.config("dataset", data), data).load() if isinstance(data, str) else data
    recipe, model_name = _recipe(shelf, model)
    reason = built_task.refuses(loaded, chosen)
    if reason:
        raise ValueError(f"{task} on {loaded.name}: {reason}")
    several = isinstance(methods, list | tuple)
    named = [_method(shelf, task, m) for m in (methods if several else [methods])]
    common = {
        "task": task,
        "setting": setting_text(chosen),
        "dataset": loaded.name,
        "model": model_name,
    }
    rows: list[dict[str, Any]] = []
    for seed in range(seeds) if isinstance(seeds, int) else seeds:
        case = built_task.case(loaded, recipe, chosen, rng=stream(seed, "case", loaded.name))
        for name, method in named:
            cell = {**common, "method": name, "seed": seed}
            names = (loaded.name, common["setting"], model_name, name)
            cases = built_task.adapt(case, chosen, method, rng=stream(seed, "attack", *names))
            answers = [_explain(method, c, seed, names, isolate, limits or Limits()) for c in cases]
            rows += _rows(cell, built_task, cases, answers)
    return pd.DataFrame(rows)


def _explain(
    method: Method[Any, Any],
    case: Case[Any, Any],
    seed: int,
    names: tuple[str, ...],
    isolate: bool,
    limits: Limits,
) -> Outcome:
    rng = stream(seed, "explain", *names)
    if not isolate:
        return attempt(timed_explain, method, case.problem, rng)
    preload(PRELOAD)
    with TemporaryDirectory() as folder, Worker(Path(folder) / "log") as worker:
        # As bytes: tensors sent as they are would be shared, and a method could change them here.
        sent = pickle.dumps((method, case.problem, rng))
        return worker.call(_explain_sent, sent, limits=limits)


def _explain_sent(sent: bytes) -> tuple[Any, Costs]:
    return timed_explain(*pickle.loads(sent))


def _rows(
    cell: dict[str, Any], task: Any, cases: tuple[Case[Any, Any], ...], answers: list[Outcome]
) -> Iterator[dict[str, Any]]:
    failed = next((answer for answer in answers if answer.status != "ok"), None)
    if failed is None:
        explanations = tuple(answer.value[0] for answer in answers)
        scored = attempt(task.scores, cases, explanations)
        failed = scored if scored.status != "ok" else None
    if failed is None:
        costs = [answer.value[1] for answer in answers]
        scores = scored.value.values
        calls = {
            f: sum(asdict(cost.calls)[f] for cost in costs)
            for f in ("forward", "backward", "values")
        }
        took = {
            "seconds": sum(c.seconds for c in costs),
            "cpu_seconds": sum(c.cpu_seconds for c in costs),
            "peak_memory": max(c.peak_memory for c in costs),
        }
    for metric in task.metrics:
        row = {
            **cell,
            "status": "ok",
            "reason": "",
            "metric": metric.name,
            "direction": metric.direction,
        }
        if failed is None:
            yield {**row, **asdict(scores[metric.name]), **took, **calls}
        else:
            yield {**row, "status": failed.status, "reason": failed.reason, "value": np.nan}


def _task(shelf: Shelf, name: str, overrides: Config) -> tuple[Any, Any]:
    config = shelf.config("task", name)
    defaults = config.pop("setting", {})
    task = build(config, name)
    return task, make_setting(task.Setting, defaults, overrides, f"setting of {name}")


def _recipe(shelf: Shelf, model: Any) -> tuple[Any, str]:
    if isinstance(model, str):
        config = shelf.config("model", model)
        digest = digest_of(canonical(config))
        return CachedRecipe(build(config, model), digest, Cache(cache_root())), model
    if hasattr(model, "fit"):
        return model, type(model).__name__
    return Given(model), "given"


def _method(shelf: Shelf, task: str, method: Any) -> tuple[str, Method[Any, Any]]:
    if isinstance(method, str):
        return method, build(shelf.config(f"method/{task}", method), method)
    return type(method).__name__, method

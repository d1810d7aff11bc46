"""earnest without files: methods, data and a model given as objects or names, scores returned."""

import contextlib
import copy
import logging
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.cache import Cache, cache_root
from bench.cell import PRELOAD, digest_of, timed_explain
from bench.clock import Costs
from bench.components import Config, Shelf, build
from bench.data import Data, Images, Table
from bench.isolation import Limits, Outcome, Worker, attempt, preload
from bench.models.base import Model, Recipe
from bench.models.cached import CachedRecipe
from bench.models.given import Given
from bench.record import canonical
from bench.seeding import stream
from bench.tasks.base import Case, Method, make_setting, setting_text

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

DICTS = (dict, OrderedDict)
"""In which a module keeps its layers, weights and hooks."""


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
    model : a name (`"mlp"`), a recipe (`bench.models.base.Recipe`), or a trained model
        (`bench.models.network.Network(module, n_classes)`,
        `bench.models.given.BlackBox(function, n_classes)`).
    task : the task's name.
    setting : fields of the task's setting that differ from its yaml.
    seeds : how many, or which.
    isolate : run `explain` in a process of its own under `limits`; a method that raises,
        crashes or never ends becomes a row with a status. Otherwise only what it raises does.
        What a method changes never reaches another one: each gets a copy of the problem, and a
        network's weights, flags and hooks are put back.

    Returns
    -------
    One row per (method, seed, metric): task, setting, dataset, model, method, seed, status,
    reason, metric, direction, value, n, se, note, seconds, cpu_seconds, peak_memory, forward,
    backward, values.

    Raises
    ------
    ConfigError
        for an unknown name or field.
    TypeError
        where data, model or method is no object of the kind that is wanted.

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
    if not isinstance(loaded, Table | Images):
        raise TypeError(
            f"data of type {type(loaded).__name__}: wanted the name of a data set, or a "
            "bench.data.Table or Images"
        )
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
        return attempt(_explain_here, names[-1], method, case.problem, rng)
    preload(PRELOAD)
    with TemporaryDirectory() as folder, Worker(Path(folder) / "log") as worker:
        # As bytes: tensors sent as they are would be shared, and a method could change them here.
        sent = pickle.dumps((method, case.problem, rng))
        return worker.call(_explain_sent, sent, limits=limits)


def _explain_here(
    name: str, method: Method[Any, Any], problem: Any, rng: np.random.Generator
) -> tuple[Any, Costs]:
    """On a copy of the problem that shares its models, which are put back as they were."""
    models = list(_models(problem))
    own = copy.deepcopy(problem, {id(model): model for model in models})
    with contextlib.ExitStack() as stack:
        for model in models:
            stack.enter_context(_put_back(model.module, name))
        return timed_explain(method, own, rng)


def _models(value: Any) -> Iterator[Model]:
    """The models in a problem, also in a problem that is a part of it."""
    if isinstance(value, Model):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _models(getattr(value, field.name))


@contextlib.contextmanager
def _put_back(module: nn.Module | None, name: str) -> Iterator[None]:
    """Undo what the method called `name` does to weights, flags, hooks and layers."""
    parts = [] if module is None else list(module.modules())
    held = [(vars(part), dict(vars(part))) for part in parts]
    # A handle that removes a hook knows the dictionary that the hook is in: it is filled again.
    held += [(d, dict(d)) for _, found in list(held) for d in found.values() if type(d) in DICTS]
    tensors = [t for part in parts for t in (*part.parameters(False), *part.buffers(False))]
    weights = [(t, t.detach().clone(), t.requires_grad, t.grad) for t in tensors]
    try:
        yield
    finally:
        changed = [(now, was) for now, was in held if _ids(now) != _ids(was)]
        for now, was in changed:
            now.clear()
            now.update(was)
        other = [(t, old) for t, old, *_ in weights if not _same(t, old)]
        for tensor, old in other:
            tensor.data = old
        for tensor, _, requires_grad, grad in weights:
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad
        if changed or other:
            what = "weights" if other else "flags, hooks or layers"
            log.warning("%s changed the %s of the model: put back", name, what)


def _same(one: Tensor, other: Tensor) -> bool:
    alike = (one.dtype, one.device) == (other.dtype, other.device)
    return alike and torch.equal(one, other)


def _ids(items: Mapping[Any, Any]) -> dict[Any, int]:
    return {key: id(value) for key, value in items.items()}


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
    if isinstance(model, Recipe):
        return model, type(model).__name__
    if isinstance(model, Model):
        return Given(model), "given"
    raise TypeError(f"model of type {type(model).__name__}: {_way_out(model)}")


def _way_out(model: Any) -> str:
    """How to make a model of what was given as one."""
    if isinstance(model, nn.Module):
        return "give Network(module.eval(), n_classes), of bench.models.network"
    home = "of bench.models.given"
    for answer, gives in (("predict_proba", ', "probabilities"'), ("predict", "")):
        if hasattr(model, answer):
            column = "" if gives else "[:, None]"
            n_classes = "n_classes" if gives else "0"
            function = f"lambda inputs: fitted.{answer}(inputs.numpy()){column}"
            where = "" if gives else ", where it is a regression"
            return f"give BlackBox({function}, {n_classes}{gives}), {home}{where}"
    if callable(model):
        return f"give BlackBox(function, n_classes), {home}"
    return "wanted a name, a recipe with `fit` and `capabilities`, a Network or a BlackBox"


def _method(shelf: Shelf, task: str, method: Any) -> tuple[str, Method[Any, Any]]:
    if isinstance(method, str):
        return method, build(shelf.config(f"method/{task}", method), method)
    if isinstance(method, type) or not callable(getattr(method, "explain", None)):
        found = method.__name__ if isinstance(method, type) else type(method).__name__
        raise TypeError(f"method {found}: wanted a name, or an object with `explain`")
    return type(method).__name__, method

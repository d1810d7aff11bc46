"""Kendall's tau between rankings: of features by two methods, of methods under two references."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from bench.board.panels import array, by_rank, mean_scores, plain_names
from bench.board.statistics import mean_of_finite, taus
from bench.board.table import OVERALL
from bench.record import Record

AGREEMENT = ("task", "dataset", "model", "method", "other", "tau", "cells")
REFERENCES = ("task", "dataset", "model", "setting", "reference", "other", "tau", "methods")

CONTROLS = ("exact_optimum", "random")
"""Best and worst under every reference by what they are: they would make all references agree."""

Matrix = Float[np.ndarray, "k k"]
Values = Float[np.ndarray, "n p"]
Problem = tuple[str, str, str]


def agreement_table(records: Sequence[Record]) -> pd.DataFrame:
    """How alike two methods rank the features of an instance, by data set and over all.

    Returns
    -------
    The columns `AGREEMENT`, a row for each pair of methods that has a tau: its mean over
    instances, and over `cells`, settings and seeds. A row with dataset `all` is the mean over the
    (data set, model) where both have one, and counts these.
    """
    rows = [row for task, done in _by_task(records) for row in _agreement_rows(task, done)]
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def reference_table(records: Sequence[Record]) -> pd.DataFrame:
    """How alike the methods are ranked under two references, see `ranked_alike`.

    Returns
    -------
    The columns `REFERENCES`; `setting` holds the other fields, `methods` how many were ranked.
    """
    rows = [
        {"task": task, "dataset": dataset, "model": model, "setting": rest, **pair}
        for task, done in _by_task(records)
        for (dataset, model, rest), group in by_references(done).items()
        for pair in _reference_pairs(group, plain_names(by_rank(done)))
    ]
    return pd.DataFrame(rows, columns=list(REFERENCES))


def agreements(
    records: Sequence[Record], methods: Sequence[str]
) -> dict[tuple[str, str], list[Matrix]]:
    """(data set, model) -> the agreement in each setting and seed; NaN where there is none."""
    cells: dict[tuple[str, str, str, int], dict[str, Values]] = {}
    for record in records:
        values = _values(record)
        if values is not None and record.method in methods:
            cell = (record.dataset, record.model, record.setting, record.seed)
            cells.setdefault(cell, {})[record.method] = values
    found: dict[tuple[str, str], list[Matrix]] = {}
    for (dataset, model, *_), known in cells.items():
        found.setdefault((dataset, model), []).append(_matrix(known, methods))
    return found


def by_references(records: Sequence[Record]) -> dict[Problem, dict[str, list[Record]]]:
    """(data set, model, other fields of the setting) -> reference -> records; two or more."""
    groups: dict[Problem, dict[str, list[Record]]] = {}
    for record in records:
        if "reference" in record.settings:
            cell = (record.dataset, record.model, _rest(record.setting, record.settings))
            reference = str(record.settings["reference"])
            groups.setdefault(cell, {}).setdefault(reference, []).append(record)
    return {cell: group for cell, group in groups.items() if len(group) > 1}


def scores_under(
    group: Mapping[str, Sequence[Record]], methods: Sequence[str]
) -> Float[np.ndarray, "k references"]:
    """The headline score of each method under each reference."""
    return np.stack([mean_scores(records, methods) for records in group.values()], axis=1)


def ranked_alike(
    table: Float[np.ndarray, "k references"], methods: Sequence[str]
) -> tuple[Float[np.ndarray, "references references"], int]:
    """Kendall's tau between the columns of `table`, and over how many methods.

    Those that have a score under every reference, without `CONTROLS`.
    """
    honest = np.array([method.split(" ")[0] not in CONTROLS for method in methods], dtype=bool)
    whole = table[honest & np.isfinite(table).all(axis=1)]
    if len(whole) < 2:
        return np.full((table.shape[1],) * 2, np.nan), len(whole)
    return taus(whole.T[:, None]), len(whole)


def _by_task(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    done = [record for record in records if record.status == "ok"]
    for task in dict.fromkeys(record.task for record in done):
        yield task, [record for record in done if record.task == task]


def _agreement_rows(task: str, records: Sequence[Record]) -> Iterator[dict[str, object]]:
    methods = by_rank(records)
    found = agreements(records, methods)
    means = {data: mean_of_finite(np.stack(matrices)) for data, matrices in found.items()}
    parts = {**found, (OVERALL, OVERALL): list(means.values())} if len(means) > 1 else found
    for (dataset, model), matrices in parts.items():
        stacked = np.stack(matrices)
        tau, cells = mean_of_finite(stacked), np.isfinite(stacked).sum(axis=0)
        for i, j in itertools.combinations(range(len(methods)), 2):
            if cells[i, j]:
                yield {
                    "task": task,
                    "dataset": dataset,
                    "model": model,
                    "method": methods[i],
                    "other": methods[j],
                    "tau": float(tau[i, j]),
                    "cells": int(cells[i, j]),
                }


def _reference_pairs(
    group: Mapping[str, Sequence[Record]], methods: Sequence[str]
) -> Iterator[dict[str, object]]:
    tau, count = ranked_alike(scores_under(group, methods), methods)
    for (i, one), (j, other) in itertools.combinations(enumerate(group), 2):
        yield {"reference": one, "other": other, "tau": float(tau[i, j]), "methods": count}


def _matrix(known: Mapping[str, Values], methods: Sequence[str]) -> Matrix:
    """Those of one cell; NaN for methods that have no values of the first one's shape."""
    shape = next(iter(known.values())).shape
    nothing = np.full(shape, np.nan)
    fitting = [known[m] if m in known and known[m].shape == shape else nothing for m in methods]
    return taus(np.stack(fitting))


def _values(record: Record) -> Values | None:
    rows = record.details.get("values")
    if not isinstance(rows, list):
        return None
    found = [row for values in rows if (row := array(values)) is not None]
    same = len(found) == len(rows) > 0 and len({len(row) for row in found}) == 1
    return np.stack(found) if same and len(found[0]) > 1 else None


def _rest(setting: str, fields: Mapping[str, object]) -> str:
    """A setting's text without its reference and the number of its draws."""
    for name in ("reference", "draws"):
        setting = setting.replace(f"{name}={fields.get(name)}", "")
    return " ".join(setting.split())

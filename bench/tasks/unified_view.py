"""One instance's explanation in words: its features, or training rows, whichever is asked for."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from bench.tasks.exhibits import Exhibits, telling
from bench.tasks.unified_problem import (
    Explanation,
    FeatureRanking,
    Unified,
    UnifiedProblem,
    read,
)

TELLING = 4
"""Columns at most by which a training row, or a feature, is told."""


def show(
    explanation: Explanation,
    problem: UnifiedProblem,
    query: int,
    view: str = "features",
    most: int = 5,
) -> str:
    """One view of the explanation of one instance, as text.

    Parameters
    ----------
    query : which query point, from 0.
    view : `features`, what it looks at, or `data`, the training rows that support it.
    most : how many of them at most.

    Raises
    ------
    ValueError
        where there is no such query point or view, or the explanation has no such side.
    """
    both = read(explanation, problem)
    if not 0 <= query < problem.n:
        raise ValueError(f"query={query}: there are query points 0 to {problem.n - 1}")
    if view not in ("features", "data"):
        raise ValueError(f"view={view!r}: wanted 'features' or 'data'")
    lines = list((_features if view == "features" else _rows)(both, problem, query, most))
    # Of a point that is left to the model there is nothing to show.
    silent = both.says is not None and both.says[query] < 0
    return "\n".join([*_head(both, problem, query), *([] if silent else lines)])


def _head(both: Unified, problem: UnifiedProblem, query: int) -> Iterator[str]:
    names = problem.companion.class_names
    yield f"Instance {query}: the model says {names[int(problem.features.targets[query])]}."
    if both.says is not None:
        said = int(both.says[query])
        yield (
            f"The explanation says {names[said]}."
            if said >= 0
            else "The explanation leaves it to the model."
        )
    if both.reasons and both.reasons[query]:
        yield f"Reason: {both.reasons[query]}."


def _features(both: Unified, problem: UnifiedProblem, query: int, most: int) -> Iterator[str]:
    """The features above the least influential ones; those that tie share a number."""
    if both.features is None:
        raise ValueError("this explanation ranks no features: view='data' shows its rows")
    values, names = both.features.values[query], problem.features.partition.names
    order = np.argsort(-values, kind="stable")
    shown = [int(feature) for feature in order if values[feature] > values.min()]
    if not shown:
        yield "All features tie."
    for feature in shown[:most]:
        place = int((values > values[feature]).sum()) + 1
        columns = _columns_of(problem, query, [feature])
        yield _line(place, names[feature], _told(problem, problem.columns.queries[query], columns))


def _rows(both: Unified, problem: UnifiedProblem, query: int, most: int) -> Iterator[str]:
    """The strongest supporters, each by its values in the columns that the features look at."""
    if both.data is None:
        raise ValueError("this explanation orders no rows: view='features' shows its features")
    columns = _columns_of(problem, query, _top(both.features, query))
    named = problem.companion.class_names
    for place, row in enumerate(both.data.order[query, :most].tolist(), start=1):
        told = _told(problem, problem.columns.train[row], columns)
        if problem.columns.named and not told:
            (told,) = telling(_exhibits(problem), [row])
        yield _line(
            place, f"training row {row}, labelled {named[int(problem.train.targets[row])]}", told
        )


def _top(features: FeatureRanking | None, query: int) -> list[int]:
    """The most influential features; none where all tie, or none are ranked."""
    if features is None or not np.ptp(features.values[query]):
        return []
    values = features.values[query]
    return [int(feature) for feature in np.flatnonzero(values == values.max())]


def _columns_of(problem: UnifiedProblem, query: int, features: list[int]) -> Int[np.ndarray, " k"]:
    owner = problem.columns.features(problem.features.partition, query)
    return np.flatnonzero(np.isin(owner, features))


def _told(
    problem: UnifiedProblem, values: Float[np.ndarray, " c"], columns: Int[np.ndarray, " k"]
) -> str:
    """Such as `age=44, workclass=Private`; nothing of an image."""
    if not problem.columns.named:
        return ""
    pairs = [(problem.columns.named[c], float(values[c])) for c in columns[:TELLING]]
    return ", ".join(
        f"{column.name}={column.levels[int(value)] if column.levels else f'{value:.4g}'}"
        for column, value in pairs
    )


def _line(place: int, name: str, told: str) -> str:
    return f"{place:3d}. {name}{f' ({told})' if told else ''}"


def _exhibits(problem: UnifiedProblem) -> Exhibits:
    names, labels = problem.companion.class_names, problem.train.targets.numpy()
    return Exhibits(names, labels, problem.columns.named, problem.columns.train)

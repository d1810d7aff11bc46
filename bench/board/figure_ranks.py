"""Mean ranks over problems, and which of them a Friedman and Nemenyi test tells apart."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from bench.board.panels import (
    COLOURS,
    Sketch,
    by_rank,
    drawing,
    mean_scores,
    plain_names,
    problems_of,
    short,
)
from bench.board.rows import metrics_of
from bench.board.statistics import LEVEL
from bench.record import Record

FEWEST = 6
"""Problems from which on the test is asked."""


def mean_ranks(records: Sequence[Record]) -> Iterator[Sketch]:
    """A row a method; nothing for fewer than three methods or `FEWEST` problems.

    A problem is a data set with its model under one setting, and one unit of the test: seeds of
    a problem aren't independent problems.

    References
    ----------
    J. Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006, Sec.
    3.2.2.
    """
    metric, info = next(iter(metrics_of(records)[records[0].task].items()))
    methods = plain_names(by_rank(records))
    scores = np.stack([mean_scores(g, methods) for g in problems_of(records).values()])
    sign = 1 if info.get("direction") == "lower" else -1
    # A method that lacks a problem would cost all others that problem.
    answered = np.isfinite(scores).mean(axis=0) == np.isfinite(scores).mean(axis=0).max()
    methods = [m for m, whole in zip(methods, answered, strict=True) if whole]
    scores = scores[:, answered]
    scores = sign * scores[np.isfinite(scores).all(axis=1)]
    n, k = scores.shape
    if n < FEWEST or k < 3 or info.get("direction") not in ("higher", "lower"):
        return
    ranks = rankdata(scores.round(12), axis=1).mean(axis=0)
    distance = critical_distance(k, n)
    p = float(friedmanchisquare(*scores.T).pvalue)
    figure = drawing(7.4, 0.75 + 0.21 * k)
    axes = figure.subplots()
    best = ranks.min()
    for y, i in enumerate(np.argsort(ranks, kind="stable")):
        colour = COLOURS[0] if ranks[i] - best <= distance else COLOURS[7]
        ends = [ranks[i] - distance / 2, ranks[i] + distance / 2]
        axes.plot(ends, [y, y], color=colour, lw=2.5, alpha=0.4, solid_capstyle="round")
        axes.plot(ranks[i], y, "o", ms=5.5, color=colour, mew=0)
    order = np.argsort(ranks, kind="stable")
    axes.set_yticks(range(k), [short(methods[i]) for i in order], fontsize=8.5)
    axes.set(
        xlim=(0.5, k + 0.5),
        ylim=(k - 0.4, -0.6),
        xlabel=f"mean rank by {short(metric)} (1 is best)",
    )
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    yield Sketch(
        "ranks",
        "Mean ranks.",
        f"Over {n} problems (a data set under one setting, its seeds averaged), of the methods "
        "that answered most of them. Methods whose lines do not overlap differ by more than "
        f"Nemenyi's critical distance, {distance:.2f}; blue: not told apart from the best. "
        "Settings of one data set count as problems of their own, which flatters the test. "
        f"Friedman's test of no difference at all: {'p < 0.001' if p < 1e-3 else f'p = {p:.3f}'}.",
        figure,
    )


def critical_distance(methods: int, problems: int) -> float:
    """How far apart two mean ranks must be, at a confidence of `LEVEL` for all pairs."""
    quantile: Float[np.ndarray, ""] = studentized_range.ppf(LEVEL, methods, np.inf)
    return float(quantile / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * problems)))

"""How well two rankings agree."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float


def kendall_tau(values: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]) -> float:
    """Kendall's tau-b, in [-1, 1]; NaN where either is constant."""
    from scipy.stats import kendalltau  # a second to import, which planning shouldn't pay

    return float(kendalltau(values, truth).statistic)


def kendall_taus(
    values: Float[np.ndarray, "n p"], others: Float[np.ndarray, "n p"]
) -> Float[np.ndarray, " n"]:
    """`kendall_tau` of each pair of rows."""
    a, b = (np.sign(x[:, :, None] - x[:, None]).reshape(len(x), -1) for x in (values, others))
    size = np.sqrt((a != 0).sum(axis=1) * (b != 0).sum(axis=1))
    taus: np.ndarray = np.divide(
        (a * b).sum(axis=1), size, out=np.full(len(a), np.nan), where=size > 0
    )
    return taus


def spearman(
    values: Float[np.ndarray, "n p"], others: Float[np.ndarray, "n p"]
) -> Float[np.ndarray, " n"]:
    """Spearman's rank correlation of each pair of rows; NaN where either is constant."""
    from scipy.stats import rankdata  # late, as above

    ranks = [rankdata(x, axis=1) for x in (values, others)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: np.ndarray = np.divide(
        (a * b).sum(axis=1), size, out=np.full(len(a), np.nan), where=size > 0
    )
    return found


def jaccard_of_extremes(
    values: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"], k: int
) -> float:
    """Jaccard index of the two sets {k smallest, k largest}, in [0, 1].

    NaN where n < 2 k, so that there are no such sets. Ties go to the row that comes first.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.1
    (k = 10).
    """
    if len(values) < 2 * k:
        return float("nan")
    found, true = _extremes(values, k), _extremes(truth, k)
    return len(found & true) / len(found | true)


def auc(values: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Share of pairs in which the positive row has the larger value, a tie counting half.

    NaN where all rows are of one kind.
    """
    if positive.all() or not positive.any():
        return float("nan")
    negatives = np.sort(values[~positive])
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    below = [np.searchsorted(negatives, values[positive], side).mean() for side in sides]
    return float(np.mean(below) / len(negatives))


def precision_at(
    values: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], k: int
) -> float:
    """Share of positive rows among the `k` smallest values; ties go to the row that comes first."""
    return float(positive[np.argsort(values, kind="stable")[:k]].mean()) if k else float("nan")


def _extremes(values: Float[np.ndarray, " n"], k: int) -> set[int]:
    order = np.argsort(values, kind="stable")
    return {*order[:k].tolist(), *order[len(order) - k :].tolist()}

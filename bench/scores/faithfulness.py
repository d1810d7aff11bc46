"""What other boards measure of an attribution, one number an instance; NaN where undefined."""

import numpy as np
from jaxtyping import Bool, Float

from bench.scores.ideal_influence import TOLERANCE, area


def label_change(kept_label: Float[np.ndarray, "n levels"]) -> Float[np.ndarray, " n"]:
    """The area under q -> P(the label changes) as the share q of features is deleted.

    Parameters
    ----------
    kept_label : the share of draws that keep the label, after 0, 1, .., p deletions.

    References
    ----------
    Hara, Ikeno, Soma, Maehara, *Feature Attribution As Feature Selection*, 2018: the AUEC along
    the deletion of the most influential first. Its AOIC, the area over the same curve as all but
    the top q are deleted, is 1 minus this one along the reverse order.
    """
    changed: np.ndarray = 1 - area(kept_label)
    return changed


def infidelity(
    values: Float[np.ndarray, "n p"],
    masks: Bool[np.ndarray, "m p"],
    drops: Float[np.ndarray, "n m"],
) -> Float[np.ndarray, " n"]:
    """The share of the drops' square that no multiple of the attribution explains, in [0, 1].

    min over beta of mean_S (beta sum_{i in S} values_i - drop_S)^2, over mean_S drop_S^2.

    Parameters
    ----------
    masks : random sets S of deleted features.
    drops : F(nothing deleted) - F(S).

    References
    ----------
    Yeh, Hsieh, Suggala, Inouye, Ravikumar, *On the (In)fidelity and Sensitivity of
    Explanations*, NeurIPS 2019, Def. 2.1 with the optimal scaling of Sec. 2; as a share: earnest.
    """
    said = values @ masks.T
    total, own = (drops**2).sum(axis=1), (said**2).sum(axis=1)
    explained = np.divide(
        (said * drops).sum(axis=1) ** 2, own, out=np.zeros(len(own)), where=own > 0
    )
    return _ratio(total - explained, total, len(masks) * TOLERANCE**2)


def completeness_gap(
    values: Float[np.ndarray, "n p"], drop: Float[np.ndarray, " n"], scale: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """|sum of the values - drop| / |drop|; drop = F(nothing deleted) - F(everything deleted).

    References
    ----------
    Sundararajan, Taly, Yan, *Axiomatic Attribution for Deep Networks*, ICML 2017, Sec. 3.
    """
    return _ratio(np.abs(values.sum(axis=1) - drop), np.abs(drop), TOLERANCE * scale)


def gini(values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
    """The Gini index of the absolute values: 0 where all are equal, 1 - 1/p where one is all.

    References
    ----------
    Chalasani, Chen, Chowdhury, Jha, Wu, *Concise Explanations of Neural Networks using
    Adversarial Training*, ICML 2020 (sparseness).
    """
    p = values.shape[1]
    sizes = np.sort(np.abs(values), axis=1)
    weights = (2 * np.arange(1, p + 1) - p - 1) / p
    return _ratio(sizes @ weights, sizes.sum(axis=1), 0.0)


def change(
    values: Float[np.ndarray, "n p"], others: Float[np.ndarray, "k n p"]
) -> Float[np.ndarray, " n"]:
    """The largest |other - values| / |values|, in Euclidean norm.

    References
    ----------
    Yeh et al., 2019, Def. 3.1 (max-sensitivity), relative to the attribution's own size.
    """
    moved = np.linalg.norm(others - values, axis=2).max(axis=0)
    return _ratio(moved, np.linalg.norm(values, axis=1), 0.0)


def _ratio(
    part: Float[np.ndarray, " n"],
    whole: Float[np.ndarray, " n"],
    least: Float[np.ndarray, " n"] | float,
) -> Float[np.ndarray, " n"]:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > least)
    return ratio

"""AUTAC: the area under the curve of transparency and accuracy, in its three variants."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class TransparencyCurve:
    """How right the pair of a rule list and a black box is, rule by rule.

    A user of depth m takes the label of the first of the first m rules that covers a row, and
    the black box's where none does. Point m of the curve is such a user, m = 0, ..., M.

    Attributes
    ----------
    covered : rows that the first m rules cover; the first entry is 0.
    right : rows that the user of depth m gets right; the first entry is the black box's.
    n : all rows, covered or not.
    """

    covered: Int[np.ndarray, " points"]
    right: Int[np.ndarray, " points"]
    n: int

    @property
    def transparency(self) -> np.ndarray:
        """T_m, the share of rows that a rule decides."""
        return self.covered / self.n

    @property
    def accuracy(self) -> np.ndarray:
        """A_m, the share of rows that are right."""
        return self.right / self.n


def transparency_curve(
    decided_by: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    black_box: Int[np.ndarray, " n"],
    length: int,
) -> TransparencyCurve:
    """The curve of a rule list on rows of any data.

    Parameters
    ----------
    decided_by : place in the list of the first rule that covers a row, -1 where none does.
    predicted : that rule's label.
    labels, black_box : the truth, and the black box's prediction.
    length : M, how many rules there are.
    """
    covered = decided_by >= 0
    place = decided_by[covered]
    right_by_box = black_box == labels
    gain = (predicted == labels)[covered].astype(int) - right_by_box[covered]
    sizes = np.bincount(place, minlength=length)
    gains = np.bincount(place, weights=gain, minlength=length).astype(int)
    return TransparencyCurve(
        np.concatenate([[0], np.cumsum(sizes)]),
        right_by_box.sum() + np.concatenate([[0], np.cumsum(gains)]),
        len(labels),
    )


def completed(
    curve: TransparencyCurve, rest_right: int, rest_right_by_box: int
) -> TransparencyCurve:
    """The curve with one point more, at T = 1: a default rule decides all rows that are left.

    Parameters
    ----------
    rest_right, rest_right_by_box : how many of those rows the default rule gets right, and how
        many the black box.
    """
    last = curve.right[-1] + rest_right - rest_right_by_box
    return TransparencyCurve(
        np.append(curve.covered, curve.n), np.append(curve.right, last), curve.n
    )


def doubled_area(curve: TransparencyCurve) -> int:
    """2 N^2 AUTAC, a whole number, by which lists are compared without rounding."""
    return int(np.sum(np.diff(curve.covered) * (curve.right[1:] + curve.right[:-1])))


def autac(curve: TransparencyCurve) -> float:
    """The area under the curve, 1/2 sum_m (A_m + A_m-1)(T_m - T_m-1), in [0, 1].

    Between two depths the next rule is used with some probability, so that the curve is linear
    there. The area beyond T_M counts nothing: `completed` makes the variant that counts it.

    References
    ----------
    Pan, Wang, Hara, *Interpretable Companions for Black-Box Models*, AISTATS 2020, Sec. 3.
    """
    return doubled_area(curve) / (2 * curve.n**2)


def autac_normalised(curve: TransparencyCurve) -> float:
    """AUTAC over T_M: the mean accuracy as far as the rules reach; A_0 where they cover none."""
    reach = int(curve.covered[-1])
    return doubled_area(curve) / (2 * curve.n * reach) if reach else float(curve.accuracy[0])


def accuracy_at(curve: TransparencyCurve, transparency: float) -> float:
    """The curve's height at a transparency in [0, 1]; NaN beyond its end."""
    return float(np.interp(transparency, curve.transparency, curve.accuracy, right=np.nan))

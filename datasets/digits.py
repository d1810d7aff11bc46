"""Handwritten digits, 8x8 pixels: the test part of UCI's optical recognition data set."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.data import Images


@dataclass(frozen=True)
class Digits:
    """1,797 images of the ten digits, bundled with scikit-learn.

    A pixel is the share of dark points in a 4x4 block of the scan, in sixteenths.

    References
    ----------
    .. [1] Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
       Repository, 1998, doi:10.24432/C50P49.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Images:
        """Images of one channel."""
        from sklearn.datasets import load_digits

        bundled = load_digits()
        return Images(
            name="digits",
            pixels=bundled.images[:, None] / 16,
            targets=bundled.target,
            class_names=tuple("0123456789"),
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/80, bundled with scikit-learn",
        )

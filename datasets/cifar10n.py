"""CIFAR-10N: CIFAR-10 with the labels that people gave its images."""

import io
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int

from bench.data import Images
from bench.download import DataFile, contents

from .cifar10 import CIFAR10

_HOME = "https://github.com/UCSC-REAL/cifar-10-100-n"

FILE = DataFile(
    "cifar10n/cifar10n_labels.npz",
    149_520,
    "6024485a143efa682792c21d7f2adfdef5a374dce699bb2fcd4d62cd55cc4852",
    (_HOME,),
)
"""The six arrays of the home's `CIFAR-10_human.pt`, a pickle, as numpy's savez writes them. Such a
file has to be put into the data folder: the pickle isn't opened."""

_ARRAYS = {
    "aggregate": "aggre_label",
    "worst": "worse_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
}


@dataclass(frozen=True)
class CIFAR10N:
    """The 10,000 images of `CIFAR10`, each labelled by three people [1]_; `clean` is CIFAR-10's
    own label.

    Parameters
    ----------
    labels : `aggregate`, the majority of the three (9.0 % of all 50,000 are wrong); `worst`, a
        wrong one of the three where there is one (40.2 %); `random1` to `random3`, one of the
        three (17.2, 18.1, 17.6 %).

    References
    ----------
    .. [1] Wei, Zhu, Cheng, Liu, Niu, Liu, "Learning with Noisy Labels Revisited: A Study Using
       Real-World Human Annotations", ICLR 2022.
    """

    labels: Literal["aggregate", "worst", "random1", "random2", "random3"] = "aggregate"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Images:
        """Images in the order of CIFAR-10's first file, with people's labels and the right ones."""
        images = CIFAR10().load()
        with np.load(io.BytesIO(contents(FILE)), allow_pickle=False) as arrays:
            clean = _rows(arrays["clean_label"], len(images.targets))
            targets = _rows(arrays[_ARRAYS[self.labels]], len(images.targets))
        if not np.array_equal(clean, images.targets):
            raise ValueError("CIFAR-10N's clean labels aren't those of CIFAR-10's first file")
        return replace(
            images,
            name=f"cifar10n_{self.labels}",
            targets=targets,
            clean=clean,
            licence="CC BY-NC 4.0",
            source=f"{_HOME} (rows 0-9,999 of 50,000 to train)",
        )


def _rows(labels: np.ndarray, n: int) -> Int[np.ndarray, " n"]:
    return labels[:n].astype(np.int64)

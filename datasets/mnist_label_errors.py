"""MNIST's test images with the errors that people found in their labels."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int

from bench.data import Images
from bench.download import DataFile, contents

from .mnist import MNIST

_HOME = "https://github.com/cleanlab/label-errors"

FILE = DataFile(
    "label_errors/mnist_mturk.json",
    29_472,
    "448bd00fc9df262c68d50d48709d7fa3d5dc966bc66580e5df20e0dcba6e5612",
    (f"{_HOME}/raw/main/mturk/mnist_mturk.json",),
)
_MAJORITY = 3
_UNKNOWN = -1


@dataclass(frozen=True)
class MNISTLabelErrors:
    """9,995 of the 10,000 images to test; ten have a wrong label, `clean` holds the right one.

    Five people judged each of 100 suspicious images [1]_: in 15 the given label has no majority.
    In ten of these another label has one; the other five images are left out.

    References
    ----------
    .. [1] Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine
       Learning Benchmarks", NeurIPS 2021 (datasets and benchmarks).
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Images:
        """Images in the order of MNIST's test file, given labels as targets."""
        whole = MNIST().load()
        test = whole.given_split["test"]
        clean = majority(contents(FILE), whole.targets[test])
        kept = np.flatnonzero(clean != _UNKNOWN)
        return replace(
            whole,
            name="mnist_label_errors",
            pixels=whole.pixels[test][kept],
            targets=whole.targets[test][kept],
            clean=clean[kept],
            licence=f"images {whole.licence}; judgements: none stated by the authors",
            source=_HOME,
            given_split={},
        )


def majority(judgements: bytes, given: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The label of most people, the given one for images not asked about, -1 for no majority."""
    clean = given.copy()
    for judged in json.loads(judgements):
        votes = judged["mturk"]
        if votes["given"] < _MAJORITY:
            agreed = votes["guessed"] >= _MAJORITY
            clean[judged["id"]] = judged["our_guessed_label"] if agreed else _UNKNOWN
    return clean

"""MNIST: handwritten digits, 28x28 pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from bench.data import Images
from bench.download import DataFile, contents

# yann.lecun.com, the home, often refuses downloads: these are the mirrors that torchvision and
# TensorFlow use.
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)


def _file(name: str, size: int, sha256: str) -> DataFile:
    return DataFile(f"MNIST/raw/{name}", size, sha256, tuple(f"{m}/{name}.gz" for m in _MIRRORS))


FILES = (
    _file(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _file(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _file(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _file(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def parse_idx(data: bytes) -> UInt8[np.ndarray, "..."]:
    """The array in an idx file of unsigned bytes.

    Bytes 0-3 are 0, 0, 8 (unsigned byte) and the number of axes; each axis' length follows as
    a big-endian 32-bit integer, then the values.
    """
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"no idx file of unsigned bytes: it begins with {data[:4]!r}")
    axes = data[3]
    shape = np.frombuffer(data, ">u4", count=axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def load_idx(
    files: Sequence[DataFile],
) -> tuple[
    Float[np.ndarray, "n 1 height width"], Int[np.ndarray, " n"], dict[str, Int[np.ndarray, " _"]]
]:
    """Pixels in [0, 1], labels and the rows of both parts, from the files of images and labels to
    train, then to test."""
    train, train_labels, test, test_labels = (parse_idx(contents(file)) for file in files)
    pixels = np.concatenate([train, test])[:, None].astype(np.float32) / 255
    rows = np.arange(len(pixels))
    targets = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return pixels, targets, {"train": rows[: len(train)], "test": rows[len(train) :]}


@dataclass(frozen=True)
class MNIST:
    """70,000 images of the ten digits; the provider's split: 60,000 to train, 10,000 to test.

    Parameters
    ----------
    digits : the digits that are kept, rising; all for none.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document
       Recognition", Proceedings of the IEEE 86(11), 1998.
    """

    digits: tuple[int, ...] = ()

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def __post_init__(self) -> None:
        rising = sorted(set(self.digits) & set(range(10)))
        if self.digits and (list(self.digits) != rising or len(rising) < 2):
            raise ValueError(f"digits={self.digits}: wanted two or more of 0 to 9, rising")

    def load(self) -> Images:
        """Images of one channel, the training rows first."""
        pixels, targets, parts = load_idx(FILES)
        digits = np.array(self.digits or range(10))
        kept = np.isin(targets, digits)
        place = np.cumsum(kept) - 1
        return Images(
            name="mnist" + "".join(f"_{digit}" for digit in self.digits),
            pixels=pixels[kept],
            targets=np.searchsorted(digits, targets[kept]),
            class_names=tuple(str(digit) for digit in digits),
            licence="CC BY-SA 3.0",
            source="http://yann.lecun.com/exdb/mnist/",
            given_split={part: place[rows[kept[rows]]] for part, rows in parts.items()},
        )

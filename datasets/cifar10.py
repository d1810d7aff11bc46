"""CIFAR-10: ten kinds of things in colour, 32x32 pixels; the first of its five training files."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from bench.data import Images
from bench.download import DataFile, contents

_ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_SIDE = 32

FILE = DataFile(
    "cifar-10-batches-bin/data_batch_1.bin",
    30_730_000,
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    (f"{_ARCHIVE}#cifar-10-batches-bin/data_batch_1.bin",),
)


@dataclass(frozen=True)
class CIFAR10:
    """10,000 colour images: rows 0 to 9,999 of the 50,000 to train, as `data_batch_1.bin` of the
    binary version holds them.

    The provider's test part isn't among them, so there is no given split.

    References
    ----------
    .. [1] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Images:
        """Images of three channels (red, green, blue), in the order of the file."""
        pixels, targets = parse_batch(contents(FILE))
        return Images(
            name="cifar10",
            pixels=pixels,
            targets=targets,
            class_names=(
                *("airplane", "automobile", "bird", "cat", "deer"),
                *("dog", "frog", "horse", "ship", "truck"),
            ),
            licence="none stated by the authors",
            source="https://www.cs.toronto.edu/~kriz/cifar.html (rows 0-9,999 of 50,000 to train)",
        )


def parse_batch(
    data: bytes,
) -> tuple[Float[np.ndarray, "n 3 32 32"], Int[np.ndarray, " n"]]:
    """Pixels in [0, 1] and labels of a file of the binary version.

    Each image is a byte for its label and 3,072 for its pixels: all red ones row by row, then
    green, then blue.
    """
    length = 1 + 3 * _SIDE**2
    if len(data) % length:
        raise ValueError(f"{len(data)} bytes are no images of {length} bytes each")
    images = np.frombuffer(data, np.uint8).reshape(-1, length)
    pixels = images[:, 1:].reshape(-1, 3, _SIDE, _SIDE).astype(np.float32) / 255
    return pixels, images[:, 0].astype(np.int64)

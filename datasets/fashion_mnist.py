"""Fashion-MNIST: ten kinds of clothes, 28x28 pixels."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.data import Images
from bench.download import DataFile

from .mnist import load_idx

_HOME = "https://github.com/zalandoresearch/fashion-mnist"
_MIRRORS = (
    f"{_HOME}/raw/master/data/fashion",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)


def _file(name: str, size: int, sha256: str) -> DataFile:
    path = f"FashionMNIST/raw/{name}"
    return DataFile(path, size, sha256, tuple(f"{m}/{name}.gz" for m in _MIRRORS))


FILES = (
    _file(
        "train-images-idx3-ubyte",
        47_040_016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    _file(
        "train-labels-idx1-ubyte",
        60_008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    _file(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    _file(
        "t10k-labels-idx1-ubyte",
        10_008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


@dataclass(frozen=True)
class FashionMNIST:
    """70,000 images of clothes; the provider's split: 60,000 to train, 10,000 to test.

    References
    ----------
    .. [1] Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
       Learning Algorithms", 2017, arXiv:1708.07747.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "images"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Images:
        """Images of one channel, the training rows first."""
        pixels, targets, parts = load_idx(FILES)
        return Images(
            name="fashion_mnist",
            pixels=pixels,
            targets=targets,
            class_names=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
            licence="MIT",
            source=_HOME,
            given_split=parts,
        )

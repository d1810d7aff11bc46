"""Networks of `torchvision.models`, with weights from a file or random ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.network import Network
from bench.models.trained import state_arrays, with_state

PUBLISHED = "published"


class Preprocess(nn.Module):
    """Grey images three times over, then (x - mean) / std for each channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n channels h w"]:
        mean, std = self.get_buffer("mean").to(inputs), self.get_buffer("std").to(inputs)
        return (inputs - mean) / std


class Chosen(nn.Module):
    """Some of the outputs."""

    def __init__(self, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n chosen"]:
        return outputs[:, list(self.outputs)]


@dataclass(frozen=True)
class Pretrained:
    """A network of `torchvision.models`; nothing is trained, nothing downloaded.

    Parameters
    ----------
    name : such as `resnet18`.
    weights : `published` (torchvision's default ones, where torch.hub keeps its files), the path
        of a file with a state dict, or None for random weights with as many outputs as the data
        has classes.
    outputs : how many the network of a weights file has.
    classes : which of them are the data's classes; empty where all are, in order.
    mean, std : what is taken from each channel in [0, 1] and what it is divided by.

    References
    ----------
    The torchvision maintainers, *TorchVision*, 2016.
    """

    name: str = "resnet18"
    weights: str | None = None
    outputs: int = 1000
    classes: tuple[int, ...] = ()
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(s > 0 for s in self.std):
            raise ValueError(f"mean={self.mean}, std={self.std}: wanted three each, std above 0")
        wrong = [k for k in self.classes if not 0 <= k < self.outputs]
        if wrong:
            raise ValueError(
                f"classes={wrong}: the network has the outputs 0 to {self.outputs - 1}"
            )

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "gradient"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        """The network; of `samples` only shape and number of classes count, `rng` draws weights.

        Raises
        ------
        ValueError
            where there is no such model, the file doesn't fit it, or the classes aren't as many.
        FileNotFoundError
            with the place where the weights are looked for.
        """
        if samples.inputs.ndim != 4 or samples.inputs.shape[1] not in (1, 3):
            raise ValueError(f"inputs {tuple(samples.inputs.shape)}: wanted images, grey or colour")
        if self.weights is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(rng.integers(2**63)))
                return self._network(self._bare(max(samples.n_classes, 1)), samples)
        path = self._path()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"no weights of {self.name} at {path}: put the file there, or name another by "
                "weights=PATH"
            ) from error
        bare = self._bare(self.outputs)
        try:
            bare.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{path} holds no weights of {self.name}: {error}") from error
        return self._network(bare, samples)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        """Random weights; those of a file are read again."""
        assert model.module is not None
        return state_arrays(model.module) if self.weights is None else {}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        found = self.fit(samples, rng=np.random.default_rng(0))
        return Network(with_state(found.module, arrays), found.n_classes) if arrays else found

    def _bare(self, outputs: int) -> nn.Module:
        import torchvision

        try:
            found: nn.Module = torchvision.models.get_model(
                self.name, weights=None, num_classes=outputs
            )
        except ValueError as error:
            raise ValueError(f"torchvision.models has no {self.name!r}: {error}") from error
        return found

    def _path(self) -> Path:
        if self.weights != PUBLISHED:
            return Path(str(self.weights)).expanduser()
        import torchvision

        url = str(torchvision.models.get_model_weights(self.name).DEFAULT.url)
        return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]

    def _network(self, bare: nn.Module, samples: Samples) -> Network:
        layers: list[nn.Module] = [Preprocess(self.mean, self.std), bare]
        if self.classes:
            layers.append(Chosen(self.classes))
        told = len(self.classes) or (self.outputs if self.weights else max(samples.n_classes, 1))
        if told != max(samples.n_classes, 1):
            raise ValueError(
                f"{self.name} tells {told} classes apart, the data set has {samples.n_classes}: "
                "say by classes=[..] which outputs are meant"
            )
        return Network(nn.Sequential(*layers).eval(), samples.n_classes)

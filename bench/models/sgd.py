"""The recipe of a network trained by plain SGD, its run recorded."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.network import Architecture, Network, as_margins, initial
from bench.models.trajectory import Trajectory, load_flat, run


def row_losses(
    outputs: Float[Tensor, "b k"], targets: Tensor
) -> Float[Tensor, " b"]:
    """Cross-entropy of class targets, half the squared error of real ones."""
    if targets.is_floating_point():
        return (outputs.squeeze(-1) - targets).square() / 2
    margins = as_margins(outputs, 2) if outputs.shape[-1] == 1 else outputs
    return functional.cross_entropy(margins, targets, reduction="none")


@dataclass(frozen=True)
class SGD:
    """Train an architecture by SGD with a fixed order of batches.

    Parameters
    ----------
    architecture : the network.
    epochs, batch_size : each epoch deals a new permutation into nearly equal batches
        (`array_split`, as in the NeurIPS 2019 paper), so that no batch is tiny.
    learning_rate : of the first step.
    decay : `none`, or `sqrt`: after step c = 1, 2, ... the rate is multiplied by
        sqrt(c / (c + 1)), so that it falls as 1 / sqrt(c).
    weight_decay : alpha of alpha / 2 |theta|^2 in each row's loss.
    single_logit : two classes by one output and the logistic loss.
    record : keep the run, as replay and retraining need; False keeps the last weights only.
    """

    architecture: Architecture
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 0.1
    decay: Literal["none", "sqrt"] = "none"
    weight_decay: float = 0.0
    single_logit: bool = False
    record: bool = True

    version: ClassVar[int] = 1

    @property
    def capabilities(self) -> frozenset[Capability]:
        recorded: frozenset[Capability] = frozenset({"replay", "retrain"})
        return frozenset({"black_box", "gradient"}) | (recorded if self.record else frozenset())

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        init_rng, order_rng = rng.spawn(2)
        module = self._module(samples, init_rng)
        batches = self._batches(len(samples), order_rng)
        rates = self._rates(len(batches))
        trajectory = run(module, row_losses, samples, batches, rates, self.weight_decay)
        return self._network(trajectory)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        trajectory = model.trajectory
        if trajectory is None:
            assert model.module is not None
            return {"final": torch.cat([p.reshape(-1) for p in model.module.parameters()]).detach().numpy()}
        return {
            "parameters": trajectory.parameters.numpy(),
            "batches": torch.cat(trajectory.batches).numpy(),
            "sizes": np.array([len(rows) for rows in trajectory.batches]),
        }

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        module = self._module(samples, np.random.default_rng(0))
        if "final" in arrays:
            return Network(load_flat(module, torch.from_numpy(arrays["final"])), samples.n_classes)
        batches = torch.from_numpy(arrays["batches"]).split(arrays["sizes"].tolist())
        return self._network(
            Trajectory(
                module,
                row_losses,
                samples,
                torch.from_numpy(arrays["parameters"]),
                batches,
                self._rates(len(batches)),
                self.weight_decay,
            )
        )

    def _network(self, trajectory: Trajectory) -> Network:
        module = load_flat(trajectory.module, trajectory.parameters[-1])
        kept = trajectory if self.record else None
        return Network(module, trajectory.samples.n_classes, kept)

    def _module(self, samples: Samples, rng: np.random.Generator) -> nn.Module:
        n_outputs = max(samples.n_classes, 1)
        if self.single_logit:
            if samples.n_classes != 2:
                raise ValueError(f"single_logit wants 2 classes, not {samples.n_classes}")
            n_outputs = 1
        return initial(self.architecture, samples.inputs.shape[1:], n_outputs, rng=rng)

    def _batches(self, n: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        per_epoch = max(1, -(-n // self.batch_size))
        return tuple(
            torch.from_numpy(rows)
            for _ in range(self.epochs)
            for rows in np.array_split(rng.permutation(n), per_epoch)
        )

    def _rates(self, steps: int) -> tuple[float, ...]:
        if self.decay == "none":
            return (self.learning_rate,) * steps
        return tuple(self.learning_rate / np.sqrt(c) for c in range(1, steps + 1))

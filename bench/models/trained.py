"""The recipe of a network trained by torch's optimisers, its run not recorded."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from bench.data import Samples
from bench.models.base import Capability, Model
from bench.models.network import Architecture, Network, initial
from bench.models.sgd import row_losses


def state_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Weights and buffers by name."""
    return {name: value.numpy() for name, value in module.state_dict().items()}


def with_state(module: nn.Module, arrays: dict[str, np.ndarray]) -> nn.Module:
    """The module with these weights and buffers, in eval mode."""
    module.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return module.eval()


@dataclass(frozen=True)
class Trained:
    """Train an architecture by minibatches, as it is usually done for larger networks.

    Batch norm and dropout work as they should: training is in train mode, the model in eval mode.
    There is no record of the run, so nothing can be replayed or retrained without rows.

    Parameters
    ----------
    architecture : the network.
    epochs, batch_size : each epoch deals a new permutation into nearly equal batches.
    optimiser : `sgd` with momentum, or `adam` (with decoupled weight decay).
    learning_rate : of the first step.
    decay : `none`, or `cosine`: it falls to 0 along half a cosine.
    momentum : of `sgd`.
    weight_decay : of either.

    References
    ----------
    Loshchilov, Hutter, *SGDR*, ICLR 2017 (the cosine), *Decoupled Weight Decay Regularization*,
    ICLR 2019.
    """

    architecture: Architecture
    epochs: int = 10
    batch_size: int = 64
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.05
    decay: Literal["none", "cosine"] = "cosine"
    momentum: float = 0.9
    weight_decay: float = 5e-4

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"black_box", "gradient"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        init_rng, order_rng, dropout_rng = rng.spawn(3)
        module = self._module(samples, init_rng)
        per_epoch = max(1, -(-len(samples) // self.batch_size))
        optimiser = self._optimiser(module)
        schedule = self._schedule(optimiser, self.epochs * per_epoch)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(int(dropout_rng.integers(2**63)))
            module.train()
            for _ in range(self.epochs):
                for rows in np.array_split(order_rng.permutation(len(samples)), per_epoch):
                    self._step(module, optimiser, samples.rows(rows))
                    schedule.step()
        return Network(module.eval(), samples.n_classes)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert model.module is not None
        return state_arrays(model.module)

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        module = self._module(samples, np.random.default_rng(0))
        return Network(with_state(module, arrays), samples.n_classes)

    def _module(self, samples: Samples, rng: np.random.Generator) -> nn.Module:
        shape, outputs = samples.inputs.shape[1:], max(samples.n_classes, 1)
        return initial(self.architecture, shape, outputs, rng=rng)

    def _optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        parameters, rate, decay = module.parameters(), self.learning_rate, self.weight_decay
        if self.optimiser == "adam":
            return torch.optim.AdamW(parameters, rate, weight_decay=decay)
        return torch.optim.SGD(parameters, rate, momentum=self.momentum, weight_decay=decay)

    def _schedule(
        self, optimiser: torch.optim.Optimizer, steps: int
    ) -> torch.optim.lr_scheduler.LRScheduler:
        if self.decay == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _step: 1.0)

    def _step(self, module: nn.Module, optimiser: torch.optim.Optimizer, batch: Samples) -> None:
        optimiser.zero_grad()
        loss = row_losses(module(batch.inputs), batch.targets).mean()
        if not torch.isfinite(loss):
            raise ValueError(
                f"training diverged (learning rate {self.learning_rate:g}): lower the rate, or "
                "look for values in the inputs that aren't finite"
            )
        loss.backward()
        optimiser.step()

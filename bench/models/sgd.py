"""The recipe of a network trained by SGD or one of its kin, its run recorded."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.data import Samples
from bench.models.augmentation import Augmentation
from bench.models.base import Capability, Model
from bench.models.fixed_norm import fixed
from bench.models.losses import row_losses as row_losses
from bench.models.network import Architecture, Network, initial, with_parameters
from bench.models.optimiser import PLAIN, Optimiser
from bench.models.rates import Constant, Cosine, Rates, Sqrt
from bench.models.stack import flatten
from bench.models.trajectory import (
    Checkpoints,
    Objective,
    Schedule,
    Trajectory,
    checkpoint_stride,
    run,
)
from bench.models.weight_decay import WeightDecay

SMALL_BYTES = 8 * 2**20
"""Up to this size every step of a run is kept. Each cell reads its problem from a file: 8 MiB
take some milliseconds, and beyond that replaying an epoch is cheaper than keeping it."""


@dataclass(frozen=True)
class SGD:
    """Train an architecture by SGD, or another optimiser, with a fixed order of batches.

    Batch norm has fixed statistics, so that a row's loss is its own: `bench.models.fixed_norm`.

    Parameters
    ----------
    architecture : the network.
    epochs, batch_size : each epoch deals a new permutation into nearly equal batches
        (`array_split`, as in the NeurIPS 2019 paper), so that no batch is tiny.
    learning_rate : of the first step.
    decay : `none`, or `sqrt`: after step c = 1, 2, ... the rate is multiplied by
        sqrt(c / (c + 1)), so that it falls as 1 / sqrt(c); `cosine`: it falls to 0 along half a
        cosine; or any of `bench.models.rates`.
    weight_decay : alpha of alpha / 2 |theta|^2 in each row's loss; it goes with the row when
        that is left out. `bench.models.optimiser.Decoupled` has the other kind.
    single_logit : two classes by one output and the logistic loss.
    record : keep the run, as replay and retraining need; False keeps the last weights only.
    optimiser : what a mean gradient does to the parameters; SGD itself, unless given.
    checkpoints : which steps of the run are kept, the others being replayed: `every_step`,
        `every_epoch`, `sqrt` (about the root of all), or `auto`, every step where that takes
        8 MiB or less and every epoch else.
    augmentation : what happens to the inputs in training, the same in every replay.
    """

    architecture: Architecture
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 0.1
    decay: Literal["none", "sqrt", "cosine"] | Rates = "none"
    weight_decay: float | WeightDecay = 0.0
    single_logit: bool = False
    record: bool = True
    optimiser: Optimiser = PLAIN
    checkpoints: Literal["auto"] | Checkpoints = "auto"
    augmentation: Augmentation | None = None

    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: wanted more than 0")
        if not isinstance(self.weight_decay, WeightDecay) and not self.weight_decay >= 0:
            raise ValueError(f"weight_decay={self.weight_decay}: wanted 0 or more")

    @property
    def capabilities(self) -> frozenset[Capability]:
        if self.record:
            return frozenset({"black_box", "gradient", "replay", "retrain"})
        return frozenset({"black_box", "gradient"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        objective, schedule, start = self.begin(samples, rng=rng)
        stride = self._stride(start, schedule)
        return self._network(run(objective, schedule, start, stride, self.optimiser))

    def begin(
        self, samples: Samples, *, rng: np.random.Generator
    ) -> tuple[Objective, Schedule, Float[Tensor, " p"]]:
        """What `fit` trains, in which order and from where; `bench.models.many` takes several."""
        init_rng, order_rng, augment_rng = rng.spawn(3)
        seed = int(augment_rng.integers(2**63))
        device = samples.inputs.device
        module = fixed(self._module(samples, init_rng).to(device), samples.inputs)
        objective = self._objective(module, samples, seed, self._decay(samples))
        schedule = self._schedule(len(samples), order_rng).to(device)
        return objective, schedule, flatten(objective.module)

    def arrays(self, model: Model) -> dict[str, np.ndarray]:
        assert model.module is not None
        buffers = {f"buffer {k}": v.cpu().numpy() for k, v in model.module.named_buffers()}
        if model.trajectory is None:
            return {"final": flatten(model.module).cpu().numpy(), **buffers}
        trajectory = model.trajectory
        optional = {"states": trajectory.states, "digests": trajectory.digests}
        chosen = {"weight_decay": np.array(trajectory.objective.weight_decay)}
        return {
            "snapshots": trajectory.snapshots.cpu().numpy(),
            "stride": np.array(trajectory.stride),
            "order": trajectory.schedule.order.int().cpu().numpy(),
            "bounds": np.array(trajectory.schedule.bounds),
            "seed": np.array(trajectory.objective.seed),
            **(chosen if isinstance(self.weight_decay, WeightDecay) else {}),
            **buffers,
            **{name: value.cpu().numpy() for name, value in optional.items() if value is not None},
        }

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Network:
        device = samples.inputs.device
        module = self._module(samples, np.random.default_rng(0)).to(device)
        for name, buffer in module.named_buffers():
            buffer.copy_(torch.from_numpy(arrays[f"buffer {name}"]))
        if "final" in arrays:
            final = torch.from_numpy(arrays["final"])
            return Network(with_parameters(module, final), samples.n_classes)
        decay = self.weight_decay
        if isinstance(decay, WeightDecay):
            decay = float(arrays["weight_decay"])
        objective = self._objective(module, samples, int(arrays.get("seed", 0)), decay)
        bounds = tuple(arrays["bounds"].tolist())
        per_epoch = (len(bounds) - 1) // self.epochs
        rates = self._rates(len(bounds) - 1, per_epoch)
        order = torch.from_numpy(arrays["order"]).long()
        kept = {
            name: torch.from_numpy(arrays[name]).to(device)
            for name in ("snapshots", "states", "digests")
            if name in arrays
        }
        trajectory = Trajectory(
            objective,
            Schedule(order.to(device), bounds, rates, per_epoch),
            kept["snapshots"],
            int(arrays["stride"]),
            self.optimiser,
            kept.get("states"),
            kept.get("digests"),
        )
        return self._network(trajectory)

    def _network(self, trajectory: Trajectory) -> Network:
        objective = trajectory.objective
        module = with_parameters(objective.module, trajectory.final)
        kept = trajectory if self.record else None
        return Network(module, objective.samples.n_classes, kept, objective.calls)

    def _decay(self, samples: Samples) -> float:
        decay = self.weight_decay
        return decay.chosen(samples) if isinstance(decay, WeightDecay) else decay

    def _objective(self, module: nn.Module, samples: Samples, seed: int, decay: float) -> Objective:
        return Objective(module, row_losses, samples, decay, self.augmentation, seed)

    def _module(self, samples: Samples, rng: np.random.Generator) -> nn.Module:
        n_outputs = max(samples.n_classes, 1)
        if self.single_logit:
            if samples.n_classes != 2:
                raise ValueError(f"single_logit wants 2 classes, not {samples.n_classes}")
            n_outputs = 1
        return initial(self.architecture, samples.inputs.shape[1:], n_outputs, rng=rng)

    def _schedule(self, n: int, rng: np.random.Generator) -> Schedule:
        per_epoch = max(1, -(-n // self.batch_size))
        batches = [
            torch.from_numpy(rows)
            for _ in range(self.epochs)
            for rows in np.array_split(rng.permutation(n), per_epoch)
        ]
        return Schedule.of(batches, self._rates(len(batches), per_epoch), per_epoch)

    def _rates(self, steps: int, per_epoch: int) -> tuple[float, ...]:
        named: dict[str, Rates] = {"none": Constant(), "sqrt": Sqrt(), "cosine": Cosine()}
        decay = named[self.decay] if isinstance(self.decay, str) else self.decay
        return decay.rates(self.learning_rate, steps, per_epoch)

    def _stride(self, start: Float[Tensor, " p"], schedule: Schedule) -> int:
        """From one kept step to the next."""
        if not self.record:
            return len(schedule)
        if self.checkpoints != "auto":
            return checkpoint_stride(self.checkpoints, schedule)
        kept = start.numel() * (1 + self.optimiser.slots) * start.element_size()
        small = (len(schedule) + 1) * kept <= SMALL_BYTES
        return checkpoint_stride("every_step" if small else "every_epoch", schedule)

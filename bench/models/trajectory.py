"""The recorded run of SGD that trained a model: replayed, walked back, run without rows.

Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 2-4.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bench.data import Samples

Loss = Callable[[Float[Tensor, "b k"], Tensor], Float[Tensor, " b"]]
"""(outputs of the module, targets) -> one loss a row."""


def flatten(module: nn.Module) -> Float[Tensor, " p"]:
    """All parameters as one vector, in the order of `named_parameters`, detached."""
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def unflatten(module: nn.Module, flat: Float[Tensor, " p"]) -> dict[str, Tensor]:
    """Views of `flat` shaped and named as the module's parameters."""
    shapes = {name: p.shape for name, p in module.named_parameters()}
    parts = flat.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def load_flat(module: nn.Module, flat: Float[Tensor, " p"]) -> nn.Module:
    """A copy of `module` in eval mode with the parameters `flat`."""
    copied = copy.deepcopy(module)
    copied.load_state_dict({**copied.state_dict(), **unflatten(module, flat.detach().clone())})
    return copied.eval()


@dataclass(frozen=True)
class Trajectory:
    """A run of SGD: theta[t+1] = theta[t] - (rate_t / |S_t|) sum_{i in S_t} grad l_i(theta[t]).

    l_i is the row's loss plus weight_decay / 2 |theta|^2. A row left out of training is left
    out of the sum, while the divisor stays |S_t| (the paper's counterfactual, Eq. 3).

    Attributes
    ----------
    module : the architecture; its own weights don't matter.
    loss : one loss a row, without the penalty.
    samples : the training rows.
    parameters : theta[0], ..., theta[T], flat.
    batches : the rows of each step, T tensors of indices.
    rates : the learning rate of each step.
    weight_decay : of the penalty in each row's loss.
    """

    module: nn.Module
    loss: Loss
    samples: Samples
    parameters: Float[Tensor, "steps_plus_1 p"]
    batches: tuple[Tensor, ...]
    rates: tuple[float, ...]
    weight_decay: float

    def losses(
        self, flat: Float[Tensor, " p"], rows: Tensor, samples: Samples | None = None
    ) -> Float[Tensor, " b"]:
        """Each row's loss at parameters `flat`, the penalty included, differentiable in `flat`.

        `samples` defaults to the training rows.
        """
        data = self.samples if samples is None else samples
        outputs = functional_call(self.module, unflatten(self.module, flat), (data.inputs[rows],))
        return self.loss(outputs, data.targets[rows]) + self.weight_decay / 2 * flat.square().sum()

    def backwards(self) -> Iterator[tuple[int, Float[Tensor, " p"], Tensor, float]]:
        """(t, theta[t], S_t, rate_t) from the last step to the first."""
        for t in reversed(range(len(self.batches))):
            yield t, self.parameters[t], self.batches[t], self.rates[t]

    def retrain(
        self, keep: Bool[Tensor, "m n_train"], chunk: int = 256
    ) -> Float[Tensor, "m p"]:
        """Final parameters of the runs on the kept rows, same start, order and rates.

        All `m` runs of a chunk step together as one batch of models.
        """
        return torch.cat([self._retrain(part) for part in keep.split(chunk)])

    def _retrain(self, keep: Bool[Tensor, "m n_train"]) -> Float[Tensor, "m p"]:
        flats = self.parameters[0].expand(len(keep), -1).clone()
        forward = vmap(
            lambda flat, rows: self.losses(flat, rows), in_dims=(0, None), randomness="error"
        )
        for rows, rate in zip(self.batches, self.rates, strict=True):
            flats = flats.requires_grad_()
            weights = keep[:, rows].to(flats.dtype) / len(rows)
            (gradient,) = torch.autograd.grad((weights * forward(flats, rows)).sum(), flats)
            flats = flats.detach() - rate * gradient
        return flats


def run(
    module: nn.Module,
    loss: Loss,
    samples: Samples,
    batches: tuple[Tensor, ...],
    rates: tuple[float, ...],
    weight_decay: float,
) -> Trajectory:
    """Train from the module's own weights by SGD, every step recorded.

    Raises
    ------
    ValueError
        with the step at which the parameters stopped being finite.
    """
    start = flatten(module)
    parameters = torch.empty(len(batches) + 1, len(start))
    parameters[0] = start
    trajectory = Trajectory(module, loss, samples, parameters, batches, rates, weight_decay)
    for t, (rows, rate) in enumerate(zip(batches, rates, strict=True)):
        flat = parameters[t].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(trajectory.losses(flat, rows).sum() / len(rows), flat)
        torch.sub(parameters[t], gradient, alpha=rate, out=parameters[t + 1])
        if not torch.isfinite(parameters[t + 1]).all():
            raise ValueError(f"training diverged at step {t}: lower the learning rate {rate}")
    return trajectory

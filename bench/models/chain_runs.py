"""Many runs of plain SGD on one chain of linear layers, each on rows of its own, in step.

The parameters lie layer by layer and are moved where they lie: nothing is cut out of a vector or
put together again in a step, which took half of the time of small networks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.chain import Chain, by_input, times
from bench.models.losses import slopes


class Step(NamedTuple):
    """What all runs see in a step.

    Attributes
    ----------
    inputs, targets : of the batch's rows. kept : 1 where a run sees a row, else 0.
    rate : the learning rate.
    """

    inputs: Float[Tensor, "b d"]
    targets: Float[Tensor, " b"] | Int[Tensor, " b"]
    kept: Float[Tensor, "m b"]
    rate: float


@dataclass(frozen=True)
class ChainRuns:
    """Parameters of `m` runs; `move` changes them.

    Attributes
    ----------
    weights, biases : `m out in` and `m out 1` of each layer.
    """

    chain: Chain
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    weight_decay: float

    @classmethod
    def of(cls, chain: Chain, flats: Float[Tensor, "m p"], weight_decay: float) -> "ChainRuns":
        """From the parameters that the runs begin with, copied."""
        layers = chain.layers(flats.clone())
        weights = tuple(weight.contiguous() for weight, _ in layers)
        biases = tuple(bias.unsqueeze(-1).contiguous() for _, bias in layers)
        return cls(chain, weights, biases, weight_decay)

    @property
    def flats(self) -> Float[Tensor, "m p"]:
        """The parameters as one vector a run."""
        layers = zip(self.weights, self.biases, strict=True)
        return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)

    def descend(self, steps: Iterable[Step]) -> Float[Tensor, "m p"]:
        """`flats` after these steps, whether they are finite or not."""
        for step in steps:
            self.move(step)
        return self.flats

    def move(self, step: Step) -> None:
        """theta <- theta - (rate / b) sum_i kept_i grad l_i, the penalty being in each l_i."""
        x = step.inputs.T
        width, count = x.shape
        share = step.rate / count
        hs, zs = self._forward(x)
        delta = slopes(zs.pop(), step.targets[None]).mul_(step.kept.unsqueeze(1))
        decayed = None
        if self.weight_decay:
            seen = step.kept.sum(1)[:, None, None]
            decayed = 1 - share * self.weight_decay * seen
        for i in reversed(range(len(self.weights))):
            weight, bias = self.weights[i], self.biases[i]
            above, place = delta, i - 1
            if i:
                delta = times(weight.transpose(1, 2), delta)
                delta = by_input(self.chain.activations[place], delta, zs[place], hs[place])
            if decayed is not None:
                weight.mul_(decayed)
                bias.mul_(decayed)
            if i:
                weight.baddbmm_(above, hs[place].transpose(1, 2), alpha=-share)
            else:
                weight.view(-1, width).addmm_(above.view(-1, count), x.T, alpha=-share)
            bias.add_(above.sum(-1, keepdim=True), alpha=-share)

    def _forward(self, x: Float[Tensor, "d b"]) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs of the activations, and what goes into them and out of the network."""
        first, bias = self.weights[0], self.biases[0]
        z = torch.addmm(bias.view(-1, 1), first.view(-1, x.shape[0]), x)
        hs, zs = [], [z.view(*first.shape[:2], -1)]
        upper = zip(self.chain.activations, self.weights[1:], self.biases[1:], strict=True)
        for activation, weight, bias in upper:
            hs.append(activation(zs[-1]))
            zs.append(times(weight, hs[-1]).add_(bias))
        return hs, zs

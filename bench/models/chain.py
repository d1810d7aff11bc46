"""Chains of linear layers and activations: gradients and Hessian products of many at once.

Written out by hand because autograd's bookkeeping takes ten times as long as the arithmetic of a
small network. Rows come last in all arrays here: a layer's input is `width b`, so that the first
layer of many models on the same rows is one matrix product.

References
----------
Pearlmutter, *Fast Exact Multiplication by the Hessian*, Neural Computation 6, 1994 (R{}).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.models.forward_only import hooked
from bench.models.losses import bends, slopes
from bench.models.smoothing import SmoothedReLU

Slope = Callable[[Tensor, Tensor], Tensor]
"""(pre-activation z, activation h) -> a derivative of h by z."""


class Curve(NamedTuple):
    """First and second derivative of an activation; None where the second is 0."""

    slope: Slope
    bend: Slope | None


def _gelu_slope(z: Tensor, h: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(z)
    return below + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_bend(z: Tensor, h: Tensor) -> Tensor:
    return (2 - z * z) * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _softplus(beta: float) -> Curve:
    def slope(z: Tensor, h: Tensor) -> Tensor:
        return torch.sigmoid(beta * z)

    def bend(z: Tensor, h: Tensor) -> Tensor:
        share = torch.sigmoid(beta * z)
        return beta * share * (1 - share)

    return Curve(slope, bend)


def curve_of(layer: nn.Module) -> Curve | None:
    """The derivatives of an activation, or None where it isn't known here."""
    # As torch has it: the derivative of ReLU at 0 is 0.
    relu: Slope = lambda z, h: (z > 0).to(z.dtype)  # noqa: E731
    if isinstance(layer, SmoothedReLU):
        return Curve(relu, _softplus(layer.beta).bend)
    if isinstance(layer, nn.ReLU):
        return Curve(relu, None)
    if isinstance(layer, nn.Tanh):
        return Curve(lambda z, h: 1 - h * h, lambda z, h: -2 * h * (1 - h * h))
    # Beyond its threshold torch's softplus is the identity.
    if isinstance(layer, nn.Softplus) and layer.threshold >= 20:
        return _softplus(layer.beta)
    if isinstance(layer, nn.GELU) and layer.approximate == "none":
        return Curve(_gelu_slope, _gelu_bend)
    return None


def by_input(activation: nn.Module, delta: Tensor, z: Tensor, h: Tensor) -> Tensor:
    """The loss's derivative by `z` from that by `h`."""
    if isinstance(activation, nn.ReLU):
        passed: Tensor = torch.ops.aten.threshold_backward.default(delta, h, 0)
        return passed
    curve = curve_of(activation)
    assert curve is not None
    return delta.mul_(curve.slope(z, h))


def times(weight: Float[Tensor, "n i j"], x: Float[Tensor, "n j b"]) -> Float[Tensor, "n i b"]:
    """A product a model; those with a single row or column are quicker written out."""
    if weight.shape[1] == 1:
        return (weight.transpose(1, 2) * x).sum(1, keepdim=True)
    if weight.shape[2] == 1:
        return weight * x
    return torch.bmm(weight, x)


@dataclass(frozen=True)
class Chain:
    """Linear layers with bias, an activation between each two.

    Attributes
    ----------
    sizes : (outputs, inputs) of each linear layer.
    activations : the modules between them.
    """

    sizes: tuple[tuple[int, int], ...]
    activations: tuple[nn.Module, ...]

    @classmethod
    def of(cls, module: nn.Module) -> "Chain | None":
        """The chain that `module` is, or None."""
        if not isinstance(module, nn.Sequential):
            return None
        layers = list(module)
        if layers and isinstance(layers[0], nn.Flatten):
            layers = layers[1:]
        linear, between = layers[::2], layers[1::2]
        if len(linear) != len(between) + 1 or any(curve_of(layer) is None for layer in between):
            return None
        # A hook may change what an activation gives; a layer used twice has one set of weights.
        if any(map(hooked, between)) or len(set(map(id, linear))) < len(linear):
            return None
        sizes = []
        for layer in linear:
            if not isinstance(layer, nn.Linear) or layer.bias is None:
                return None
            sizes.append((layer.out_features, layer.in_features))
        return cls(tuple(sizes), tuple(between))

    def gradients(
        self,
        flats: Float[Tensor, "g m p"],
        inputs: Float[Tensor, "g d b"],
        targets: Float[Tensor, "g b"] | Tensor,
        weights: Float[Tensor, "g m b"],
    ) -> Float[Tensor, "g m p"]:
        """Gradients of sum_i weights_i l_i in each of `m` models of each of `g` groups.

        The models of a group share inputs and targets.
        """
        g, m, p = flats.shape
        # A transposed product with weights that lie p numbers apart takes torch's slow way.
        layers = [(w.contiguous(), b.unsqueeze(-1)) for w, b in self.layers(flats.flatten(0, 1))]
        (first, bias), *others = layers
        z = torch.bmm(first.view(g, -1, first.shape[-1]), inputs)
        z = z.view(g * m, -1, inputs.shape[-1]).add_(bias)
        zs, xs = [z], []
        for activation, (weight, bias) in zip(self.activations, others, strict=True):
            xs.append(activation(zs[-1]))
            zs.append(times(weight, xs[-1]).add_(bias))
        end = zs.pop()
        delta = slopes(end.view(g, m, *end.shape[1:]), targets.unsqueeze(1))
        delta = delta.mul_(weights.unsqueeze(2)).view_as(end)
        found: list[Tensor] = []
        for i in reversed(range(len(others))):
            outer = torch.bmm(delta, xs[i].transpose(1, 2))
            found = [outer.flatten(1), delta.sum(-1), *found]
            delta = times(others[i][0].transpose(1, 2), delta)
            delta = by_input(self.activations[i], delta, zs[i], xs[i])
        outer = torch.bmm(delta.view(g, -1, delta.shape[-1]), inputs.transpose(1, 2))
        return torch.cat([outer.view(g * m, -1), delta.sum(-1), *found], dim=1).view(g, m, p)

    def tape(
        self,
        flats: Float[Tensor, "n p"],
        inputs: Float[Tensor, "n d b"],
        targets: Float[Tensor, "n b"] | Tensor,
        weights: Float[Tensor, "n b"],
    ) -> "Tape":
        """What `Tape.product` needs of `n` models, each on rows of its own."""
        layers = self.layers(flats)
        xs, zs = [inputs], []
        for i, (weight, bias) in enumerate(layers):
            zs.append(torch.baddbmm(bias.unsqueeze(-1), weight, xs[-1]))
            if i < len(self.activations):
                xs.append(self.activations[i](zs[-1]))
        # Found from the last layer to the first.
        delta = slopes(zs[-1], targets)
        ends = delta
        scales: list[Tensor] = []
        bent: list[Tensor | None] = []
        deltas = [delta * weights.unsqueeze(1)]
        for i in reversed(range(len(self.activations))):
            curve = curve_of(self.activations[i])
            assert curve is not None
            back = torch.bmm(layers[i + 1][0].transpose(1, 2), deltas[0])
            z, h = zs[i], xs[i + 1]
            scales.insert(0, curve.slope(z, h))
            bent.insert(0, None if curve.bend is None else curve.bend(z, h).mul_(back))
            deltas.insert(0, back.mul_(scales[0]))
        curved = bends(zs[-1], targets) * weights[:, None, None]
        upper = tuple(weight for weight, _ in layers[1:])
        kept = tuple(xs), tuple(scales), tuple(bent), tuple(deltas)
        return Tape(self, flats, upper, *kept, ends, curved)

    def layers(self, flats: Float[Tensor, "n p"]) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer, views of `flats`."""
        # The tensor's own `split` and `unflatten` take twice as long to come to the same views.
        # So does its `len`, several times in a step.
        parts, n = torch.split_with_sizes(flats, self._widths, 1), flats.shape[0]
        return [
            (weight.view(n, *size), bias)
            for size, weight, bias in zip(self.sizes, parts[::2], parts[1::2], strict=True)
        ]

    @cached_property
    def _widths(self) -> list[int]:
        return [n for out, into in self.sizes for n in (out * into, out)]


@dataclass(frozen=True)
class Tape:
    """Forward and backward pass of `n` models, each on its own rows, kept for R{}.

    Attributes
    ----------
    chain, flats : the architecture and the parameters. upper : weights of each linear layer but
        the first.
    xs : input of each linear layer. scales : slope of each activation.
    bent : second derivative of each activation times the loss's derivative by it.
    deltas : weighted derivatives of the loss by each linear layer's output.
    ends : unweighted ones by the last output. curved : weighted second ones by it.
    """

    chain: Chain
    flats: Float[Tensor, "n p"]
    upper: tuple[Tensor, ...]
    xs: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    bent: tuple[Tensor | None, ...]
    deltas: tuple[Tensor, ...]
    ends: Tensor
    curved: Tensor

    def gradients(self) -> Float[Tensor, "n p"]:
        """Gradient of the weighted sum of losses."""
        return _joined(
            (torch.bmm(delta, x.transpose(1, 2)), delta.sum(-1))
            for delta, x in zip(self.deltas, self.xs, strict=True)
        )

    def pushed(self, directions: Float[Tensor, "m p"]) -> Float[Tensor, "m b"]:
        """Derivatives of the rows' losses along `directions`, one a model."""
        outs, _ = self._moved(self.chain.layers(directions))
        return (self.ends * outs[-1]).sum(1)

    def product(
        self, directions: Float[Tensor, "m p"]
    ) -> tuple[Float[Tensor, "m b"], Float[Tensor, "m p"]]:
        """<grad l_i, direction> of each row, and the Hessian of the weighted sum of losses times
        the direction; a direction for each model."""
        moved = self.chain.layers(directions)
        outs, ins = self._moved(moved)
        if self.curved.shape[1] == 1:
            delta = self.curved.squeeze(1) * outs[-1]
        else:
            delta = (self.curved * outs[-1].unsqueeze(1)).sum(2)
        found: list[Tensor] = []
        for i in reversed(range(len(moved))):
            outer = torch.bmm(delta, self.xs[i].transpose(1, 2))
            if i:
                outer.baddbmm_(self.deltas[i], ins[i - 1].transpose(1, 2))
            found = [outer.flatten(1), delta.sum(-1), *found]
            if i:
                delta = torch.bmm(self.upper[i - 1].transpose(1, 2), delta)
                delta.baddbmm_(moved[i][0].transpose(1, 2), self.deltas[i])
                delta.mul_(self.scales[i - 1])
                bent = self.bent[i - 1]
                if bent is not None:
                    delta.addcmul_(bent, outs[i - 1])
        return (self.ends * outs[-1]).sum(1), torch.cat(found, dim=1)

    def _moved(self, layers: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        """R{} forward: derivatives of each layer's output, and of each layer's input but the
        first's, as the parameters move along `layers`."""
        outs: list[Tensor] = []
        ins: list[Tensor] = []
        for i, (weight, bias) in enumerate(layers):
            out = torch.baddbmm(bias.unsqueeze(-1), weight, self.xs[i])
            if i:
                ins.append(self.scales[i - 1] * outs[-1])
                out.baddbmm_(self.upper[i - 1], ins[-1])
            outs.append(out)
        return outs, ins

    def expand(self, m: int) -> "Tape":
        """The one model of this tape `m` times, no number copied."""

        def wide(values: Sequence[Tensor | None]) -> tuple[Any, ...]:
            return tuple(None if v is None else v.expand(m, *v.shape[1:]) for v in values)

        flats, ends, curved = wide([self.flats, self.ends, self.curved])
        parts = wide(self.xs), wide(self.scales), wide(self.bent), wide(self.deltas)
        return Tape(self.chain, flats, wide(self.upper), *parts, ends, curved)

    def split(self, size: int) -> "list[Tape]":
        """The models in groups of `size` that follow one another."""
        count = len(self.flats) // size

        def cut(values: Sequence[Tensor | None]) -> list[tuple[Any, ...]]:
            split = [[None] * count if v is None else v.split(size) for v in values]
            return list(zip(*split, strict=True)) if split else [()] * count

        ones = cut([self.flats, self.ends, self.curved])
        each = map(cut, (self.upper, self.xs, self.scales, self.bent, self.deltas))
        return [
            Tape(self.chain, flats, upper, xs, scales, bent, deltas, ends, curved)
            for (flats, ends, curved), upper, xs, scales, bent, deltas in zip(
                ones, *each, strict=True
            )
        ]


def _joined(layers: Iterable[tuple[Tensor, Tensor]]) -> Float[Tensor, "n p"]:
    """Weights and biases of each layer as one vector a model."""
    return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)

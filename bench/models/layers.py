"""Sequences of layers, convolutions among them: Hessian products of one model, written out.

Autograd's second backward pass takes every product of the first again; R{} needs half of them.

References
----------
Pearlmutter, *Fast Exact Multiplication by the Hessian*, Neural Computation 6, 1994.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from bench.models.chain import Curve, curve_of
from bench.models.losses import bends, slopes
from bench.models.max_pool import pooled, spread


class Bilinear(ABC):
    """y = B(weight, x) + bias: what is linear in the weight and in the input."""

    @abstractmethod
    def times(self, weight: Tensor, x: Tensor) -> Tensor:
        """B."""

    @abstractmethod
    def by_input(self, weight: Tensor, delta: Tensor, x: Tensor) -> Tensor:
        """The adjoint of x. `x` gives the shape."""

    @abstractmethod
    def by_weight(self, delta: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The adjoint of the weight, which gives the shape."""

    @abstractmethod
    def two_by_input(
        self, weights: tuple[Tensor, Tensor], deltas: tuple[Tensor, Tensor], x: Tensor
    ) -> Tensor:
        """The sum of `by_input` of two pairs."""

    @abstractmethod
    def bias(self, delta: Tensor) -> Tensor:
        """The adjoint of the bias."""


@dataclass(frozen=True)
class Dense(Bilinear):
    """A linear layer."""

    def times(self, weight: Tensor, x: Tensor) -> Tensor:
        return functional.linear(x, weight)

    def by_input(self, weight: Tensor, delta: Tensor, x: Tensor) -> Tensor:
        return delta @ weight

    def by_weight(self, delta: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return delta.T @ x

    def two_by_input(
        self, weights: tuple[Tensor, Tensor], deltas: tuple[Tensor, Tensor], x: Tensor
    ) -> Tensor:
        return torch.addmm(deltas[0] @ weights[0], deltas[1], weights[1])

    def bias(self, delta: Tensor) -> Tensor:
        return delta.sum(0)


@dataclass(frozen=True)
class Convolution(Bilinear):
    """A convolution in one group, its margin of zeros."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def times(self, weight: Tensor, x: Tensor) -> Tensor:
        return functional.conv2d(x, weight, None, self.stride, self.padding, self.dilation)

    def by_input(self, weight: Tensor, delta: Tensor, x: Tensor) -> Tensor:
        return self._backward(delta, x, weight, 0)

    def by_weight(self, delta: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self._backward(delta, x, weight, 1)

    def two_by_input(
        self, weights: tuple[Tensor, Tensor], deltas: tuple[Tensor, Tensor], x: Tensor
    ) -> Tensor:
        # One product with twice the channels is quicker than two.
        return self.by_input(torch.cat(weights), torch.cat(deltas, 1), x)

    def bias(self, delta: Tensor) -> Tensor:
        return delta.sum((0, 2, 3))

    def _backward(self, delta: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
        wanted = [which == 0, which == 1, False]
        where = list(self.stride), list(self.padding), list(self.dilation)
        found = torch.ops.aten.convolution_backward(
            delta, x, weight, None, *where, False, [0, 0], 1, wanted
        )
        adjoint: Tensor = found[which]
        return adjoint


@dataclass(frozen=True)
class Scale(Bilinear):
    """A factor a channel: what batch norm trains, its statistics fixed."""

    def times(self, weight: Tensor, x: Tensor) -> Tensor:
        return x * _across(weight, x)

    def by_input(self, weight: Tensor, delta: Tensor, x: Tensor) -> Tensor:
        return delta * _across(weight, x)

    def by_weight(self, delta: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self.bias(delta * x)

    def two_by_input(
        self, weights: tuple[Tensor, Tensor], deltas: tuple[Tensor, Tensor], x: Tensor
    ) -> Tensor:
        return self.by_input(weights[0], deltas[0], x) + self.by_input(weights[1], deltas[1], x)

    def bias(self, delta: Tensor) -> Tensor:
        return delta.sum([axis for axis in range(delta.ndim) if axis != 1])


def _across(values: Tensor, x: Tensor) -> Tensor:
    """One value a channel, shaped for `x`."""
    return values.view(-1, *[1] * (x.ndim - 2))


@dataclass(frozen=True)
class Standardise:
    """(x - mean) / root, channel by channel."""

    mean: Tensor
    root: Tensor


@dataclass(frozen=True)
class Pool:
    """Max pooling of 2x2 windows that don't overlap."""


@dataclass(frozen=True)
class Activation:
    """An activation."""

    module: nn.Module

    @property
    def curve(self) -> Curve:
        """Its derivatives; functions, which a problem sent to another process can't hold."""
        found = curve_of(self.module)
        assert found is not None
        return found


Layer = Dense | Convolution | Scale | Standardise | Pool | Activation | nn.Flatten


def layers_of(module: nn.Module) -> tuple[Layer, ...] | None:
    """The layers of a sequence in eval mode, or None where one isn't known here."""
    # Exact types, here and below: a subclass may do more than its base says.
    if type(module) is not nn.Sequential or module.training:
        return None
    layers: list[Layer] = []
    flat = True
    for layer in module:
        found = _layers(layer)
        # A linear layer along the last axis of images is another one.
        if found is None or (type(layer) is nn.Linear and not flat):
            return None
        flat = type(layer) is nn.Flatten or (flat and type(layer) not in _OF_IMAGES)
        layers += found
        # The maximum of ReLUs is the ReLU of the maximum, which is a quarter of the work.
        if isinstance(layers[-1], Pool) and len(layers) > 1:
            before = layers[-2]
            if isinstance(before, Activation) and type(before.module) is nn.ReLU:
                layers[-2:] = [layers[-1], before]
    # Fewer parameters than layers want: some are shared.
    wanted = 2 * sum(isinstance(layer, Bilinear) for layer in layers)
    return tuple(layers) if len(list(module.parameters())) == wanted else None


_OF_IMAGES = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)


def _layers(layer: nn.Module) -> list[Layer] | None:
    if type(layer) is nn.Flatten:
        return [layer] if (layer.start_dim, layer.end_dim) == (1, -1) else None
    if type(layer) is nn.Linear and layer.bias is not None:
        return [Dense()]
    if type(layer) is nn.Conv2d and _plain(layer):
        padding = layer.padding
        assert not isinstance(padding, str)
        return [Convolution(layer.stride, padding, layer.dilation)]
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
        if type(layer) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            return None
        if layer.running_mean is None or layer.running_var is None:
            return None
        root = (layer.running_var + layer.eps).sqrt()
        return [Standardise(layer.running_mean, root), Scale()]
    if type(layer) is nn.MaxPool2d:
        usual = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
        return [Pool()] if usual in ((2, 2, 0, 1, False), ((2, 2), (2, 2), 0, 1, False)) else None
    return None if curve_of(layer) is None else [Activation(layer)]


def _plain(layer: nn.Conv2d) -> bool:
    zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return zeros and layer.groups == 1 and layer.bias is not None


def picked(r: Float[Tensor, "b c h w"], places: Int[Tensor, "b c h2 w2"]) -> Tensor:
    """The values of `r` at the places of maxima, channels last in memory as all images here."""
    last = r.movedim(1, 3).flatten(1, 2)
    found: Tensor = last.gather(1, places.movedim(1, 3).flatten(1, 2))
    shaped: Tensor = found.unflatten(1, places.shape[2:])
    return shaped.movedim(3, 1)


@dataclass(frozen=True)
class Pass:
    """Forward and backward pass of one model on the rows of a step, kept for R{}.

    Attributes
    ----------
    layers : of the network. weights : (weight, bias) of each bilinear layer, else None.
    xs : input of each layer, and the output.
    extras : slope of an activation, places of a pooling, else None.
    deltas : derivative of the weighted sum of losses by each layer's output, where R{} needs it,
        and of the last.
    ends : derivatives of the rows' losses by the outputs, `k b`. curved : weighted second ones.
    """

    layers: tuple[Layer, ...]
    weights: tuple[tuple[Tensor, Tensor] | None, ...]
    xs: tuple[Tensor, ...]
    extras: tuple[Tensor | None, ...]
    deltas: tuple[Tensor | None, ...]
    ends: Float[Tensor, "k b"]
    curved: Float[Tensor, "k k b"]

    @classmethod
    def of(
        cls,
        layers: tuple[Layer, ...],
        parameters: Sequence[Tensor],
        inputs: Float[Tensor, "b *features"],
        targets: Tensor,
        shares: Float[Tensor, " b"],
    ) -> "Pass":
        weights = paired(layers, parameters)
        xs, extras = [inputs], []
        for layer, pair in zip(layers, weights, strict=True):
            y, extra = _forward(layer, pair, xs[-1])
            xs.append(y)
            extras.append(extra)
        outputs = xs[-1].T
        ends = slopes(outputs, targets)
        deltas: list[Tensor | None] = [None] * len(layers)
        delta, lowest = ends.T * shares[:, None], _lowest(layers)
        for i in reversed(range(lowest, len(layers))):
            deltas[i] = delta
            if i > lowest:
                delta = _backward(layers[i], weights[i], delta, xs[i], extras[i])
        curved = bends(outputs, targets) * shares
        return cls(layers, weights, tuple(xs), tuple(extras), tuple(deltas), ends, curved)

    @property
    def bytes(self) -> int:
        """Of what is kept, the parameters left out."""
        values = *self.xs, *self.extras, *self.deltas
        return sum(value.nbytes for value in values if value is not None)

    def gradient(self) -> Float[Tensor, " p"]:
        """Gradient of the weighted sum of losses."""
        found: list[Tensor] = []
        delta, first = self.deltas[-1], _first(self.layers)
        for i in reversed(range(first, len(self.layers))):
            layer, pair, kept = self.layers[i], self.weights[i], self.deltas[i]
            if kept is None:
                above = i + 1
                assert delta is not None
                x, extra = self.xs[above], self.extras[above]
                delta = _backward(self.layers[above], self.weights[above], delta, x, extra)
            else:
                delta = kept
            if pair is not None and isinstance(layer, Bilinear):
                outer = layer.by_weight(delta, self.xs[i], pair[0])
                found = [outer.flatten(), layer.bias(delta), *found]
        return torch.cat(found)

    def pushed(self, directions: Sequence[Tensor]) -> tuple[Float[Tensor, " b"], list[Any]]:
        """R{} forward: derivatives of the rows' losses, and of each layer's input and the
        output (None where nothing moves) along `directions`, one tensor a parameter."""
        moved = paired(self.layers, directions)
        pushed: list[Tensor | None] = [None]
        for i, layer in enumerate(self.layers):
            r, pair, shift = pushed[-1], self.weights[i], moved[i]
            if pair is not None and shift is not None and isinstance(layer, Bilinear):
                out = layer.times(shift[0], self.xs[i])
                out += _across(shift[1], out)
                pushed.append(out if r is None else out.add_(layer.times(pair[0], r)))
            else:
                pushed.append(None if r is None else _push(layer, r, self, i))
        end = pushed[-1]
        assert end is not None
        return (self.ends * end.T).sum(0), pushed

    def product(
        self, directions: Sequence[Tensor]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " p"]]:
        """<grad l_i, direction> of each row, and the Hessian of the weighted sum times it."""
        products, pushed = self.pushed(directions)
        moved = paired(self.layers, directions)
        delta = (self.curved * pushed[-1].T).sum(1).T
        found: list[Tensor] = []
        first = _first(self.layers)
        for i in reversed(range(first, len(self.layers))):
            layer, pair, shift, kept = self.layers[i], self.weights[i], moved[i], self.deltas[i]
            x = self.xs[i]
            if pair is not None and shift is not None and isinstance(layer, Bilinear):
                outer = layer.by_weight(delta, x, pair[0])
                if pushed[i] is not None:
                    assert kept is not None
                    outer = outer + layer.by_weight(kept, pushed[i], pair[0])
                found = [outer.flatten(), layer.bias(delta), *found]
                if i > first:
                    assert kept is not None
                    delta = layer.two_by_input((pair[0], shift[0]), (delta, kept), x)
            else:
                delta = _backward(layer, pair, delta, x, self.extras[i])
                if isinstance(layer, Activation) and layer.curve.bend is not None:
                    assert kept is not None
                    delta = delta + layer.curve.bend(x, self.xs[i + 1]) * pushed[i] * kept
        return products, torch.cat(found)


def paired(
    layers: tuple[Layer, ...], values: Sequence[Tensor]
) -> tuple[tuple[Tensor, Tensor] | None, ...]:
    """(weight, bias) of each bilinear layer from one tensor a parameter."""
    rest = iter(values)
    return tuple(
        (next(rest), next(rest)) if isinstance(layer, Bilinear) else None for layer in layers
    )


def _first(layers: tuple[Layer, ...]) -> int:
    """The first layer with parameters."""
    return next(i for i, layer in enumerate(layers) if isinstance(layer, Bilinear))


def _lowest(layers: tuple[Layer, ...]) -> int:
    """The first layer behind the first with parameters whose output's derivative R{} needs."""
    first = _first(layers)
    needing = (
        i
        for i, layer in enumerate(layers)
        if i > first
        and (
            isinstance(layer, Bilinear)
            or (isinstance(layer, Activation) and layer.curve.bend is not None)
        )
    )
    return next(needing, len(layers) - 1)


def _forward(
    layer: Layer, pair: tuple[Tensor, Tensor] | None, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The output, and what the way back needs."""
    if pair is not None and isinstance(layer, Bilinear):
        out = layer.times(pair[0], x)
        return out.add_(_across(pair[1], out)), None
    if isinstance(layer, Activation):
        out = layer.module(x)
        # ReLU's slope is found again from its output, which saves an array.
        return out, None if isinstance(layer.module, nn.ReLU) else layer.curve.slope(x, out)
    if isinstance(layer, Pool):
        return pooled(x)
    if isinstance(layer, Standardise):
        return (x - _across(layer.mean, x)) / _across(layer.root, x), None
    assert isinstance(layer, nn.Flatten)
    return x.flatten(1), None


def _push(layer: Layer, r: Tensor, kept: Pass, i: int) -> Tensor:
    """R{} of the output of a layer without parameters from that of its input."""
    if isinstance(layer, Pool):
        places = kept.extras[i]
        assert places is not None
        return picked(r, places)
    if isinstance(layer, nn.Flatten):
        return r.flatten(1)
    if isinstance(layer, Standardise):
        return r / _across(layer.root, r)
    assert isinstance(layer, Activation)
    return _sloped(r, kept.extras[i], kept.xs[i + 1])


def _backward(
    layer: Layer, pair: tuple[Tensor, Tensor] | None, delta: Tensor, x: Tensor, extra: Tensor | None
) -> Tensor:
    """The derivative by the input from that by the output."""
    if pair is not None and isinstance(layer, Bilinear):
        return layer.by_input(pair[0], delta, x)
    if isinstance(layer, Pool):
        assert extra is not None
        return spread(delta, x, extra)
    if isinstance(layer, nn.Flatten):
        return delta.view_as(x)
    if isinstance(layer, Standardise):
        return delta / _across(layer.root, x)
    assert isinstance(layer, Activation)
    return _sloped(delta, extra, x)


def _sloped(values: Tensor, slope: Tensor | None, h: Tensor) -> Tensor:
    """`values` times the slope of an activation; of ReLU where none is given, found from `h`,
    its input or output."""
    if slope is not None:
        return values * slope
    passed: Tensor = torch.ops.aten.threshold_backward(values, h, 0)
    return passed

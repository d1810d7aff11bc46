"""Networks as chains of linear maps, ReLU and max-pooling, in float64 and over flat vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from bench.setfunction.layers import flattens, layers_of


@dataclass(frozen=True)
class Dense:
    """x -> weight x + bias."""

    weight: Float[Tensor, "d_out d_in"]
    bias: Float[Tensor, " d_out"]

    def linear(self, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out"]:
        """weight x."""
        return x @ self.weight.t()

    def absolute(self, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out"]:
        """|weight| x."""
        return x @ self.weight.abs().t()

    def transposed(self, rows: Float[Tensor, "*b d_out"]) -> Float[Tensor, "*b d_in"]:
        """rows weight."""
        return rows @ self.weight

    def absolute_transposed(self, rows: Float[Tensor, "*b d_out"]) -> Float[Tensor, "*b d_in"]:
        """rows |weight|."""
        return rows @ self.weight.abs()


@dataclass(frozen=True)
class Convolution:
    """A convolution of images of `shape`, flat on both sides; average pooling is one too."""

    kernel: Float[Tensor, "c_out c_in height width"]
    bias: Float[Tensor, " d_out"]
    shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def linear(self, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out"]:
        """The convolution without its bias."""
        return self._convolved(x, self.kernel)

    def absolute(self, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out"]:
        """The same with the kernel's absolute values."""
        return self._convolved(x, self.kernel.abs())

    def transposed(self, rows: Float[Tensor, "*b d_out"]) -> Float[Tensor, "*b d_in"]:
        """rows times the convolution's matrix."""
        return self._transposed(rows, self.kernel)

    def absolute_transposed(self, rows: Float[Tensor, "*b d_out"]) -> Float[Tensor, "*b d_in"]:
        """rows times the absolute values of the convolution's matrix."""
        return self._transposed(rows, self.kernel.abs())

    def _transposed(self, rows: Tensor, kernel: Tensor) -> Tensor:
        _, height, width = self._shape_out
        smallest = [
            (out - 1) * s - 2 * p + d * (k - 1) + 1
            for out, s, p, d, k in zip(
                (height, width),
                self.stride,
                self.padding,
                self.dilation,
                self.kernel.shape[2:],
                strict=True,
            )
        ]
        missing = (self.shape[1] - smallest[0], self.shape[2] - smallest[1])
        images = rows.reshape(-1, *self._shape_out)
        found = functional.conv_transpose2d(
            images,
            kernel,
            None,
            self.stride,
            self.padding,
            missing,
            self.groups,
            self.dilation,
        )
        return found.reshape(*rows.shape[:-1], -1)

    @property
    def _shape_out(self) -> tuple[int, int, int]:
        height, width = (
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, s, p, d, k in zip(
                self.shape[1:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel.shape[2:],
                strict=True,
            )
        )
        return self.kernel.shape[0], height, width

    def _convolved(self, x: Tensor, kernel: Tensor) -> Tensor:
        images = x.reshape(-1, *self.shape)
        found = functional.conv2d(
            images, kernel, None, self.stride, self.padding, self.dilation, self.groups
        )
        return found.reshape(*x.shape[:-1], -1)


@dataclass(frozen=True)
class ReLU:
    """x -> max(0, x)."""


@dataclass(frozen=True)
class Pool:
    """The largest of the positions in each window."""

    members: Int[Tensor, "d_out window"]
    d_in: int

    def windows(self, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out window"]:
        """What each window holds."""
        return x[..., self.members]

    def spread(self, values: Float[Tensor, "*b d_out window"]) -> Float[Tensor, "*b d_in"]:
        """The sum, at each position, of what its windows give it."""
        found = values.new_zeros(*values.shape[:-2], self.d_in)
        return found.index_add(-1, self.members.flatten(), values.flatten(-2))


Map = Dense | Convolution
Layer = Map | ReLU | Pool


@dataclass(frozen=True)
class Chain:
    """A network on flat inputs. It begins and ends with a linear map."""

    layers: tuple[Layer, ...]

    def __call__(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b outputs"]:
        return self.behind(apply(self.first, x))

    @property
    def first(self) -> Map:
        """The first linear map."""
        return _as_map(self.layers[0])

    def behind(self, x: Float[Tensor, "b hidden"]) -> Float[Tensor, "b outputs"]:
        """The output for these outputs of the first map."""
        for layer in self.layers[1:]:
            x = apply(layer, x)
        return x

    @property
    def products(self) -> int:
        """Multiplications of one input."""
        dense = [layer.weight.numel() for layer in self.layers if isinstance(layer, Dense)]
        convolved = [
            len(layer.bias) * layer.kernel[0].numel()
            for layer in self.layers
            if isinstance(layer, Convolution)
        ]
        return sum(dense) + sum(convolved)

    @property
    def outputs(self) -> int:
        """How many numbers it answers."""
        return len(_as_map(self.layers[-1]).bias)

    def combined(self, rows: Float[Tensor, "m outputs"]) -> "Chain":
        """The chain whose outputs are these combinations of the outputs."""
        last = self.layers[-1]
        if isinstance(last, Dense) and len(self.layers) > 1:
            joined = Dense(rows @ last.weight, rows @ last.bias)
            return Chain((*self.layers[:-1], joined))
        return Chain((*self.layers, Dense(rows, rows.new_zeros(len(rows)))))


def apply(layer: Layer, x: Float[Tensor, "*b d_in"]) -> Float[Tensor, "*b d_out"]:
    """What the layer makes of flat vectors."""
    if isinstance(layer, ReLU):
        return x.clamp(min=0)
    if isinstance(layer, Pool):
        return layer.windows(x).amax(-1)
    return layer.linear(x) + layer.bias


def read_chain(module: nn.Module | None, shape: Sequence[int]) -> Chain | str:
    """The chain that a module is, or why it is none.

    Parameters
    ----------
    module : a plain `nn.Sequential`, perhaps of others, in eval mode, of flattening, linear
        layers, convolutions, batch norms, ReLU, max- and average-pooling, dropout and identities.
    shape : of one input.
    """
    if type(module) is not nn.Sequential:
        return "the model is no nn.Sequential"
    layers: list[Layer] = []
    image = tuple(shape)
    for part in layers_of(module):
        if flattens(part):
            image = (int(torch.Size(image).numel()),)
            continue
        read = _read(part, image)
        if isinstance(read, str):
            return read
        layer, image = read
        layers = _joined(layers, layer)
    if not layers or not isinstance(layers[0], Map) or not isinstance(layers[-1], Map):
        return "the model begins or ends with no linear map"
    return Chain(tuple(layers))


def _read(part: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | str:
    if type(part) is nn.ReLU:
        return ReLU(), shape
    if type(part) is nn.Linear and len(shape) == 1:
        weight = part.weight.detach().cpu().double()
        return Dense(weight, _bias(part, len(weight))), (len(weight),)
    if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d) and not part.training:
        return _normalisation(part, shape)
    if len(shape) == 3:
        if type(part) is nn.Conv2d and part.padding_mode == "zeros":
            return _convolution(part, shape)
        if type(part) in (nn.MaxPool2d, nn.AvgPool2d):
            return _pooling(part, shape)
    return f"no bounds for {part}"


def _bias(part: nn.Module, width: int) -> Tensor:
    bias = getattr(part, "bias", None)
    return (
        torch.zeros(width, dtype=torch.float64)
        if not isinstance(bias, Tensor)
        else bias.detach().cpu().double()
    )


def _convolution(part: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | str:
    assert isinstance(part, nn.Conv2d)
    if isinstance(part.padding, str):
        return f"no bounds for {part}: its padding is no number"
    out = _shape_behind(part, shape)
    kernel = part.weight.detach().cpu().double()
    bias = _bias(part, len(kernel)).repeat_interleave(out[1] * out[2])
    geometry = (_pair(part.stride), _pair(part.padding), _pair(part.dilation), part.groups)
    return Convolution(kernel, bias, _triple(shape), *geometry), out


def _pooling(part: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | str:
    assert isinstance(part, nn.MaxPool2d | nn.AvgPool2d)
    kernel, stride = _pair(part.kernel_size), _pair(part.stride)
    if _pair(part.padding) != (0, 0) or part.ceil_mode:
        return f"no bounds for {part}: its windows reach beyond the image"
    out = _shape_behind(part, shape)
    if isinstance(part, nn.AvgPool2d):
        height, width = kernel
        share = 1.0 / (part.divisor_override or height * width)
        weight = torch.full((shape[0], 1, height, width), share, dtype=torch.float64)
        bias = torch.zeros(torch.Size(out).numel(), dtype=torch.float64)
        whole = (stride, (0, 0), (1, 1), shape[0])
        return Convolution(weight, bias, _triple(shape), *whole), out
    if _pair(part.dilation) != (1, 1) or part.return_indices:
        return f"no bounds for {part}"
    d = torch.Size(shape).numel()
    positions = torch.arange(d, dtype=torch.float64).view(1, *shape)
    members = functional.unfold(positions, kernel, stride=stride)  # 1, channels window, places
    members = members.view(shape[0], -1, out[1] * out[2]).transpose(1, 2).flatten(0, 1)
    return Pool(members.long(), d), out


def _normalisation(part: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | str:
    assert isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)
    if part.running_mean is None or part.running_var is None:
        return f"no bounds for {part}: it keeps no statistics"
    scale = (part.running_var.cpu().double() + part.eps).rsqrt()
    if part.weight is not None:
        scale = scale * part.weight.detach().cpu().double()
    shift = _bias(part, len(scale)) - scale * part.running_mean.cpu().double()
    if len(shape) == 1:
        return Dense(torch.diag(scale), shift), shape
    bias = shift.repeat_interleave(shape[1] * shape[2])
    kernel = scale.view(-1, 1, 1, 1)
    return (
        Convolution(kernel, bias, _triple(shape), (1, 1), (0, 0), (1, 1), shape[0]),
        shape,
    )


def _joined(layers: list[Layer], layer: Layer) -> list[Layer]:
    """The layers and one more; two dense maps in a row are one."""
    if layers and isinstance(layer, Dense) and isinstance(layers[-1], Dense):
        before = layers[-1]
        joined = Dense(layer.weight @ before.weight, layer.linear(before.bias) + layer.bias)
        return [*layers[:-1], joined]
    return [*layers, layer]


def _shape_behind(part: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    parameter = next(part.parameters(), torch.zeros(0))
    with torch.no_grad():
        blank = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
        return tuple(part(blank).shape[1:])


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _triple(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], shape[2]


def _as_map(layer: Layer) -> Map:
    assert isinstance(layer, Map)
    return layer

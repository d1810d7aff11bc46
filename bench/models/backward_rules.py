"""Gradients in which some functions of a network go backward by a rule of their own.

A `Replaced` block catches the torch functions themselves, whether a module or plain code calls
them, however often. Nothing is hooked, copied or changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Call = Callable[..., Tensor]
"""Computes in place of a torch function: it is given that function and its arguments."""

RECTIFIERS = frozenset({"relu", "relu_", "relu6", "softplus"})
"""max(0, x), cut off at 6 or smooth."""

ELEMENTWISE = RECTIFIERS | {
    *("leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "selu", "celu", "gelu"),
    *("silu", "mish", "hardtanh", "hardtanh_", "hardswish", "hardsigmoid", "sigmoid", "sigmoid_"),
    *("tanh", "tanh_", "logsigmoid", "log_sigmoid", "softsign", "softshrink", "hardshrink"),
    *("tanhshrink", "clamp", "clamp_", "clamp_min", "clamp_max", "exp", "log", "log1p", "sqrt"),
    *("abs", "square", "sin", "cos", "atan", "erf"),
}
"""Functions of one number, applied to each."""

MAX_POOLS: dict[str, Callable[..., Any]] = {
    "max_pool1d": functional.max_pool1d_with_indices,
    "max_pool2d": functional.max_pool2d_with_indices,
    "max_pool3d": functional.max_pool3d_with_indices,
}

PRODUCTS = frozenset({"mul", "mul_", "__mul__", "__imul__", "__rmul__"})

SUMS = frozenset({"add", "add_", "__add__", "__iadd__", "__radd__"})

SMALL = 1e-6
"""Inputs nearer than this count as equal: their quotient is the derivative."""


class Replaced(TorchFunctionMode):
    """Within this block torch's functions of these names are computed by `rule`.

    Attributes
    ----------
    met : how many were.
    """

    def __init__(self, names: frozenset[str], rule: Call) -> None:
        super().__init__()
        self._names, self._rule, self.met = names, rule, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") not in self._names:
            return func(*args, **(kwargs or {}))
        self.met += 1
        return self._rule(func, *args, **(kwargs or {}))


@dataclass
class _Made:
    """An output and its rule. Out of autograd's sight: it would call the output a view."""

    output: Tensor
    rule: Callable[[Tensor], Tensor]


class _Rewired(torch.autograd.Function):
    """An output whose gradient goes back to `x` by a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, made: _Made) -> Tensor:
        ctx.rule = made.rule
        return made.output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.rule(gradient), None


def _rewired(x: Tensor, output: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
    """`output`, detached, whose gradient goes back to `x` by the rule."""
    rewired: Tensor = _Rewired.apply(x, _Made(output, rule))
    return rewired


def _unchanged(gradient: Tensor) -> Tensor:
    return gradient


def guided(func: Call, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Only positive gradients go back, and then as they would."""
    copied = x.clone()
    output = func(copied, *args, **kwargs)
    passed = _rewired(output, output.detach(), lambda gradient: gradient.clamp(min=0))
    return _in_place(x, copied, output, passed)


def deconvolved(func: Call, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Only positive gradients go back, whatever went forward."""
    copied = x.detach().clone()
    output = func(copied, *args, **kwargs)
    passed = _rewired(x, output, lambda gradient: gradient.clamp(min=0))
    return _in_place(x, copied, output, passed)


def shared_out(func: Call, x: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    """What goes back is shared out to the two terms of a sum as they made it up."""
    terms = (x, other)
    # A parameter or a constant is no term: it gets nothing.
    if args or kwargs or not all(isinstance(t, Tensor) and t.grad_fn is not None for t in terms):
        return func(x, other, *args, **kwargs)
    copied = x.detach().clone()
    output = func(copied, other.detach())
    shares = [
        _rewired(term, term.detach(), (term.detach() / _steady(output)).mul) for term in terms
    ]
    passed = _rewired(shares[0] + shares[1], output, _unchanged)
    return _in_place(x, copied, output, passed)


def shared_out_mean(func: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    """What goes back is shared out to the terms of a mean as they made it up."""
    output = func(_rewired(x, x.detach(), x.detach().mul), *args, **kwargs)
    return _rewired(output, output.detach(), _steady(output.detach()).reciprocal().mul)


def _steady(output: Tensor) -> Tensor:
    """A denominator that is kept from 0."""
    return torch.where(output.abs() < SMALL, torch.where(output < 0, -SMALL, SMALL), output)


def _in_place(x: Tensor, copied: Tensor, output: Tensor, passed: Tensor) -> Tensor:
    """`passed`, written into `x` where the function writes its output into its input."""
    return x.copy_(passed) if output.data_ptr() == copied.data_ptr() else passed


def multipliers(
    forward: Callable[[Tensor], Tensor],
    points: Float[Tensor, "b *features"],
    starts: Float[Tensor, "#b *features"],
    last: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "b *features"]:
    """How much of the change of a network's answer from `starts` to `points` each input makes.

    A function of one number has the multiplier change of output / change of input (the rescale
    rule); max pooling gives the part above the starts' maximum to the largest input, the rest
    to the starts' largest; a product gives each factor the mean of the other; linear functions
    have their weights. Times `points - starts` they sum to the change, wherever no other
    nonlinear function is met.

    Parameters
    ----------
    forward : the network.
    points, starts : its inputs; one start stands for all.
    last : from its outputs at both to the multipliers of these outputs.

    References
    ----------
    Shrikumar, Greenside, Kundaje, *Learning Important Features Through Propagating Activation
    Differences*, ICML 2017, Sec. 3.2 (chain rule) and 3.5.2 (rescale rule).
    """
    tape = _Tape()
    with torch.no_grad(), Replaced(_CHANGED, tape.record):
        before = forward(starts)
    x = points.detach().clone().requires_grad_()
    tape.rewind()
    with torch.enable_grad(), Replaced(_CHANGED, tape.compare):
        after = forward(x)
    return torch.autograd.grad(after, x, last(after.detach(), before))[0].double()


_CHANGED = ELEMENTWISE | PRODUCTS | frozenset(MAX_POOLS)


@dataclass
class _Tape:
    """What the changed functions met at the starts, in the order of their calls."""

    kept: list[tuple[Tensor, Any]] = field(default_factory=list)
    at: Iterator[tuple[Tensor, Any]] = field(default_factory=lambda: iter(()))

    def rewind(self) -> None:
        self.at = iter(self.kept)

    def record(self, func: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The function's own output; what it was made of is kept."""
        if not _is_changed(func, x, args):
            return func(x, *args, **kwargs)
        if func.__name__ in PRODUCTS:
            self.kept.append((x.clone(), args[0].clone()))
            return func(x, *args, **kwargs)
        before = x.clone()
        output = func(x, *args, **kwargs)
        self.kept.append((before, output.clone()))
        return output

    def compare(self, func: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The function's own output, which goes backward by the multipliers."""
        if not _is_changed(func, x, args):
            return func(x, *args, **kwargs)
        start, start_output = next(self.at)
        if func.__name__ in PRODUCTS:
            linear = (args[0].detach() + start_output) / 2 * x
            linear = linear + (x.detach() + start) / 2 * args[0]
            copied = x.detach().clone()
            output = func(copied, args[0].detach(), **kwargs)
            return _in_place(x, copied, output, _rewired(linear, output, _unchanged))
        if not x.requires_grad:
            return func(x, *args, **kwargs)
        if func.__name__ in MAX_POOLS:
            return _pooled(MAX_POOLS[func.__name__], x, start, *args, **kwargs)
        copied = x.detach().clone()
        output = func(copied, *args, **kwargs)
        return _in_place(
            x, copied, output, _rescaled(func, x, output, start, start_output, *args, **kwargs)
        )


def _is_changed(func: Call, x: Any, args: tuple[Any, ...]) -> bool:
    """Not a product with a constant, nor a function of whole numbers."""
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        return False
    return func.__name__ not in PRODUCTS or (bool(args) and isinstance(args[0], Tensor))


def _rescaled(
    func: Call,
    x: Tensor,
    output: Tensor,
    start: Tensor,
    start_output: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    change = x.detach() - start
    equal = change.abs() < SMALL
    slope = (output - start_output) / change
    if equal.any():
        inner = x.detach().clone().requires_grad_()
        derivative = torch.autograd.grad(func(inner.clone(), *args, **kwargs).sum(), inner)[0]
        slope = torch.where(equal, derivative, slope)
    return _rewired(x, output, slope.mul)


def _pooled(
    func: Callable[..., Any], x: Tensor, start: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    output, largest = func(x.detach(), *args, **kwargs)
    start_output, start_largest = func(start, *args, **kwargs)
    start_largest = start_largest.expand_as(largest)
    change = x.detach() - start
    equal = change.abs() < SMALL
    above = (output - start_output).clamp(min=0)
    below = (output - start_output).clamp(max=0)

    def spread(values: Tensor, places: Tensor) -> Tensor:
        space = largest.ndim - 2
        sums = torch.zeros_like(x).flatten(-space)
        return sums.scatter_add_(-1, places.flatten(-space), values.flatten(-space)).view_as(x)

    def rule(gradient: Tensor) -> Tensor:
        changes = spread(gradient * above, largest) + spread(gradient * below, start_largest)
        return torch.where(equal, spread(gradient, largest), changes / change)

    return _rewired(x, output, rule)

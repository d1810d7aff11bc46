"""Many models of one architecture at once: parameters stacked, one batched product a layer."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import vector_to_parameters

from bench.models.forward_only import forward_only, hooked
from bench.models.max_pool import quick_pooling, transformed

ROWS = 64
"""At a time through convolutions on a CPU, where the batch is free: more leave the cache."""

_ELEMENTWISE = (nn.ReLU, nn.GELU, nn.Softplus, nn.Tanh)


def flatten(module: nn.Module) -> Float[Tensor, " p"]:
    """All parameters as one vector, in the order of `named_parameters`, detached."""
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def unflatten(module: nn.Module, flats: Float[Tensor, "*m p"]) -> dict[str, Float[Tensor, "..."]]:
    """Views of `flats` shaped and named as the module's parameters, leading axes kept."""
    shapes = {name: p.shape for name, p in module.named_parameters()}
    parts = flats.split([shape.numel() for shape in shapes.values()], dim=-1)
    return {
        name: part.view(*flats.shape[:-1], *shapes[name])
        for name, part in zip(shapes, parts, strict=True)
    }


def stackable(module: nn.Module) -> bool:
    """Whether `outputs` steps all models as one; otherwise they are called one by one."""
    if not isinstance(module, nn.Sequential):
        return False
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    others = [layer for layer in module if not isinstance(layer, nn.Linear)]
    known = all(isinstance(layer, (nn.Flatten, *_ELEMENTWISE)) for layer in others)
    return known and len(set(map(id, linear))) == len(linear)


def outputs(
    module: nn.Module, flats: Float[Tensor, "m p"], inputs: Float[Tensor, "b *features"]
) -> Float[Tensor, "m b k"]:
    """What `m` models with the architecture of `module` and the parameters `flats` return.

    Networks of linear layers take one batched matrix product a layer, which is 10 to 50 times
    as fast as a loop for small ones; others are looped over (for convolutions a stacked call
    is slower than the loop), some rows at a time where nobody asks for derivatives.
    """
    parameters = unflatten(module, flats)
    if stackable(module):
        return _layer_by_layer(module, parameters, inputs)
    if _plain(module) and not _watched(flats, inputs) and _finite(flats, inputs):
        return _forward_only(module, flats, inputs)
    each = ({name: value[i] for name, value in parameters.items()} for i in range(len(flats)))
    with quick_pooling():
        return torch.stack([functional_call(module, own, (inputs,)) for own in each])


def at_a_time(inputs: Float[Tensor, "b *features"]) -> int:
    """How many of the rows to take through convolutions at once, where that is free to choose."""
    return ROWS if inputs.device.type == "cpu" else max(len(inputs), 1)


def _plain(module: nn.Module) -> bool:
    """Whether nothing looks on, and no row's output depends on another row."""
    return not any(
        layer.training
        or hooked(layer)
        or (isinstance(layer, _BatchNorm) and layer.running_mean is None)
        for layer in module.modules()
    )


def _watched(*values: Tensor) -> bool:
    """Whether autograd, forwards or backwards, or torch.func follows what becomes of `values`."""
    wanted = torch.is_grad_enabled() and any(value.requires_grad for value in values)
    return wanted or transformed()


def _finite(*values: Tensor) -> bool:
    """Whether no NaN could be lost: oneDNN's max pooling passes over it."""
    return all(math.isfinite(value.detach().sum()) for value in values)


def _forward_only(
    module: nn.Module, flats: Float[Tensor, "m p"], inputs: Float[Tensor, "b *features"]
) -> Float[Tensor, "m b k"]:
    """One model after the other, some rows at a time; not differentiable."""
    own = copy.deepcopy(module).to(flats)
    forward, parts = forward_only(own), inputs.split(at_a_time(inputs))
    found = []
    with torch.no_grad():
        # oneDNN reads strided parameters as if they lay side by side.
        for flat in flats.contiguous():
            vector_to_parameters(flat, own.parameters())
            found.append(torch.cat([forward(rows) for rows in parts]))
    return torch.stack(found)


def _layer_by_layer(
    module: nn.Module, parameters: dict[str, Tensor], inputs: Float[Tensor, "b *features"]
) -> Float[Tensor, "m b k"]:
    m = len(next(iter(parameters.values())))
    hidden = inputs.flatten(1).expand(m, -1, -1)
    # Not `named_children`: it names an activation that is used twice once.
    assert isinstance(module, nn.Sequential)
    for name, layer in zip(module._modules, module, strict=True):
        if isinstance(layer, nn.Linear):
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2))
        elif not isinstance(layer, nn.Flatten):
            hidden = layer(hidden)
    return hidden

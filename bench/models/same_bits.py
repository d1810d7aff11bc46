"""The gradient of one chain of linear layers, by the operations that autograd itself would choose.

A run is replayed bit by bit, and runs that autograd trained lie in caches: what is written out
here has its bits. For small networks its bookkeeping takes as long as these operations do.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.data import Samples
from bench.models.chain import Chain

aten = torch.ops.aten

Backward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(derivative by the output h, input z, h) -> derivative by z."""


def known(chain: Chain, samples: Samples) -> bool:
    """Whether `mean_gradient` has autograd's answer on these rows: it knows each activation's own
    way back, and checks no target itself."""
    if any(_way_back(activation) is None for activation in chain.activations):
        return False
    targets, classes = samples.targets, max(chain.sizes[-1][0], 2)
    if targets.is_floating_point():
        return targets.dtype == samples.inputs.dtype
    return len(targets) > 0 and bool(targets.min() >= 0) and bool(targets.max() < classes)


def mean_gradient(
    chain: Chain,
    flats: Float[Tensor, "1 p"],
    inputs: Float[Tensor, "b d"],
    targets: Float[Tensor, " b"] | Int[Tensor, " b"],
    weight_decay: float,
) -> Float[Tensor, "1 p"]:
    """Of the rows' mean loss, cross-entropy or half squares, and weight_decay / 2 |theta|^2."""
    layers, count = chain.layers(flats), inputs.shape[0]
    hs, zs = [inputs.expand(1, -1, -1)], []
    for i, (weight, bias) in enumerate(layers):
        zs.append(torch.baddbmm(bias.unsqueeze(1), hs[-1], weight.transpose(1, 2)))
        if i < len(chain.activations):
            hs.append(chain.activations[i](zs[-1]))
    shares = (flats.new_ones(()) / count).expand(1, count)
    delta = _by_outputs(zs[-1], targets, shares)
    found: list[Tensor] = []
    for i in reversed(range(len(layers))):
        outer = torch.bmm(hs[i].transpose(1, 2), delta).transpose(1, 2)
        # Autograd sums over no axis of one row: a sum would turn -0 into 0.
        bias = delta.squeeze(1) if count == 1 else delta.sum(1)
        found = [outer.reshape(1, -1), bias, *found]
        if i:
            back = _way_back(chain.activations[i - 1])
            assert back is not None
            delta = back(torch.bmm(delta, layers[i][0]), zs[i - 1], hs[i])
    # Added where there is no decay, too: a zero may change its sign.
    penalty = shares.sum(1, keepdim=True) * (weight_decay / 2) * (flats * 2.0)
    return torch.cat(found, dim=1).add_(penalty)


def _by_outputs(
    outputs: Float[Tensor, "1 b k"],
    targets: Float[Tensor, " b"] | Int[Tensor, " b"],
    shares: Float[Tensor, "1 b"],
) -> Float[Tensor, "1 b k"]:
    """Derivatives of the sum of `bench.models.losses.row_losses` times `shares`."""
    if targets.is_floating_point():
        away = outputs.squeeze(-1) - targets
        return ((shares / 2) * (away * 2.0)).unsqueeze(-1)
    single = outputs.shape[-1] == 1
    margins = torch.cat([torch.zeros_like(outputs), outputs], dim=-1) if single else outputs
    logs = margins.flatten(0, 1).log_softmax(1)
    unused = shares.new_zeros(())
    picked = aten.nll_loss_backward.default(shares[0], logs, targets, None, 0, -100, unused)
    slopes: Tensor = aten._log_softmax_backward_data.default(picked, logs, 1, logs.dtype)
    shaped = slopes.view(margins.shape)
    return shaped[..., 1:] if single else shaped


def _way_back(activation: nn.Module) -> Backward | None:
    """Torch's own derivative of an activation; None where it isn't known here."""
    if type(activation) is nn.ReLU:
        return lambda delta, z, h: aten.threshold_backward.default(delta, h, 0)
    if type(activation) is nn.Tanh:
        return lambda delta, z, h: aten.tanh_backward.default(delta, h)
    if type(activation) is nn.GELU:
        return lambda delta, z, h: aten.gelu_backward.default(delta, z)
    if type(activation) is nn.Softplus:
        beta, limit = activation.beta, activation.threshold
        return lambda delta, z, h: aten.softplus_backward.default(delta, z, beta, limit)
    return None

"""Batch norm whose means and variances are fixed before training begins.

In train mode a row's loss depends on the other rows of its batch, so that "the gradient of row
j" and "the run without row j" mean several things: per-sample gradients take batches of one, the
truth changes the statistics of whole batches, the running averages of the end are another path
from row to query. Here the statistics are taken once, from all training inputs at the initial
weights, and stay: scale and shift are trained as usual, each row has a loss of its own, and a run
without a row keeps them as it keeps the initial weights.

References
----------
Salimans, Kingma, *Weight Normalization*, NeurIPS 2016, Sec. 3 (statistics at initialisation).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ROWS = 512
"""Inputs that go through the network at once."""


def fixed(module: nn.Module, inputs: Float[Tensor, "n *features"]) -> nn.Module:
    """`module` in eval mode, the statistics of each batch norm those of `inputs`.

    They are means over blocks of 512 inputs, each block normalised by its own on its way.
    Raises `ValueError` where the network has other buffers.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    own = {id(buffer) for norm in norms for buffer in norm.buffers()}
    other = [name for name, buffer in module.named_buffers() if id(buffer) not in own]
    if other:
        raise ValueError(
            f"a recorded run has parameters, fixed batch norm and no other buffers; this network "
            f"has {', '.join(other)}: train it by bench.models.trained.Trained"
        )
    if not norms:
        return module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # running averages are plain means then
        norm.train()
    with torch.no_grad():
        for block in inputs.split(ROWS):
            # One row alone has no variance in a layer without positions.
            if len(block) > 1 or len(inputs) == 1:
                module(block)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module.eval()

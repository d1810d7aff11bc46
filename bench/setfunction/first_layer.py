"""Networks whose first layer is linear: what a deleted feature adds to it is found once.

The pre-activation of a masked input is that of the input plus the sum of the deleted features'
effects, so masks are multiplied by a table of effects, `p` rows long, in place of the weights,
and no masked input is ever written out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference

NUMBERS = 2**18
"""Pre-activations made at once: a megabyte, which stays in the cache."""

MOST_EFFECTS = 2**25
"""Numbers in the table of effects, 128 MiB: beyond it the masked inputs are written out, in
chunks that don't grow."""

LARGEST = 100.0
"""Sum of effects from which on float32 differences between them lose digits that matter: the
masked inputs are then written out."""


@dataclass(frozen=True)
class FirstLayer:
    """A network as a linear layer, seen from n instances with k draws each, and the rest.

    Attributes
    ----------
    intact : the pre-activations of the instances themselves.
    effects : what deleting each feature adds to them, for each draw.
    tail : the layers behind.
    """

    intact: Float[Tensor, "n hidden"]
    effects: Float[Tensor, "n k p hidden"]
    tail: nn.Sequential

    def outputs(
        self, masks: Float[Tensor, "#n m p"]
    ) -> Iterator[tuple[slice, slice, Float[Tensor, "b k c outputs"]]]:
        """(instances, masks, what the network says of each draw), a part at a time."""
        n, k, _, hidden = self.effects.shape
        rows = max(1, NUMBERS // (k * hidden))
        for first in range(0, masks.shape[1], rows):
            some = slice(first, min(first + rows, masks.shape[1]))
            instances = max(1, rows // (some.stop - some.start))
            for start in range(0, n, instances):
                at = slice(start, min(start + instances, n))
                effects = self.effects[at]
                own = masks[at if len(masks) > 1 else slice(None), None, some]
                hidden_layer = torch.baddbmm(
                    self.intact[at, None].expand(-1, k, -1).flatten(0, 1)[:, None],
                    own.expand(*effects.shape[:2], -1, -1).flatten(0, 1),
                    effects.flatten(0, 1),
                )
                outputs = self._tail(hidden_layer.flatten(0, 1))
                yield at, some, outputs.unflatten(0, (*effects.shape[:2], own.shape[2]))

    def _tail(self, hidden: Float[Tensor, "b hidden"]) -> Float[Tensor, "b outputs"]:
        """The layers behind, a ReLU in place: a second megabyte would leave the cache."""
        for layer in self.tail:
            hidden = torch.relu_(hidden) if type(layer) is nn.ReLU else layer(hidden)
        return hidden


def first_layer(
    module: nn.Module | None,
    inputs: Float[Tensor, "n *features"],
    reference: Reference,
    partition: Partition,
) -> FirstLayer | None:
    """The network seen from these instances; None where its first layer isn't linear,
    or each instance is parted in its own way.

    None, too, where the effects would take too much memory, or inputs are so far out that the
    answer would differ from the network's own.
    """
    if partition.own:
        return None
    # Exact types: a subclass may do more than its base says.
    layers = list(module) if type(module) is nn.Sequential else []
    if layers and type(layers[0]) is nn.Flatten and layers[0].start_dim == 1:
        layers = layers[1:]
    elif inputs.ndim != 2:
        return None
    if not layers or type(layers[0]) is not nn.Linear:
        return None
    linear = layers[0]
    if len(inputs) * reference.count * partition.p * linear.out_features > MOST_EFFECTS:
        return None
    changes = reference.draws - inputs[:, None]
    effects = torch.stack(
        [
            changes.flatten(2)[:, :, of_feature] @ linear.weight[:, of_feature].t()
            for of_feature in (partition.membership.flatten() == i for i in range(partition.p))
        ],
        dim=2,
    )
    if effects.abs().sum(2).max() > LARGEST:
        return None
    return FirstLayer(linear(inputs.flatten(1)), effects, nn.Sequential(*layers[1:]))

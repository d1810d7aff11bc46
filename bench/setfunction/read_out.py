"""From what comes out of a network's linear layer to g, for millions of rows."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench.setfunction.outcome import G


@dataclass(frozen=True)
class ReadOut:
    """The layers behind a linear layer and g, for the target class c.

    What g needs of the margins z are the differences z_j - z_c to the rivals j. Where the last
    layer is linear they are folded into it, so that they keep their digits in float32; the rest
    is as in `bench.setfunction.outcome`.

    Attributes
    ----------
    layers : those before the differences.
    weight, bias : of the differences; of the output itself for a regression.
    before : how many rivals have a lower number than c.
    g : see `bench.setfunction.outcome`.
    """

    layers: tuple[nn.Module, ...]
    weight: Float[Tensor, "rivals width"]
    bias: Float[Tensor, "rivals 1"]
    before: int
    g: G

    def differences(self, rows: Float[Tensor, "m hidden"]) -> Float[Tensor, "rivals m"]:
        """z_j - z_c of each rival; `rows` are written over."""
        for layer in self.layers:
            if type(layer) is nn.ReLU:
                rows = rows.clamp_(min=0)  # `rows` are the caller's, or the layer's before
            elif type(layer) is nn.Linear:
                rows = functional.linear(rows, layer.weight, layer.bias)
            else:
                rows = layer(rows)
        if len(self.weight) == 1:
            return torch.addmv(self.bias[0], rows, self.weight[0])[None]
        return torch.addmm(self.bias, self.weight, rows.t())

    def outcome(self, differences: Float[Tensor, "rivals m"]) -> Float[Tensor, " m"]:
        """g, in float64."""
        if self.g == "output":
            return differences[0].double()
        if self.g == "label":
            won = (differences[: self.before] < 0).all(0) & (differences[self.before :] <= 0).all(0)
            return won.double()
        largest = differences.amax(0)
        against = largest.double()
        if self.g != "margin" and len(differences) > 1:
            against += (differences - largest).exp_().sum(0).double().log_()
        return against.neg_() if self.g != "probability" else against.neg_().sigmoid_()


def read_out(
    tail: tuple[nn.Module, ...],
    example: Float[Tensor, "m hidden"],
    target: int,
    n_classes: int,
    g: G,
) -> ReadOut:
    """The layers `tail` and g as one.

    Parameters
    ----------
    example : rows as they will come; they are written over.
    target : the class c; 0 for regression.
    n_classes : 0 for regression; a single output z of two classes stands for margins (0, z).
    """
    with torch.no_grad():
        outputs = nn.Sequential(*tail)(example)
    weight = _rivals(outputs.shape[-1], target, n_classes)
    bias = weight.new_zeros(len(weight), 1)
    last = tail[-1] if tail and type(tail[-1]) is nn.Linear and g != "label" else None
    if isinstance(last, nn.Linear):
        tail = tail[:-1]
        if last.bias is not None:
            bias = weight @ last.bias.detach().double()[:, None]
        weight = weight @ last.weight.detach().double()
    dtype = outputs.dtype
    return ReadOut(tail, weight.to(dtype), bias.to(dtype), target, g)


def _rivals(outputs: int, target: int, n_classes: int) -> Float[Tensor, "rivals outputs"]:
    """What the outputs are multiplied by for the differences z_j - z_c."""
    if n_classes == 0:
        return torch.ones(1, 1, dtype=torch.float64)
    if outputs == 1:
        return torch.tensor([[-1.0 if target else 1.0]], dtype=torch.float64)
    each = torch.eye(outputs, dtype=torch.float64)
    rivals: Tensor = torch.cat([each[:target], each[target + 1 :]]) - each[target]
    return rivals

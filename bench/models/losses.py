"""One loss a row, cross-entropy or half squares, and its derivatives written out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def row_losses(
    outputs: Float[Tensor, "*m b k"], targets: Float[Tensor, "*#m b"] | Int[Tensor, "*#m b"]
) -> Float[Tensor, "*m b"]:
    """Cross-entropy of class targets, half the squared error of real ones.

    A single logit z of two classes stands for the margins (0, z).
    """
    if targets.is_floating_point():
        return (outputs.squeeze(-1) - targets).square() / 2
    margins = outputs
    if outputs.shape[-1] == 1:
        margins = torch.cat([torch.zeros_like(outputs), outputs], dim=-1)
    wanted = targets.expand(margins.shape[:-1]).flatten()
    losses = functional.cross_entropy(margins.flatten(0, -2), wanted, reduction="none")
    return losses.view(margins.shape[:-1])


def slopes(
    outputs: Float[Tensor, "*m k b"], targets: Float[Tensor, "*#m b"] | Int[Tensor, "*#m b"]
) -> Float[Tensor, "*m k b"]:
    """Derivatives of `row_losses` by the outputs; here the rows come last."""
    if targets.is_floating_point():
        return outputs - targets.unsqueeze(-2)
    if outputs.shape[-2] == 1:
        return outputs.sigmoid().sub_(targets.unsqueeze(-2))
    wanted = functional.one_hot(targets, outputs.shape[-2]).transpose(-1, -2)
    return outputs.softmax(-2).sub_(wanted)


def bends(
    outputs: Float[Tensor, "*m k b"], targets: Float[Tensor, "*#m b"] | Int[Tensor, "*#m b"]
) -> Float[Tensor, "*m k k b"]:
    """Second derivatives of `row_losses` by the outputs; here the rows come last."""
    if targets.is_floating_point():
        return torch.ones_like(outputs).unsqueeze(-2)
    if outputs.shape[-2] == 1:
        odds = outputs.sigmoid()
        return (odds * (1 - odds)).unsqueeze(-2)
    odds = outputs.softmax(-2)
    diagonal = torch.diag_embed(odds.transpose(-1, -2)).movedim(-3, -1)
    return diagonal - odds.unsqueeze(-2) * odds.unsqueeze(-3)

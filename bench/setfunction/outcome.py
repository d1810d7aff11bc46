"""The number g that a set function averages: what of the margins it looks at."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

G = Literal["probability", "logit", "margin", "label", "output"]
"""What is looked at, for the target class c and margins z.

probability : the softmax probability of c. logit : its log-odds. margin : z_c minus the largest
other z. label : 1 where c is predicted, else 0. output : the output itself, of a regression.
"""
CLASS_KINDS = tuple(kind for kind in get_args(G) if kind != "output")


def check_kind(g: str, n_classes: int) -> None:
    """Raise `ValueError` where a model of so many classes, 0 for regression, has no such g."""
    wanted = {0: ("output",), 1: get_args(G)}.get(n_classes, CLASS_KINDS)
    if g not in wanted:
        kind = f"{n_classes} classes" if n_classes else "a regression"
        raise ValueError(f"g={g!r} of {kind}: wanted {' or '.join(map(repr, wanted))}")


def outcome(
    margins: Float[Tensor, "m outputs"], targets: Int[Tensor, " m"], g: G
) -> Float[Tensor, " m"]:
    """g for each row, in float64.

    The probability is the logistic function of the log-odds z_c - log sum_{j != c} exp(z_j), so
    that it keeps its digits near 0, and near 1 all that float64 has there.
    """
    margins = margins.double()
    if g == "output":
        return margins.squeeze(1)
    if g == "label":
        return (margins.argmax(1) == targets).double()
    own = margins.gather(1, targets[:, None]).squeeze(1)
    if margins.shape[1] == 2:
        lead = own - margins.gather(1, 1 - targets[:, None]).squeeze(1)
        return lead.sigmoid() if g == "probability" else lead
    rivals = margins.scatter(1, targets[:, None], -torch.inf)
    if g == "margin":
        return own - rivals.amax(1)
    log_odds = own - rivals.logsumexp(1)
    return log_odds if g == "logit" else log_odds.sigmoid()

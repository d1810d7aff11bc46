"""Each training row's own gradient, or its product with a direction, some rows at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad, vmap

from bench.models.influence import row_products
from bench.models.trajectory import Objective

CHUNK_NUMBERS = 2**24
"""Numbers of gradients in memory at once: 64 MiB."""

CHUNK_ROWS = 2**12
"""Rows whose graph is in memory at once."""


def row_gradients(
    objective: Objective, flat: Float[Tensor, " p"], rows: Int[Tensor, " b"]
) -> Float[Tensor, "b p"]:
    """grad l_i at the parameters `flat`, penalty included, for each of `rows`."""

    def loss(parameters: Float[Tensor, " p"], row: Int[Tensor, ""]) -> Float[Tensor, ""]:
        return objective.losses(parameters[None], row[None])[0, 0]

    found: Tensor = vmap(grad(loss), (None, 0))(flat.detach(), rows)
    # What is vectorised was counted as one row.
    objective.calls.forward += len(rows) - 1
    objective.calls.backward += len(rows) - 1
    return found


def all_gradients(
    objective: Objective, flat: Float[Tensor, " p"]
) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, "b p"]]]:
    """The gradients of all training rows, some rows at a time: (rows, their gradients)."""
    rows = torch.arange(len(objective.samples), device=flat.device)
    for some in rows.split(max(1, CHUNK_NUMBERS // len(flat))):
        yield some, row_gradients(objective, flat, some)


def all_products(
    objective: Objective, flat: Float[Tensor, " p"], direction: Float[Tensor, " p"]
) -> Float[Tensor, " n_train"]:
    """<grad l_i, direction> of every training row at the parameters `flat`."""
    rows = torch.arange(len(objective.samples), device=flat.device)
    return torch.cat(
        [row_products(objective, flat, some, direction) for some in rows.split(CHUNK_ROWS)]
    )

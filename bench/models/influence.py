"""What one training row did to a trained network, from the run of SGD that trained it.

Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 3-4.
All values are changes of the query's mean loss when the row is removed: negative = harmful.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.data import Samples
from bench.models.chunks import row_blocks
from bench.models.linearised import Linearised, linearised
from bench.models.optimiser import After, Optimiser
from bench.models.smoothing import with_smoothed_kinks
from bench.models.trajectory import Objective, Trajectory, repeatable

Hessian = Literal["exact", "none", "divided_by_batch"]


def mean_losses(
    objective: Objective, flats: Float[Tensor, "m p"], samples: Samples
) -> Float[Tensor, " m"]:
    """Mean loss of `m` models on `samples`, without the penalty of training."""
    sums = [_losses(objective, flats, samples, rows).sum(1) for rows in row_blocks(samples.inputs)]
    return torch.stack(sums).sum(0) / len(samples)


def query_gradient(
    objective: Objective, flat: Float[Tensor, " p"], samples: Samples
) -> Float[Tensor, " p"]:
    """Gradient of the mean loss on `samples` at the parameters `flat`."""
    gradient = torch.zeros_like(flat)
    # Block by block: ten thousand pictures at once would take a gigabyte.
    for rows in row_blocks(samples.inputs):
        flats = flat.detach()[None].requires_grad_()
        total = _losses(objective, flats, samples, rows).sum() / len(samples)
        gradient += torch.autograd.grad(total, flats)[0][0]
    return gradient


def _losses(
    objective: Objective, flats: Float[Tensor, "m p"], samples: Samples, rows: Tensor
) -> Float[Tensor, "m b"]:
    found = objective.outputs(flats, samples.inputs[rows])
    return objective.loss(found, samples.targets[rows])


def weighted_double_backward(
    objective: Objective,
    flat: Float[Tensor, " p"],
    rows: Tensor,
    direction: Float[Tensor, " p"],
) -> tuple[Float[Tensor, " b"], Float[Tensor, " p"]]:
    """Inner products of each row's gradient, and the mean Hessian's product, with `direction`.

    With weights c_i on the rows' losses, g = grad sum_i c_i l_i; differentiating <g, direction>
    by c gives the inner products, by theta (at c = 1 / b) the Hessian's product: no gradient
    of a single row is ever formed.

    Returns
    -------
    <grad l_i, direction> of each row, and H direction with H the mean Hessian over `rows`.
    """
    flats = flat.detach()[None].requires_grad_()
    weights = flat.new_full((len(rows),), 1 / len(rows)).requires_grad_()
    total = objective.losses(flats, rows)[0] @ weights
    (gradients,) = torch.autograd.grad(total, flats, create_graph=True)
    products, curved = torch.autograd.grad(gradients[0] @ direction, (weights, flats))
    return products, curved[0]


def row_products(
    objective: Objective,
    flat: Float[Tensor, " p"],
    rows: Tensor,
    direction: Float[Tensor, " p"],
) -> Float[Tensor, " b"]:
    """<grad l_i, direction> of each row, at the parameters `flat`."""
    weights = flat.new_zeros(len(rows)).requires_grad_()
    flats = flat.detach()[None].requires_grad_()
    total = objective.losses(flats, rows)[0] @ weights
    (gradients,) = torch.autograd.grad(total, flats, create_graph=True)
    (products,) = torch.autograd.grad(gradients[0] @ direction, weights)
    return products


def sgd_influence(
    trajectory: Trajectory,
    query: Float[Tensor, "*q p"],
    hessian: Hessian = "exact",
    *,
    epochs: int | None = None,
    kink_smoothing: float | None = None,
) -> Float[Tensor, "*q n_train"]:
    """Linear influence <query, theta_-j[T] - theta[T]> of every row j (Algorithm 1).

    Walks the run back: values[j] += (rate_t / |S_t|) <u, grad l_j(theta[t])> for j in S_t, then
    u <- u - rate_t H_t u. It is minus the derivative of the query by the weight of row j. With
    another optimiser, -rate_t u is what its update pulls back to the gradient, and the adjoint
    of its state goes along.

    Parameters
    ----------
    query : the u to begin with, a gradient at theta[T]; several share the pass.
    hessian : `exact`; `none` to leave out the curvature; `divided_by_batch` divides it by
        |S_t| once more, as the authors' program of Sec. 7.2 does.
    epochs : only the last so many count, as if the run had begun there; all unless given.
    kink_smoothing : beta of the softplus whose second derivative stands for that of each ReLU,
        in the Hessian only; see `bench.models.smoothing`.
    """
    objective, n = trajectory.objective, len(trajectory.objective.samples)
    if kink_smoothing is not None:
        smoothed = with_smoothed_kinks(objective.module, kink_smoothing)
        objective = replace(objective, module=smoothed)
    queries = query.reshape(-1, query.shape[-1])
    values = queries.new_zeros(len(queries), n)
    linear = linearised(objective, trajectory, first_step(trajectory, epochs))
    for step, products in walk_back(linear, trajectory.optimiser, queries, hessian):
        values.index_add_(1, step.rows, products, alpha=-1)
    return values.view(*query.shape[:-1], n)


def first_step(trajectory: Trajectory, epochs: int | None) -> int:
    """The step at which the last `epochs` epochs begin."""
    if epochs is None:
        return 0
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: wanted at least 1")
    return max(0, len(trajectory.schedule) - epochs * trajectory.schedule.steps_per_epoch)


def walk_back(
    steps: Iterable[Linearised],
    optimiser: Optimiser,
    queries: Float[Tensor, "q p"],
    hessian: Hessian,
) -> Iterator[tuple[Linearised, Float[Tensor, "q b"]]]:
    """Each step with (1 / |S_t|) <d, grad l_i> of its rows: d is the adjoint of the gradient,
    and this is the derivative of the query by the weight of row i in this step."""
    adjoints = After(queries, queries.new_zeros(len(queries), optimiser.slots, queries.shape[1]))
    with repeatable(queries):
        for step in steps:
            pulled = optimiser.pull(step.before, adjoints)
            if hessian == "none":
                yield step, step.pushed(pulled.gradient)
                adjoints = After(pulled.theta, pulled.state)
                continue
            products, curved = step.product(pulled.gradient)
            yield step, products
            share = 1 / step.size if hessian == "divided_by_batch" else 1.0
            adjoints = After(torch.add(pulled.theta, curved, alpha=share), pulled.state)


def leave_one_out(trajectory: Trajectory, samples: Samples) -> Float[Tensor, " n_train"]:
    """True change of the mean loss on `samples` when each row is left out of training."""
    return removal_changes(trajectory, samples, torch.arange(len(trajectory.objective.samples)))


def removal_changes(
    trajectory: Trajectory,
    samples: Samples,
    rows: Int[Tensor, " m"],
    again: Callable[[Trajectory, Bool[Tensor, "k n"]], Float[Tensor, "k p"]] = Trajectory.retrain,
) -> Float[Tensor, " m"]:
    """True change of the mean loss on `samples` when each of `rows` is left out of training.

    Parameters
    ----------
    again : trains on the kept rows, or knows what came of it.
    """
    keep = without_each(rows, len(trajectory.objective.samples))
    return changes(trajectory.objective, again(trajectory, keep), samples)


def without_each(rows: Int[Tensor, " m"], n: int) -> Bool[Tensor, "m_plus_1 n"]:
    """What each run keeps of `n` rows, one run without each of `rows`.

    The first keeps all: it goes through the same program as the others, hence the same round-off.
    """
    keep = torch.ones(len(rows) + 1, n, dtype=torch.bool)
    keep[torch.arange(1, len(keep)), rows] = False
    return keep


def changes(
    objective: Objective, flats: Float[Tensor, "m_plus_1 p"], samples: Samples
) -> Float[Tensor, " m"]:
    """Mean losses on `samples` minus that of the first model."""
    with torch.no_grad():
        # Some models at a time: what goes through a stack of all would fill the memory.
        losses = torch.cat([mean_losses(objective, some, samples) for some in flats.split(64)])
    return losses[1:] - losses[0]


def leave_one_out_flops(trajectory: Trajectory, models: int | None = None) -> float:
    """Floating-point operations that `leave_one_out` takes.

    Forward and backward of one row take three times its forward pass; n models see each row of
    each batch. For linear layers this is 6 p E n^2, E the number of epochs.

    Parameters
    ----------
    models : how many are trained again; one a row unless given.
    """
    objective = trajectory.objective
    forward = forward_flops(objective.module, objective.samples.inputs[:1])
    again = len(objective.samples) if models is None else models
    return 3.0 * forward * len(trajectory.schedule.order) * again


def forward_flops(module: nn.Module, row: Float[Tensor, "1 *features"]) -> int:
    """Multiplications and additions in the linear layers and convolutions for one row."""
    counts: list[int] = []

    def count(layer: nn.Linear | nn.Conv2d, _inputs: object, output: Tensor) -> None:
        # Each weight works once at each position of the output.
        counts.append(2 * layer.weight.numel() * output.numel() // len(layer.weight))

    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            module(row)
    finally:
        for handle in handles:
            handle.remove()
    return sum(counts)

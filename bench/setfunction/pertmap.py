"""Maximally invariant perturbations: how far each input position may move, the label kept.

The wider a position's interval, the less the model looks at it there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.models.chunks import rows_at_once
from bench.setfunction.continuous import Adam

Margins = Callable[[Float[Tensor, "m *features"]], Float[Tensor, "m outputs"]]
"""Scores of the classes before the softmax, differentiable."""

LAZY_ROWS = 16
"""Constraints added at a time, the most violated ones."""

SLACK = 1e-9
"""Violation that counts as none, relative to the largest right-hand side."""


@dataclass(frozen=True)
class Linearised:
    """An instance's margins over each rival class around noisy copies of it.

    With e the move from the instance, margin j near copy m is `at`[m j] + `slopes`[m j] e.

    Attributes
    ----------
    slopes : of the target's score minus a rival's, at the copy.
    at : the same margin by the copy's tangent, taken back to the instance.
    """

    slopes: Float[np.ndarray, "rows d"]
    at: Float[np.ndarray, " rows"]


def linearised(
    margins: Margins,
    copies: Float[Tensor, "k *features"],
    noise: Float[Tensor, "k *features"],
    target: int,
    *,
    notebook_compat: bool,
) -> Linearised:
    """The tangents at x + noise.

    Parameters
    ----------
    notebook_compat : take back to x as the authors' notebook does: plus the target's own slope
        times the noise, in place of minus the margin's slope times the noise.
    """
    points = copies.detach().clone().requires_grad_()
    with torch.enable_grad():
        scores = margins(points)
    outputs = scores.shape[1]
    slopes = torch.stack(
        [
            torch.autograd.grad(scores[:, c].sum(), points, retain_graph=c < outputs - 1)[0]
            for c in range(outputs)
        ],
        dim=1,
    ).flatten(2).double()  # fmt: skip
    rivals = [c for c in range(outputs) if c != target]
    own, away = slopes[:, [target]], noise.flatten(1).double()[:, None]
    difference = own - slopes[:, rivals]
    scored = scores.detach().double()
    back = (own if notebook_compat else -difference) * away
    at = scored[:, [target]] - scored[:, rivals] + back.sum(2)
    return Linearised(difference.flatten(0, 1).cpu().numpy(), at.flatten().cpu().numpy())


def widest_box(
    around: Linearised, delta: float, price: float, *, lazy: bool = True
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"], float]:
    """(u, v, rho) of max sum(u + v) - price 2 d rho, moves e in [-v, u], u and v in [0, delta].

    For each copy and rival, sum_i h-_i u_i + h+_i v_i - rho <= `at`: the least margin in the
    box, but for a slack rho >= 0 that all share, is not below 0.

    Parameters
    ----------
    lazy : begin with no row and add those that a solution breaks, until it breaks none.
    """
    from scipy.optimize import linprog  # late: its pages cost each fork

    d = around.slopes.shape[1]
    rows = np.concatenate(
        [
            np.maximum(-around.slopes, 0),
            np.maximum(around.slopes, 0),
            np.full((len(around.at), 1), -1.0),
        ],
        axis=1,
    )
    aim = np.concatenate([np.full(2 * d, -1.0), [price * 2 * d]])
    bounds = np.array([(0.0, delta)] * (2 * d) + [(0.0, np.inf)])
    found = np.concatenate([np.full(2 * d, delta), [0.0]])
    used = np.zeros(len(rows), dtype=bool) if lazy else np.ones(len(rows), dtype=bool)
    allowed = SLACK * (1 + np.abs(around.at).max(initial=0.0))
    while True:
        if used.any():
            found = linprog(aim, rows[used], around.at[used], bounds=bounds, method="highs").x
        broken = np.where(used, -np.inf, rows @ found - around.at)
        worst = np.argsort(-broken, kind="stable")[:LAZY_ROWS]
        worst = worst[broken[worst] > allowed]
        if not worst.size:
            return found[:d], found[d : 2 * d], float(found[-1])
        used[worst] = True


def noisiest(
    margins: Margins,
    inputs: Float[Tensor, "n *features"],
    targets: Int[Tensor, " n"],
    *,
    widest: float,
    price: float,
    steps: int,
    copies: int,
    rate: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n d"]:
    """w in [0, widest]^d of max mean(w) - price mean relu(p_j - p_c) at x + w e.

    e is uniform in [-1, 1], `copies` of it a step for all instances; the mean is over copies and
    rivals j, p the softmax probabilities. Adam from w = 0, projected.
    """
    n, d = len(inputs), inputs[0].numel()
    adam, per_width = Adam(np.zeros((n, d))), np.empty((n, d))
    together = max(1, rows_at_once(inputs) // copies)
    for _ in range(steps):
        moves = torch.from_numpy(rng.uniform(-1, 1, (copies, *inputs.shape[1:]))).to(inputs)
        for start in range(0, n, together):
            rows = slice(start, start + together)
            widths = torch.from_numpy(adam.at[rows]).to(inputs)
            slope = _lost_label_slope(margins, inputs[rows], targets[rows], widths, moves)
            per_width[rows] = slope.cpu().numpy()
        adam.descend(price * per_width - 1 / d, rate)
        adam.at.clip(0.0, widest, out=adam.at)
    return adam.at


def _lost_label_slope(
    margins: Margins,
    inputs: Float[Tensor, "b *features"],
    targets: Int[Tensor, " b"],
    widths: Float[Tensor, "b d"],
    moves: Float[Tensor, "copies *features"],
) -> Float[Tensor, "b d"]:
    """The slope in w of the mean over copies and rivals of relu(p_j - p_c) at x + w e."""
    points = inputs[:, None] + widths.view_as(inputs)[:, None] * moves
    points = points.flatten(0, 1).requires_grad_()
    with torch.enable_grad():
        chances = margins(points).softmax(1)
        own = chances.gather(1, targets.repeat_interleave(len(moves))[:, None])
        # The target's own column is relu(0): it adds nothing.
        lost = (chances - own).relu().sum() / (chances.shape[1] - 1)
    slope = torch.autograd.grad(lost, points)[0].view(len(inputs), *moves.shape)
    return (slope * moves).double().mean(1).flatten(1)

"""Certificates beyond 2^p: what no order of deletion can exceed, by branch and bound.

An order's area is a weighted sum over sizes, so the largest value of each size bounds it. A node
of the tree fixes some features as deleted or kept; `crown` bounds all sizes of a node at once.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.setfunction.chain import Chain, Map, Pool, read_chain
from bench.setfunction.crown import SizeBounds, bounds_by_size
from bench.setfunction.orders import NOISE, prefixes, trapezoid
from bench.setfunction.outcome import G
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference

BATCH, NUMBERS = 16, 2048
"""At most so many nodes, with so many numbers in a layer, are bounded at once: their matrices
stay in the cache."""

LEAF = 7
"""Features left when a node's sets are all asked, about what bounding it costs."""

SWEEPS = 2
"""Rounds of exchanges that improve the best set known of each size."""

TRIED, LOOSE = 0.25, 2.0
"""Share of the effort after which the search gives up, if the bound of J* is still this many times
the best known: what is left of the effort would not make it useful."""

ROUNDING = 1e-5
"""Added to the bounds, relative to the largest |F|: the bounds are found in float64, F from a
network in float32, whose sums differ by about 1e-6."""

CHECKED, SAME = 8, 1e-4
"""Inputs at which the chain is compared with the network, and differences, relative to the largest
output, that are rounding."""

TIE = 1e-5
"""Margins of which float32 and float64 may disagree who wins."""

JOINT, MOST, LEAST = range(3)
"""What is bounded of all sets S of a size: h(S) = F(complement) - F(S), F(S) and -F(S)."""


@dataclass(frozen=True)
class Effort:
    """When the search stops; its bounds are valid whenever it does.

    Parameters
    ----------
    eps : it is closed when what is unknown may raise J* by no more than this share of the best
        J known, and A_min and A_max by as much.
    products : multiplications spent on an instance, a node taken for p forward passes. 4e9 is
        20,000 nodes or two seconds for 30 features and 64-64 hidden units, 190 nodes or 13
        seconds for 64 pixels and a small convolutional network.
        Networks of which a node takes more have no certificate.
    seconds : CPU seconds after which it stops too; None for no such limit, without which the
        answer is the same each time.
    """

    eps: float = 5e-4
    products: float = 4e9
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.eps > 0 or not self.products > 0:
            raise ValueError(f"eps={self.eps}, products={self.products}: wanted both above 0")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds={self.seconds}: wanted more than 0, or None")


@dataclass(frozen=True)
class Certificate:
    """What no order exceeds.

    Attributes
    ----------
    joint : J* is at most this.
    least, most : A_min is at least, A_max at most this.
    closed : whether the search ended within its eps.
    nodes : how many nodes it bounded.
    eps : see `Effort`.
    """

    joint: Float[np.ndarray, " n"]
    least: Float[np.ndarray, " n"]
    most: Float[np.ndarray, " n"]
    closed: Bool[np.ndarray, " n"]
    nodes: Int[np.ndarray, " n"]
    eps: float

    def bracket(
        self, influence: Float[np.ndarray, " n"], best: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Between which numbers II = J / J* lies, for these J; NaN where J* may be 0.

        Parameters
        ----------
        best : the best J known, |J| of these orders among them.
        """
        # J* is no less than the best known, however the model's own sums were rounded.
        bound = np.maximum(self.joint, best)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([influence / bound, influence / best])
        ends = np.where(best > 0, ends, np.nan)
        return ends.min(axis=0), ends.max(axis=0)

    def width(self, best: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """How wide the bracket of an order is that reaches the best J known."""
        low, high = self.bracket(best, best)
        width: np.ndarray = high - low
        return width


@dataclass(frozen=True)
class Instance:
    """One input as seen behind the first linear map.

    Attributes
    ----------
    chain : its outputs are z_c - z_j for each rival class j, or what g looks at.
    intact : what comes out of the first map with nothing deleted.
    effects : what deleting each feature adds to it.
    """

    chain: Chain
    intact: Float[Tensor, " hidden"]
    effects: Float[Tensor, "p hidden"]
    g: G

    @property
    def p(self) -> int:
        """How many features there are."""
        return len(self.effects)

    def value(self, masks: Bool[Tensor, "*b p"]) -> Float[Tensor, "*b"]:
        """F in float64."""
        flat = masks.reshape(-1, self.p).double()
        parts = [self.at(self.intact + some @ self.effects) for some in flat.split(self._rows)]
        return torch.cat(parts).view(masks.shape[:-1])

    def at(self, hidden: Float[Tensor, "b hidden"], *, ties: bool = False) -> Float[Tensor, " b"]:
        """F for these outputs of the first map."""
        return rising(self.chain.behind(hidden), self.g, ties=ties)

    def bounds(self, deleted: Bool[Tensor, "b t"]) -> SizeBounds:
        """Bounds of F where these are the first t features and the others are free."""
        fixed = deleted.shape[1]
        base = self.intact + deleted.double() @ self.effects[:fixed]
        found = bounds_by_size(self.chain, base, self.effects[fixed:])
        return SizeBounds(
            rising(found.low.transpose(1, 2), self.g, ties=False),
            rising(found.high.transpose(1, 2), self.g, ties=True),
        )

    @property
    def _rows(self) -> int:
        return max(1, 2**17 // len(self.intact))


def rising(margins: Float[Tensor, "*b rivals"], g: G, *, ties: bool) -> Float[Tensor, "*b"]:
    """g of the margins over each rival, which rises in each of them.

    Parameters
    ----------
    ties : whether margins within `TIE` of 0 keep the label. They may or may not, so an upper
        bound says yes.
    """
    if g == "output":
        return margins.squeeze(-1)
    least = margins.amin(-1)
    if g == "margin":
        return least
    if g == "label":
        return (least > (-TIE if ties else TIE)).to(margins.dtype)
    log_odds = least if margins.shape[-1] == 1 else -torch.logsumexp(-margins, -1)
    return log_odds if g == "logit" else log_odds.sigmoid()


def instance(
    chain: Chain,
    x: Float[Tensor, "*features"],
    r: Float[Tensor, "*features"],
    membership: Int[Tensor, "*features"],
    target: int,
    g: G,
) -> Instance:
    """The input x whose deleted features take the values of r."""
    change = (r.double() - x.double()).flatten()
    of_feature = membership.flatten() == torch.arange(int(membership.max()) + 1)[:, None]
    effects = chain.first.linear(torch.where(of_feature, change, 0.0))
    intact = chain.first.linear(x.double().flatten()) + chain.first.bias
    rivals = _rivals(chain.outputs, target, g)
    return Instance(chain.combined(rivals), intact, effects, g)


def _rivals(outputs: int, target: int, g: G) -> Float[Tensor, "rivals outputs"]:
    """The combinations of the outputs that are the margins over each rival."""
    if g == "output":
        return torch.eye(outputs, dtype=torch.float64)
    if outputs == 1:  # a single logit z of two classes stands for (0, z)
        return torch.tensor([[1.0 if target == 1 else -1.0]], dtype=torch.float64)
    others = [j for j in range(outputs) if j != target]
    eye = torch.eye(outputs, dtype=torch.float64)
    return eye[target] - eye[others]


def certify(
    module: nn.Module | None,
    inputs: Float[Tensor, "n *features"],
    targets: Int[Tensor, " n"],
    reference: Reference,
    partition: Partition,
    g: G,
    orders: Int[np.ndarray, "n 3 p"],
    best: Float[np.ndarray, " n"],
    effort: Effort,
) -> Certificate | str:
    """The certificate of each instance, or why there is none.

    Parameters
    ----------
    orders : the best known for A_min, A_max and J*, as in `Ideal.orders`.
    best : the best J known.
    """
    if reference.count > 1:
        return f"bounds are for one draw of the reference, it has {reference.count}"
    chain = read_chain(module, inputs.shape[1:])
    if isinstance(chain, str):
        return chain
    if not _answers_as(chain, module, inputs[:CHECKED]):
        return "the network doesn't answer as its layers do one after the other: has one a hook?"
    products = partition.p * chain.products
    if products > effort.products:
        return f"a node takes {products:.2g} multiplications, {effort.products:.2g} were allowed"
    found = []
    for row, x in enumerate(inputs.cpu()):
        own = torch.tensor([row])
        r, membership = reference.of(own)[0, 0].cpu(), partition.of(own)[0].cpu()
        seen = instance(chain, x, r, membership, int(targets[row]), g)
        found.append(search(seen, orders[row], float(best[row]), effort))
    bounds = np.array([bound for bound, _, _ in found]).reshape(-1, 3)
    return Certificate(
        bounds[:, JOINT],
        -bounds[:, LEAST],
        bounds[:, MOST],
        np.array([closed for _, closed, _ in found], dtype=bool),
        np.array([nodes for _, _, nodes in found], dtype=np.int64),
        effort.eps,
    )


def _answers_as(
    chain: Chain, module: nn.Module | None, inputs: Float[Tensor, "n *features"]
) -> bool:
    """Whether the chain says what the whole network says, but for float32's rounding."""
    assert module is not None
    with torch.no_grad():
        wanted = module(inputs).cpu().double()
        found = chain(inputs.cpu().flatten(1).double())
    return bool((found - wanted).abs().max() <= SAME * wanted.abs().max().clamp(min=1.0))


def search(
    seen: Instance, orders: Int[np.ndarray, "3 p"], best: float, effort: Effort
) -> tuple[Float[np.ndarray, " 3"], bool, int]:
    """Bounds of J*, A_max and -A_min; whether they are closed; how many nodes that took."""
    with torch.no_grad():
        return _Search(seen, orders, best, effort).run()


class _Search:
    """The tree of one instance: what changes while it grows.

    Attributes
    ----------
    known : the largest value met of each kind and size. settled : at least what the nodes hold
        that were left for good. levels : the open nodes by the number of features fixed: which
        of these are deleted, and bounds of what each node holds.
    """

    def __init__(
        self, seen: Instance, orders: Int[np.ndarray, "3 p"], best: float, effort: Effort
    ) -> None:
        branching = _branching_order(seen)
        self.seen = replace(seen, effects=seen.effects[branching])
        self.p = seen.p
        self.seconds = effort.seconds
        self.most_nodes = effort.products / (seen.p * seen.chain.products)
        self.weights = torch.from_numpy(trapezoid(self.p))
        places = np.argsort(branching.numpy())
        self.known, self.scale = _incumbents(self.seen, places[orders], effort)
        self.eps = max(effort.eps * max(abs(best), 1e-3 * self.scale), 1e-12)
        self.settled = self.known.clone()
        self.leaf = min(LEAF, self.p - 1)
        self.batch = max(1, min(BATCH, NUMBERS // len(seen.intact)))
        self.levels: dict[int, tuple[Tensor, Tensor]] = {}
        self.nodes = 0

    def run(self) -> tuple[Float[np.ndarray, " 3"], bool, int]:
        # A node speaks for its sets and for their complements, and h(complement) = -h(S): the
        # sets that keep the first feature speak for all.
        kept = torch.zeros(1, 1, dtype=torch.bool)
        self._add(kept, torch.full((1, 3, self.p + 1), torch.inf, dtype=torch.float64))
        started = time.process_time()
        while self.levels and self.nodes < self.most_nodes and not self._closed():
            if self.nodes >= TRIED * self.most_nodes and self._hopeless():
                break
            if self.seconds is not None and time.process_time() - started > self.seconds:
                break
            self._expand(*self._next())
        bounds = self._bound() @ self.weights + ROUNDING * self.scale
        return bounds.numpy(), self._closed(), self.nodes

    def _bound(self) -> Float[Tensor, "3 sizes"]:
        """What no set of a size exceeds."""
        bound = torch.maximum(self.settled, self.known)
        for _, bounds in self.levels.values():
            bound = torch.maximum(bound, bounds.amax(0))
        return bound

    def _closed(self) -> bool:
        gap = (self._bound() - self.known) @ self.weights
        return bool((gap <= self.eps).all())

    def _hopeless(self) -> bool:
        """Whether the bound of J* is so loose that branching takes too long to tighten it."""
        joint, known = ((each @ self.weights)[JOINT] for each in (self._bound(), self.known))
        return bool(joint > LOOSE * known)

    def _gain(self, bounds: Float[Tensor, "b 3 sizes"]) -> Float[Tensor, " b"]:
        """How far nodes may exceed what is known, 0 where by no more than eps anywhere."""
        over = bounds - self.known
        return (torch.where(over > self.eps, over, 0.0) @ self.weights).amax(-1)

    def _next(self) -> tuple[Bool[Tensor, "b t"], Float[Tensor, "b 3 sizes"]]:
        """The most promising nodes of the level that has the most promising one."""
        gains = {at: self._gain(bounds) for at, (_, bounds) in self.levels.items()}
        level = max(gains, key=lambda at: (float(gains[at].max()), at))
        deleted, bounds = self.levels.pop(level)
        order = gains[level].argsort(descending=True, stable=True)
        chosen, rest = order[: self.batch], order[self.batch :]
        if len(rest):
            self.levels[level] = deleted[rest], bounds[rest]
        return deleted[chosen], bounds[chosen]

    def _expand(self, deleted: Bool[Tensor, "b t"], bounds: Float[Tensor, "b 3 sizes"]) -> None:
        """Put nodes' halves, or what is found in all their sets, in their place."""
        if self.p - deleted.shape[1] <= self.leaf:
            self.nodes += len(deleted)
            self._ask(deleted)
            return
        ends = [torch.full_like(deleted[:, :1], end) for end in (False, True)]
        halves = torch.cat([torch.cat([deleted, end], dim=1) for end in ends])
        self.nodes += len(halves)
        self._add(halves, torch.minimum(self._bounded(halves), bounds.repeat(2, 1, 1)))

    def _add(self, deleted: Bool[Tensor, "b t"], bounds: Float[Tensor, "b 3 sizes"]) -> None:
        """Keep the nodes that may hold more than is known, and settle the others."""
        open_ = self._gain(bounds) > 0
        if not open_.all():
            self.settled = torch.maximum(self.settled, bounds[~open_].amax(0))
        if open_.any():
            level, new = deleted.shape[1], (deleted[open_], bounds[open_])
            old = self.levels.get(level)
            both = (
                new if old is None else (torch.cat([old[0], new[0]]), torch.cat([old[1], new[1]]))
            )
            self.levels[level] = both

    def _bounded(self, deleted: Bool[Tensor, "b t"]) -> Float[Tensor, "b 3 sizes"]:
        """Bounds of each kind and size over the sets of nodes and their complements."""
        both = self.seen.bounds(torch.cat([deleted, ~deleted]))
        b = len(deleted)
        (low, low_rest), (high, high_rest) = both.low.split(b), both.high.split(b)
        # By free deletions; where j are deleted of a set, f - j are of its complement.
        largest, smallest = high_rest.flip(1) - low, low_rest.flip(1) - high
        own = {JOINT: largest, MOST: high, LEAST: -low}
        rest = {JOINT: -smallest.flip(1), MOST: high_rest, LEAST: -low_rest}
        return self._by_size(deleted, own, rest)

    def _ask(self, deleted: Bool[Tensor, "b t"]) -> None:
        """Find the largest values in all sets of nodes and their complements."""
        fixed = deleted.shape[1]
        free = self.p - fixed
        masks = (torch.arange(2**free)[:, None] >> torch.arange(free)) & 1 == 1
        change = masks.double() @ self.seen.effects[fixed:]
        for some in deleted.split(self.batch):
            ends = torch.cat([some, ~some]).double() @ self.seen.effects[:fixed]
            hidden = (self.seen.intact + ends)[:, None] + change
            own, rest = self.seen.at(hidden.flatten(0, 1)).view(2, -1, len(masks))
            own_high, rest_high = own, rest
            if self.seen.g == "label":
                high = self.seen.at(hidden.flatten(0, 1), ties=True)
                own_high, rest_high = high.view(2, -1, len(masks))
            largest, smallest = rest_high.flip(1) - own, rest.flip(1) - own_high
            most = [
                {kind: _most_by_size(each, masks.sum(1), free) for kind, each in kinds.items()}
                for kinds in (
                    {JOINT: largest, MOST: own_high, LEAST: -own},
                    {JOINT: -smallest.flip(1), MOST: rest_high, LEAST: -rest},
                )
            ]
            self.known = torch.maximum(self.known, self._by_size(some, *most).amax(0))

    def _by_size(
        self,
        deleted: Bool[Tensor, "b t"],
        own: dict[int, Float[Tensor, "b free"]],
        rest: dict[int, Float[Tensor, "b free"]],
    ) -> Float[Tensor, "b 3 sizes"]:
        """What holds at each number of free deletions, by size: the larger of a node's two.

        -inf at the sizes of which it has no set.
        """
        sizes, gone = torch.arange(self.p + 1), deleted.sum(1)
        placed = []
        for values, first in ((own, gone), (rest, deleted.shape[1] - gone)):
            each = torch.stack([values[kind] for kind in (JOINT, MOST, LEAST)], 1)
            at = sizes - first[:, None]
            inside = (at >= 0) & (at < each.shape[2])
            at = at.clamp(0, each.shape[2] - 1)[:, None].expand(-1, 3, -1)
            placed.append(torch.where(inside[:, None], each.gather(2, at), -torch.inf))
        return torch.maximum(*placed)


def _most_by_size(
    values: Float[Tensor, "b sets"], size: Int[Tensor, " sets"], free: int
) -> Float[Tensor, "b sizes"]:
    most = values.new_full((len(values), free + 1), -torch.inf)
    return most.scatter_reduce(1, size.expand_as(values), values, "amax")


def _branching_order(seen: Instance) -> Int[Tensor, " p"]:
    """Features by their effects on the first map's outputs, as those weigh behind it."""
    weights = torch.ones(seen.chain.outputs, dtype=torch.float64)
    for layer in reversed(seen.chain.layers[1:]):
        if isinstance(layer, Pool):
            weights = layer.spread(weights[:, None].expand(layer.members.shape))
        elif isinstance(layer, Map):
            weights = layer.absolute_transposed(weights)
    return (seen.effects.abs() @ weights).argsort(descending=True, stable=True)


def _incumbents(
    seen: Instance, orders: Int[np.ndarray, "3 p"], effort: Effort
) -> tuple[Float[Tensor, "3 sizes"], float]:
    """The best value known of each kind and size, and the largest |F| met on the way.

    They are prefixes of orders, improved by exchanges of two features where a round of these
    takes less than the effort.
    """
    least, most, joint = torch.from_numpy(prefixes(orders))
    # What is deleted while the most influential features are kept, as it is for A_max.
    starts = {JOINT: joint, MOST: ~most.flip(0), LEAST: least}
    sweeps = SWEEPS if seen.p**3 * seen.chain.products <= effort.products else 0
    known, scale = [], 0.0
    for kind in (JOINT, MOST, LEAST):
        masks = starts[kind].clone()
        values = _values(seen, kind, masks)
        for _ in range(sweeps):
            if not _exchanged(seen, kind, masks, values):
                break
        known.append(values)
        scale = max(scale, float(seen.value(masks).abs().max()))
    return torch.stack(known), scale


def _values(seen: Instance, kind: int, masks: Bool[Tensor, "m p"]) -> Float[Tensor, " m"]:
    own = seen.value(masks)
    if kind == JOINT:
        return seen.value(~masks) - own
    return own if kind == MOST else -own


def _exchanged(
    seen: Instance, kind: int, masks: Bool[Tensor, "sizes p"], values: Float[Tensor, " sizes"]
) -> bool:
    """Exchange a member for another feature where that raises the value most; in place."""
    raised = False
    for k in range(1, seen.p):
        members, others = masks[k].nonzero().flatten(), (~masks[k]).nonzero().flatten()
        out, into = torch.cartesian_prod(members, others).unbind(1)
        rows = torch.arange(len(out))
        tried = masks[k].repeat(len(out), 1)
        tried[rows, out], tried[rows, into] = False, True
        found = _values(seen, kind, tried)
        best = int(found.argmax())
        if found[best] > values[k] + NOISE:
            masks[k], values[k], raised = tried[best], found[best], True
    return raised

"""References: what a deleted feature is replaced by."""

import difflib
import re
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.setfunction.partition import Partition

KINDS = ("zero", "constant 0.5", "mean", "blur", "blur 1.5", "uniform", "instances", "medoids")
"""One of each kind; blur alone takes an eighth of the shorter side for its width."""

_NUMBERED = {"constant": "constant 0.5", "blur": "blur 1.5"}

_NUMBER = r"-?\d+(\.\d+)?"
_KIND = re.compile(
    rf"zero|mean|uniform|instances|medoids|constant (?P<value>{_NUMBER})"
    r"|blur( (?P<width>\d+(\.\d+)?))?"
)

MEDOID_ROWS = 2000
"""Training rows among which medoids are looked for: their distances fill a square table."""


@dataclass(frozen=True)
class Reference:
    """Draws r ~ p(r), made once and shared by all sets and methods.

    Attributes
    ----------
    draws : what takes the place of deleted positions, each draw with equal weight; for all
        instances (m = 1) or for each its own (m = n).
    """

    draws: Float[Tensor, "m k *features"]

    def __post_init__(self) -> None:
        if self.draws.ndim < 3 or not self.draws.shape[1]:
            raise ValueError(
                f"a reference of shape {tuple(self.draws.shape)}: wanted (m, k, *features), k at "
                "least 1 draw for all instances (m = 1) or for each its own"
            )

    @property
    def count(self) -> int:
        """How many draws an instance has."""
        return self.draws.shape[1]

    @property
    def mean(self) -> Float[Tensor, "m *features"]:
        """The declared mean b: of the very draws that F averages over."""
        return self.draws.double().mean(1).to(self.draws.dtype)

    def of(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b k *features"]:
        """The draws of these instances."""
        if self.shared:
            return self.draws.expand(len(rows), *self.draws.shape[1:])
        return self.draws[rows]

    def only(self, draw: int) -> "Reference":
        """That draw alone."""
        return Reference(self.draws[:, draw : draw + 1])

    @property
    def shared(self) -> bool:
        """Whether all instances have the same draws."""
        return len(self.draws) == 1

    def null(
        self, inputs: Float[Tensor, "n *features"], partition: Partition
    ) -> Bool[np.ndarray, "n p"]:
        """The features of each input that every draw leaves as they are."""
        draws = self.draws.expand(len(inputs), *self.draws.shape[1:])
        changed = torch.stack([(x != r).any(0) for x, r in zip(inputs, draws, strict=True)])
        null: np.ndarray = partition.pooled(changed.float()) == 0
        return null


def reference(
    kind: str,
    inputs: Float[Tensor, "n *features"],
    train: Float[Tensor, "n_train *features"],
    draws: int,
    *,
    rng: np.random.Generator,
) -> Reference:
    """The reference of that kind.

    Parameters
    ----------
    kind : a single draw: `zero`, `constant 0.5`, `mean` (of the training rows), `blur 1.5` (an
        image itself, blurred by a Gaussian of this many pixels). Many: `uniform` (each position
        uniform over its range in the training rows, an image's over the range of all pixels),
        `instances` (training rows, drawn without replacement), `medoids` (training rows in the
        middle of as many groups).
    inputs : the instances to explain, encoded.
    train : the training rows, encoded.
    draws : how many, where there are many (at most as many as training rows).

    Raises
    ------
    ValueError
        where there is no such kind, or not on such inputs.
    """
    check_kind(kind)
    if kind == "uniform":
        return Reference(_uniform(train, draws, rng)[None])
    if kind == "instances":
        return Reference(train[torch.from_numpy(rng.permutation(len(train))[:draws])][None])
    if kind == "medoids":
        return Reference(train[medoids(train, draws, rng=rng)][None])
    if kind == "mean":
        return Reference(train.double().mean(0).to(train.dtype)[None, None])
    if kind.startswith("blur"):
        return Reference(_blurred(inputs, _number(kind, "width"))[:, None])
    return Reference(torch.full_like(train[:1], _number(kind, "value") or 0.0)[None])


def check_kind(kind: str) -> None:
    """Raise `ValueError` where there is no such kind of reference."""
    if _KIND.fullmatch(kind):
        return
    word = kind.partition(" ")[0]
    if word in _NUMBERED:
        raise ValueError(
            f"reference {kind!r}: wanted a number in plain digits after {word!r}, as in "
            f"{_NUMBERED[word]!r}, so that equal references have equal names"
        )
    near = difflib.get_close_matches(word, {one.partition(" ")[0] for one in KINDS}, 1, 0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    wanted = ", ".join(f"{one!r}" for one in KINDS)
    raise ValueError(f"reference {kind!r}: {hint}wanted one like {wanted}")


def unfit(kind: str, images: bool) -> str | None:
    """Why such data has no reference of this kind, or None."""
    check_kind(kind)
    if kind.startswith("blur") and not images:
        return f"reference {kind!r}: a table can't be blurred"
    return None


def _number(kind: str, name: str) -> float | None:
    found = _KIND.fullmatch(kind)
    return float(found[name]) if found and found[name] else None


def _uniform(
    train: Float[Tensor, "n_train *features"], draws: int, rng: np.random.Generator
) -> Float[Tensor, "k *features"]:
    image = train.ndim == 4
    low = train.amin() if image else train.amin(0)
    high = train.amax() if image else train.amax(0)
    drawn = torch.from_numpy(rng.random((draws, *train.shape[1:]))).to(train.dtype)
    return low + (high - low) * drawn


def _blurred(
    images: Float[Tensor, "n channels height width"], width: float | None
) -> Float[Tensor, "n channels height width"]:
    """Each image under a Gaussian, its edge pixels repeated outwards."""
    from scipy.ndimage import gaussian_filter  # late: its pages cost each fork ten milliseconds

    sigma = min(images.shape[2:]) / 8 if width is None else width
    blurred = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="nearest")
    return torch.from_numpy(blurred)


def medoids(
    train: Float[Tensor, "n_train *features"], count: int, *, rng: np.random.Generator
) -> Int[Tensor, " k"]:
    """Rows that have the least summed distance to the others of their group.

    Each row belongs to the nearest medoid, then each group takes its best row, until nothing
    changes; of many training rows a random part is looked at.

    References
    ----------
    Park, Jun, *A simple and fast algorithm for K-medoids clustering*, 2009.
    """
    looked = torch.from_numpy(rng.permutation(len(train))[:MEDOID_ROWS])
    points = train[looked].flatten(1).double()
    distances = torch.cdist(points, points)
    chosen = torch.arange(min(count, len(points)))
    while True:
        group = distances[:, chosen].argmin(1)
        group[chosen] = torch.arange(len(chosen))  # equal rows: none loses its own group
        inside = group[:, None] == group
        cost = torch.where(inside, distances, 0.0).sum(1)
        best = torch.stack(
            [torch.where(group == k, cost, torch.inf).argmin() for k in range(len(chosen))]
        )
        if cost[best].sum() >= cost[chosen].sum() * (1 - 1e-12):
            return looked[chosen]
        chosen = best

"""Runs without rows that are kept in the cache, so that a stopped sweep trains none twice.

Scoring alone trains through here: a method that trains again pays for it each time.
"""

import math
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.cache import Cache, cache_root
from bench.models.influence import leave_one_out_flops
from bench.models.trajectory import CHUNK_NUMBERS, Trajectory

WORTH_KEEPING = 1e10
"""Floating-point operations from which a file is quicker than training again: about a second."""

_VERSION = 2


def retrained(
    trajectory: Trajectory, keep: Bool[Tensor, "m n_train"], since: int = 0
) -> Float[Tensor, "m p"]:
    """`Trajectory.retrain`, in parts that are kept where each takes a second or more."""
    share = (len(trajectory.schedule) - since) / len(trajectory.schedule)
    each = share * leave_one_out_flops(trajectory, 1)
    # As few at once as are worth keeping: a run that is stopped loses no more than these.
    size = max(1, min(CHUNK_NUMBERS // len(trajectory.final), math.ceil(WORTH_KEEPING / each)))
    if each * min(size, len(keep)) < WORTH_KEEPING:
        return trajectory.retrain(keep, since)
    run, cache = _fingerprint(trajectory), Cache(cache_root())
    return torch.cat([_part(trajectory, run, part, since, cache) for part in keep.split(size)])


def _part(
    trajectory: Trajectory, run: str, keep: Bool[Tensor, "m n"], since: int, cache: Cache
) -> Float[Tensor, "m p"]:
    rows = np.packbits(keep.cpu().numpy()).tobytes() + _first_step(trajectory, keep, since)
    digest = sha256(f"{_VERSION} {run} {tuple(keep.shape)} {since}".encode() + rows).hexdigest()
    found = cache.arrays(
        "retrained", digest, lambda: {"finals": trajectory.retrain(keep, since).cpu().numpy()}
    )
    return torch.from_numpy(found["finals"]).to(trajectory.final.device)


def _first_step(trajectory: Trajectory, keep: Bool[Tensor, "m n"], since: int) -> bytes:
    """Where the first step leads: a program that rounds otherwise finds none of another's files."""
    return trajectory.retrain(keep, since, end=since + 1).cpu().numpy().tobytes()


def _fingerprint(trajectory: Trajectory) -> str:
    """Of all that a run without rows depends on: where the recorded run began and ended, by which
    data and in which order."""
    objective, schedule = trajectory.objective, trajectory.schedule
    ends = trajectory.snapshots[[0, -1]].cpu().numpy().tobytes()
    order = schedule.order.cpu().numpy().tobytes()
    named = (
        objective.module,
        objective.samples.fingerprint,
        objective.weight_decay,
        objective.augmentation,
        objective.seed,
        schedule.bounds,
        schedule.rates,
        trajectory.optimiser,
    )
    return sha256(repr(named).encode() + ends + order).hexdigest()

"""Models from the cache."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cache import Cache
from bench.data import Samples
from bench.models.cached import CachedRecipe
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.models.trajectory import Trajectory


def test_a_run_is_replayed_unless_it_was_just_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same bits from both; the one from disk alone is walked through once more."""
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(20, 3))).float()
    samples = Samples(inputs, torch.arange(20) % 2, 2)
    recipe = CachedRecipe(SGD(MLP((4,)), epochs=3, batch_size=5), "digest", Cache(tmp_path))
    trained, kept = (recipe.fit(samples, rng=np.random.default_rng(1)) for _ in range(2))
    assert trained.trajectory is not None
    assert kept.trajectory is not None
    assert torch.equal(trained.trajectory.snapshots, kept.trajectory.snapshots)
    replayed = []
    whole = Trajectory._difference
    monkeypatch.setattr(
        Trajectory, "_difference", lambda run: (replayed.append(run), whole(run))[1]
    )
    trained.trajectory.verify()
    assert not replayed
    kept.trajectory.verify()
    assert len(replayed) == 1
    moved = kept.trajectory.snapshots.clone()
    moved[4, 0] = torch.nextafter(moved[4, 0], torch.tensor(9.0))
    with pytest.raises(ValueError, match="at step 3"):
        replace(kept.trajectory, snapshots=moved).verify()

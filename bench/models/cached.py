"""A recipe that keeps its models in the cache."""

import time
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np

from bench.cache import Arrays, Cache
from bench.data import Samples
from bench.devices import CPU, device_name
from bench.models.base import Capability, Model, StorableRecipe
from bench.models.network import Network
from bench.seeding import name_of


@dataclass(frozen=True)
class CachedRecipe:
    """A recipe whose models are kept in the cache: trained once, by whichever process is first.

    Attributes
    ----------
    recipe : what trains. digest : of its configuration and source. device : where it trains; a
        kind of GPU rounds in its own way, and has models of its own. seconds : how long each
        call of `fit` took, cached or not.
    """

    recipe: StorableRecipe
    digest: str
    cache: Cache
    device: str = CPU
    seconds: list[float] = field(default_factory=list)

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.recipe.capabilities

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Model:
        start = time.perf_counter()
        named = f"{self.digest} {samples.fingerprint} {name_of(rng)}"
        if self.device != CPU:
            named, samples = f"{named} {device_name(self.device)}", samples.to(self.device)
        digest = sha256(named.encode()).hexdigest()
        trained = False

        def train() -> Arrays:
            nonlocal trained
            trained = True
            return self.recipe.arrays(self.recipe.fit(samples, rng=rng))

        model = self.recipe.restore(self.cache.arrays("models", digest, train), samples)
        if trained and isinstance(model, Network) and model.trajectory is not None:
            model = replace(model, trajectory=replace(model.trajectory, fresh=True))
        self.seconds.append(time.perf_counter() - start)
        return model

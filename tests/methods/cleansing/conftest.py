"""Small problems that the cleansing methods are tested on."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.data import Samples
from bench.models.base import Recipe
from bench.tasks.cleansing import CleansingProblem


@pytest.fixture
def ask() -> Callable[..., CleansingProblem]:
    """Noisy linear classes and a model trained on them by the recipe: `ask(recipe, n)`."""

    def problem(recipe: Recipe, n: int = 60, n_classes: int = 2) -> CleansingProblem:
        rng = np.random.default_rng(0)
        inputs = torch.tensor(rng.normal(size=(2 * n, 3))).float()
        scores = inputs @ torch.tensor(rng.normal(size=(3, n_classes))).float()
        noise = torch.tensor(rng.normal(size=(2 * n, n_classes))).float()
        samples = Samples(inputs, (scores + noise).argmax(1), n_classes)
        train, query = samples.rows(np.arange(n)), samples.rows(np.arange(n, 2 * n))
        return CleansingProblem(recipe.fit(train, rng=np.random.default_rng(1)), train, query)

    return problem

"""A unified problem from a handful of points: what checks and warm-ups ask."""

from string import ascii_lowercase

import numpy as np
import torch

from bench.data import Column, Samples
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.rules import Literals, mine
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import AttributionProblem, predicted
from bench.tasks.companion import CompanionProblem, Rows
from bench.tasks.unified_columns import Columns
from bench.tasks.unified_problem import UnifiedProblem


def toy_problem(samples: Samples, n: int, *, rng: np.random.Generator) -> UnifiedProblem:
    """The first `n` points explained, a small network trained on the others.

    Features are deleted by 0, and literals say on which side of it they are; a tenth of the
    training rows count.
    """
    queries, train = samples.rows(np.arange(n)), samples.rows(np.arange(n, len(samples)))
    p = samples.inputs.shape[1]
    model = SGD(MLP((6,), "softplus"), epochs=5, batch_size=10).fit(train, rng=rng)
    features = AttributionProblem(
        model,
        queries.inputs,
        predicted(model, queries.inputs),
        Partition(torch.arange(p), tuple(ascii_lowercase[:p])),
        Reference(torch.zeros(1, 1, p)),
    )
    above = samples.inputs.numpy() > 0
    names = tuple(f"{name} {side} 0" for name in features.partition.names for side in (">", "<="))
    literals = Literals(np.stack([above, ~above], axis=2).reshape(len(samples), 2 * p), names)
    labels, told = train.targets.numpy(), literals.rows(np.arange(n, len(samples)))
    pool = mine(told, labels, min_support=0.1, max_conditions=2, per_label=8)
    rows = Rows(told, labels, predicted(model, train.inputs).numpy())
    classes = tuple(f"class {k}" for k in range(samples.n_classes))
    companion = CompanionProblem(rows, np.ones(len(train)), pool, classes, "autac", 0.001)
    columns = Columns(
        np.repeat(np.arange(p), 2),
        np.arange(p),
        tuple(map(Column, features.partition.names)),
        train.inputs.double().numpy(),
        queries.inputs.double().numpy(),
    )
    asked = literals.rows(np.arange(n))
    return UnifiedProblem(features, train, companion, asked, columns, 0.6, len(train) // 10)

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from bench.components import Shelf, build
from bench.seeding import stream
from bench.tasks.cleansing import Cleansing, CleansingSetting

SEEDS = range(10)


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "koh_liang", "published"),
    [
        ("adult_dnn", "koh_liang_sgd", (0.75, 0.54)),
        # Cross-validated weight decay, .85 by the paper's early-stopped solver.
        ("sec71_logreg", "koh_liang_sgd_undamped", (0.93, 0.85)),
    ],
)
def test_sgd_influence_leads_koh_liang_on_adult(model, koh_liang, published):
    """Section 7.1 of the NeurIPS 2019 paper: tau to the true leave-one-out, Adult.

    Published are means over 30 seeds, of SGD-influence and of Koh and Liang's method.
    """
    shelf, task = Shelf(), Cleansing()
    data = build(shelf.config("dataset", "adult_merged")).load()
    recipe = build(shelf.config("model", model))
    setting = CleansingSetting(
        split="rows 200/400/200", removals="rows 0", random_draws=1, truth_flops=1e11
    )
    methods = [
        build(shelf.config("method/cleansing", name)) for name in ("sgd_influence", koh_liang)
    ]
    taus = np.empty((len(SEEDS), 2))
    for seed in SEEDS:
        case = task.case(data, recipe, setting, rng=stream(seed, "case", "adult"))
        for k, method in enumerate(methods):
            explanation = method.explain(case.problem, rng=np.random.default_rng(seed))
            scores = task.scores((case,), (explanation,))
            taus[seed, k] = scores.values["kendall_tau"].value
    assert case.problem.train.inputs.shape == (200, 62)
    assert taus[:, 0].mean() == pytest.approx(published[0], abs=0.06)
    assert taus[:, 1].mean() == pytest.approx(published[1], abs=0.1)
    interval = ttest_1samp(taus[:, 0] - taus[:, 1], 0).confidence_interval(0.95)
    assert interval.low > 0

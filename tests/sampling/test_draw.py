import numpy as np
import pytest
from sampling.synthetic import synthetic

from bench.sampling import (
    Bins,
    Plan,
    case_control,
    closest_weights,
    honest,
    located,
    pivotal,
    successive,
    systematic,
)


def plan_of(n: int = 200, size: int = 50) -> tuple[Bins, Plan]:
    inputs, groups, decisions = synthetic(n, 2, seed=3)
    bins = Bins.demographic_parity(groups, decisions)
    wanted = bins.wanted(size, [0.7])
    return bins, closest_weights(located(inputs, groups), bins.of, wanted)


@pytest.mark.parametrize("draw", [systematic, pivotal])
@pytest.mark.parametrize("size", [50, 51])
def test_exact_counts_and_probabilities(draw, size: int):
    """Every draw has the wanted counts, no row twice; a row is in it as often as K nu says.

    The mean over rows of the squared error, in units of its variance, is 1 up to noise: 200 rows
    of which some 50 are random give a standard error of about .2.
    """
    bins, plan = plan_of(size=size)
    rng, draws = np.random.default_rng(0), 3000
    times = np.zeros(200)
    for _ in range(draws):
        rows = draw(plan, rng=rng)
        assert len(np.unique(rows)) == size
        assert np.bincount(bins.of[rows], minlength=4).tolist() == plan.wanted.tolist()
        times[rows] += 1
    pi = plan.inclusion
    sure = (pi == 0) | (pi == 1)
    assert (times[sure] == draws * pi[sure]).all()
    z = (times / draws - pi)[~sure] / np.sqrt(pi * (1 - pi) / draws)[~sure]
    assert 0.5 < (z**2).mean() < 1.6
    assert np.abs(z).max() < 4.5


def test_realised_disparity_is_the_designs():
    """Exactly; by successive drawing it isn't."""
    bins, plan = plan_of()
    rng, claimed = np.random.default_rng(0), bins.disparity(plan.wanted)
    found = {
        draw.__name__: [
            bins.disparity(np.bincount(bins.of[draw(plan, rng=rng)], minlength=4))
            for _ in range(50)
        ]
        for draw in (systematic, pivotal)
    }
    assert {*found["systematic"], *found["pivotal"]} == {claimed}
    loose = [
        bins.disparity(np.bincount(bins.of[successive(plan.weights, 50, rng=rng)], minlength=4))
        for _ in range(50)
    ]
    assert np.mean(np.array(loose) > claimed) > 0.8


def test_all_rows_of_a_bin():
    """Inclusion 1 and 0 leave nothing to chance."""
    plan = Plan(
        np.array([4, 0, 4, 4, 0, 0]),
        4,
        np.array([0, 0, 0, 1, 1, 2]),
        np.array([2, 1, 0]),
        *(0.0, 0.0, np.zeros(6), True, 0.0, 1, 0.0),
    )
    for seed in range(5):
        for draw in (systematic, pivotal):
            assert draw(plan, rng=np.random.default_rng(seed)).tolist() == [0, 2, 3]


def test_controls():
    """Case-control has the counts, honest any rows; both are uniform where they say so."""
    bins, plan = plan_of()
    rng, times = np.random.default_rng(0), np.zeros((2, 200))
    for _ in range(2000):
        rows = case_control(bins.of, plan.wanted, rng=rng)
        assert np.bincount(bins.of[rows], minlength=4).tolist() == plan.wanted.tolist()
        times[0, rows] += 1
        times[1, honest(200, 50, rng=rng)] += 1
    pi = np.stack([(plan.wanted / bins.sizes)[bins.of], np.full(200, 0.25)])
    z = (times / 2000 - pi) / np.sqrt(pi * (1 - pi) / 2000)
    assert np.abs(z).max() < 4.5
    with pytest.raises(ValueError, match="1 rows have weight: wanted at least 2"):
        successive(np.array([1.0, 0.0]), 2, rng=rng)

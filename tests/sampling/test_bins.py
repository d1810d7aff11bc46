import numpy as np
import pytest

from bench.sampling import Bins, located


def population(n: int = 600, groups: int = 2, seed: int = 0):
    """Groups, decisions of unequal rates, labels."""
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=n)
    decisions = (rng.random(n) < 0.3 + 0.2 * group).astype(int)
    return group, decisions, rng.integers(2, size=n)


def test_bins_partition_the_rows():
    """A row's bin says its group, label and decision."""
    groups, decisions, labels = population()
    parity = Bins.demographic_parity(groups, decisions)
    assert parity.of.tolist() == (2 * groups + decisions).tolist()
    odds = Bins.equalized_odds(groups, decisions, labels)
    assert odds.of.tolist() == (4 * groups + 2 * labels + decisions).tolist()
    chance = Bins.equal_opportunity(groups, decisions, labels)
    assert chance.of.tolist() == np.where(labels, 3 * groups + 1 + decisions, 3 * groups).tolist()
    assert chance.names[0] == "group 0, free"
    assert chance.names[2] == "group 0, label 1, decision 1"


def test_disparity_follows_its_definition():
    """Of whole populations: differences of conditional rates, counted literally."""
    groups, decisions, labels = population()

    def rate(given):
        return decisions[given].mean()

    parity = Bins.demographic_parity(groups, decisions)
    apart = rate(groups == 1) - rate(groups == 0)
    assert parity.disparity(parity.sizes) == pytest.approx(abs(apart), abs=1e-15)
    assert parity.worst_pair(parity.sizes) == ("1", "0")
    by_label = [
        abs(rate((groups == 1) & (labels == y)) - rate((groups == 0) & (labels == y)))
        for y in (0, 1)
    ]
    odds = Bins.equalized_odds(groups, decisions, labels)
    assert odds.disparity(odds.sizes) == pytest.approx(max(by_label), abs=1e-15)
    chance = Bins.equal_opportunity(groups, decisions, labels)
    assert chance.disparity(chance.sizes) == pytest.approx(by_label[1], abs=1e-15)


@pytest.mark.parametrize("measure", ["demographic_parity", "equal_opportunity", "equalized_odds"])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_wanted_counts_are_fair_and_keep_the_shares(measure: str, n_groups: int):
    """They add up to the size, exist, give every group its share up to one row, and the rates
    differ by one row of the smallest stratum at most."""
    groups, decisions, labels = population(groups=n_groups)
    given = (groups, decisions) if measure == "demographic_parity" else (groups, decisions, labels)
    bins = getattr(Bins, measure)(*given)
    for size in (7 * n_groups, 97, 150):
        counts = bins.wanted(size)
        assert counts.sum() == size
        assert (counts >= 0).all()
        assert (counts <= bins.sizes).all()
        smallest = size
        for c in {*bins.condition.tolist()}:
            for s in range(n_groups):
                of = (bins.condition == c) & (bins.group == s)
                assert abs(counts[of].sum() - size * bins.sizes[of].sum() / len(groups)) < 1
                smallest = min(smallest, counts[of].sum()) if c >= 0 else smallest
        assert bins.disparity(counts) <= 1 / smallest
    assert bins.disparity(counts) < bins.disparity(bins.sizes) / 2


def test_whole_numbers_with_slack():
    """299 of 499 and 301 of 501 differ; 300 of 500 each don't, one row away."""
    groups = np.repeat([0, 1], [2495, 2505])
    decisions = np.tile([0, 1], 2500)
    bins = Bins.demographic_parity(groups, decisions)
    counts = bins.wanted(1000, [0.6])
    assert counts.tolist() == [200, 299, 200, 301]
    assert bins.disparity(counts) == pytest.approx(301 / 501 - 299 / 499)
    counts = bins.wanted(1000, [0.6], slack=2)
    assert counts.tolist() == [200, 300, 200, 300]
    assert bins.disparity(counts) == 0


def test_infeasible_targets_say_what_is_feasible():
    """The rates named in the error are feasible, a bit beyond they aren't; likewise the size."""
    groups = np.repeat([0, 1], 100)
    decisions = np.concatenate([np.arange(100) < 30, np.arange(100) < 60]).astype(int)
    bins = Bins.demographic_parity(groups, decisions)
    with pytest.raises(ValueError, match=r"group 0, decision 1: 45 of 30.*0\.2 to 0\.6;.*about 66"):
        bins.wanted(100, [0.9])
    assert bins.wanted(100, [0.6]).tolist() == [20, 30, 20, 30]
    assert bins.wanted(100, [0.2]).tolist() == [40, 10, 40, 10]
    assert bins.wanted(66, [0.9])[1] == 30
    with pytest.raises(ValueError, match="too few rows"):
        bins.wanted(100, [0.62])
    with pytest.raises(ValueError, match="too few rows"):
        bins.wanted(100, [0.18])
    with pytest.raises(ValueError, match=r"all: none"):
        bins.wanted(190, [0.5])


def test_bad_input():
    """Errors name what was met and what is wanted."""
    groups, decisions, labels = population()
    with pytest.raises(ValueError, match=r"decisions hold 0\.25: wanted 0 or 1; cut prob"):
        Bins.demographic_parity(groups, np.full(600, 0.25))
    with pytest.raises(ValueError, match=r"groups \[0\]: wanted at least two"):
        Bins.demographic_parity(np.zeros(600, dtype=int), decisions)
    with pytest.raises(ValueError, match=r"decisions are all \[1\]"):
        Bins.demographic_parity(groups, np.ones(600, dtype=int))
    with pytest.raises(ValueError, match="groups hold 0.5: wanted a category"):
        Bins.demographic_parity(groups / 2, decisions)
    with pytest.raises(ValueError, match="group 1 has no row in condition label 1"):
        Bins.equal_opportunity(groups, decisions, np.where(groups == 1, 0, labels))
    bins = Bins.demographic_parity(groups, decisions)
    with pytest.raises(ValueError, match="a sample of 601 rows: wanted 1 to 600"):
        bins.wanted(601)
    with pytest.raises(ValueError, match=r"a number in \[0, 1\] for each of \('all',\)"):
        bins.wanted(100, [0.5, 0.5])


@pytest.mark.parametrize("n_groups", [2, 3])
def test_rows_of_different_groups_are_one_apart(n_groups: int):
    """Squared distance 1 between any two groups at the same inputs, 0 inside a group."""
    groups = np.repeat(np.arange(n_groups), 2)
    points = located(np.zeros((2 * n_groups, 3)), groups)
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squares, groups[:, None] != groups[None], atol=1e-15)

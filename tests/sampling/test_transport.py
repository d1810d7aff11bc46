import sys

import numpy as np
import pytest
from sampling.synthetic import synthetic
from scipy.optimize import linprog

from bench.isolation import Unsupported
from bench.sampling import Bins, closest_weights, located
from bench.sampling.coarse import coarser, interpolated
from bench.sampling.flow import Arcs, cheapest_flow
from bench.sampling.nearest import cheapest_of_bins
from bench.sampling.potentials import prices
from bench.sampling.sites import merged
from bench.sampling.sparse import Pricing, _enough_pairs, passes

SMALL = Pricing(smallest=100, at_first=5, first=2, more=2)
"""Many levels and many passes for few rows."""


def problem(n: int, d: int, size: int, seed: int = 0, rate: float = 0.6):
    """Points, bins, wanted counts of the synthetic data."""
    inputs, groups, decisions = synthetic(n, d, seed)
    bins = Bins.demographic_parity(groups, decisions)
    return located(inputs, groups), bins.of, bins.wanted(size, [rate])


def by_linear_program(points, bins, wanted) -> float:
    """W by the definition: all plans gamma and weights nu, in floating point."""
    n, size = len(points), int(wanted.sum())
    costs = ((points[:, None] - points[None]) ** 2).sum(axis=2).ravel()
    rows = np.kron(np.eye(n), np.ones(n))
    columns = np.kron(np.ones(n), np.eye(n))
    of_bin = np.stack([(rows[bins == g]).sum(axis=0) for g in range(len(wanted))])
    solved = linprog(
        costs,
        A_ub=rows,
        b_ub=np.full(n, 1 / size),
        A_eq=np.concatenate([columns, of_bin]),
        b_eq=np.concatenate([np.full(n, 1 / n), wanted / size]),
    )
    return float(solved.fun)


def bound_of(prices, points, bins, wanted) -> float:
    """What a plan's prices prove, over all pairs of rows."""
    costs = ((points[:, None] - points[None]) ** 2).sum(axis=2) + prices[:, None]
    lowest = np.array([prices[bins == g].min(initial=np.inf) for g in range(len(wanted))])
    above, supplied = (prices - lowest[bins]).sum(), wanted > 0
    spent = above + lowest[supplied] @ wanted[supplied]
    return float(costs.min(axis=0).mean() - spent / wanted.sum())


def check(plan, points, bins, wanted) -> None:
    """Constraints to 1e-12; sums of whole numbers exactly; the bound below the cost."""
    nu, size = plan.weights, wanted.sum()
    assert nu.min() >= 0
    assert nu.max() <= 1 / size + 1e-12
    sums = np.bincount(bins, nu, minlength=len(wanted))
    np.testing.assert_allclose(sums, wanted / size, rtol=0, atol=1e-12)
    units = np.bincount(bins, plan.units, minlength=len(wanted))
    assert units.tolist() == (plan.capacity * wanted).tolist()
    assert plan.bound <= plan.cost + 1e-13 * max(plan.cost, 1)
    assert plan.bound == pytest.approx(bound_of(plan.prices, points, bins, wanted), abs=1e-12)


def cost_of_weights(points, weights) -> float:
    """W(nu, uniform) by POT, for these weights alone."""
    ot = pytest.importorskip("ot")
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return float(ot.emd2(weights, np.full(len(points), 1 / len(points)), distances))


@pytest.mark.parametrize(("n", "size"), [(12, 4), (13, 5), (15, 9)])
@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_optimum_of_the_linear_program(n: int, size: int, solver: str):
    """Both solvers find what a linear program written from the definition finds."""
    rng = np.random.default_rng(n)
    points, bins = rng.random((n, 2)), np.repeat(np.arange(3), [n - 8, 4, 4])
    wanted = np.array([size - 3, 1, 2])
    plan = closest_weights(points, bins, wanted, gap=0, solver=solver, pricing=SMALL)
    check(plan, points, bins, wanted)
    assert plan.cost == pytest.approx(by_linear_program(points, bins, wanted), abs=1e-9)
    assert plan.proven


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize(("n", "size"), [(300, 60), (301, 60), (1000, 200)])
def test_sparse_cost_is_the_dense_one(n: int, size: int, d: int):
    """W to 1e-9, as POT has it and as the weights themselves cost; N and K coprime too."""
    points, bins, wanted = problem(n, d, size)
    dense = closest_weights(points, bins, wanted, solver="dense")
    sparse = closest_weights(points, bins, wanted, gap=0, solver="sparse", pricing=SMALL)
    for plan in (dense, sparse):
        check(plan, points, bins, wanted)
        assert plan.proven
        assert plan.gap < 1e-7
        assert cost_of_weights(points, plan.weights) == pytest.approx(plan.cost, abs=1e-9)
    assert sparse.cost == pytest.approx(dense.cost, rel=0, abs=1e-9)
    assert sparse.bound <= dense.cost + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_every_pass_brackets_the_optimum(seed: int):
    """Bounds of unfinished passes lie below, costs above; the last pass meets both."""
    d = (1, 2, 5)[seed % 3]
    points, bins, wanted = problem(240, d, 60, seed, rate=0.75)
    best = closest_weights(points, bins, wanted, solver="dense").cost
    sites = merged(points, bins, wanted).sites
    found = list(passes(sites, np.zeros(len(sites)), first=1, more=1))
    assert len(found) > 1
    for one in found:
        assert one.bound <= best + 1e-12
        assert one.cost >= best - 1e-12
    assert found[-1].cost == pytest.approx(best, abs=1e-9)
    assert (np.diff([one.cost for one in found]) < 1e-12).all()


def test_stated_gap_is_kept():
    """An unfinished solution costs at most that much more than the optimum."""
    points, bins, wanted = problem(600, 1, 120)
    best = closest_weights(points, bins, wanted, solver="dense").cost
    for gap in (0.5, 1e-2):
        plan = closest_weights(points, bins, wanted, gap=gap, solver="sparse", pricing=SMALL)
        assert plan.gap <= gap
        assert plan.cost - best <= gap * plan.cost
    hurried = closest_weights(
        points, bins, wanted, gap=0, seconds=0.0, solver="sparse", pricing=SMALL
    )
    check(hurried, points, bins, wanted)
    assert hurried.passes == 1
    assert not hurried.proven
    assert hurried.bound <= best <= hurried.cost


def test_scale_of_the_inputs_does_not_matter():
    """Distances a million times larger or smaller: the same relative cost."""
    points, bins, wanted = problem(300, 2, 60)
    plain = closest_weights(points, bins, wanted, gap=0, solver="sparse").cost
    for factor in (1e-3, 1e3):
        plan = closest_weights(factor * points, bins, wanted, gap=0, solver="sparse")
        assert plan.cost / factor**2 == pytest.approx(plain, rel=1e-8)


def test_rows_at_the_same_place_are_merged():
    """Cells of a table instead of rows: the same cost, and rows of a cell share their units."""
    rng = np.random.default_rng(0)
    points = rng.integers(4, size=(400, 2)).astype(float)
    bins = (points[:, 0] + rng.integers(2, size=400) > 2).astype(int)
    wanted = np.array([60, 40])
    sites = merged(points, bins, wanted).sites
    assert len(sites) < 40
    apart = points + rng.normal(size=points.shape) * 1e-9
    whole = closest_weights(points, bins, wanted, gap=0, solver="sparse")
    check(whole, points, bins, wanted)
    slow = closest_weights(apart, bins, wanted, solver="dense")
    assert whole.cost == pytest.approx(slow.cost, abs=1e-7)
    for g in (0, 1):
        for place in np.unique(points, axis=0):
            units = whole.units[(points == place).all(axis=1) & (bins == g)]
            assert len(units) == 0 or np.ptp(units) <= 1


def test_nothing_to_move():
    """Counts in proportion to a population at one place per bin: cost 0, weights uniform."""
    points, bins = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1], 50)
    for solver in ("dense", "sparse"):
        plan = closest_weights(points, bins, np.array([10, 10]), solver=solver)
        assert plan.cost == 0
        assert plan.gap == 0
        np.testing.assert_allclose(plan.weights, 0.01, atol=1e-15)


@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_empty_bins_and_bins_that_are_drawn_whole(solver: str):
    """A bin without rows, one of which nothing is wanted, one of which all is."""
    rng = np.random.default_rng(1)
    points, bins = rng.random((30, 2)), np.repeat([0, 2, 3], [20, 6, 4])
    wanted = np.array([8, 0, 0, 4])
    plan = closest_weights(points, bins, wanted, gap=0, solver=solver)
    check(plan, points, bins, wanted)
    assert plan.units[bins == 2].sum() == 0
    assert (plan.inclusion[bins == 3] == 1).all()
    assert plan.cost == pytest.approx(by_linear_program(points, bins, wanted), abs=1e-9)


def test_pairs_that_cannot_carry_the_units_are_completed():
    """Half of the sites demand what the other half has, far away: few pairs carry nothing, the
    completed ones any problem, and passes that begin with few end at the optimum."""
    points = np.concatenate([np.linspace(0, 1, 40), np.linspace(50, 51, 40)])[:, None]
    bins, wanted = np.repeat([0, 1], 40), np.array([39, 3])
    sites = merged(points, bins, wanted).sites
    own = np.arange(80)
    assert cheapest_flow(sites, Arcs(own, own), np.zeros(80, dtype=np.int64)) is None
    columns, rows = np.divmod(_enough_pairs(sites), 80)
    arcs = Arcs(rows, columns)
    flow = cheapest_flow(sites, arcs, np.zeros(len(arcs), dtype=np.int64))
    assert np.bincount(columns, flow).tolist() == sites.demand.tolist()
    assert (np.bincount(rows, flow, minlength=80) <= sites.capacity).all()
    dear = np.where(bins == 0, 1e6, 0.0)
    found = list(passes(sites, dear, first=1, more=1))
    best = closest_weights(points, bins, wanted, solver="dense").cost
    assert found[-1].cost == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("d", [2, 14])
def test_cheapest_sites_of_each_bin(d: int):
    """Against all sums of distance and price, by a tree and by blocks of all pairs."""
    rng = np.random.default_rng(d)
    points, bins = rng.random((90, d)), np.repeat([0, 1], [80, 10])
    sites = merged(points, bins, np.array([10, 5])).sites
    charged = rng.normal(size=90)
    squares = ((sites.points[:, None] - sites.points[None]) ** 2).sum(axis=2)
    sums = squares + charged[:, None]
    for g, (rows, costs) in enumerate(cheapest_of_bins(sites, charged, 12)):
        of_bin = np.where(sites.bins[:, None] == g, sums, np.inf)
        k = min(12, int((sites.bins == g).sum()))
        np.testing.assert_allclose(costs, np.sort(of_bin, axis=0)[:k].T, atol=1e-13)
        np.testing.assert_allclose(of_bin[rows, np.arange(90)[:, None]], costs, atol=1e-13)


def test_a_flow_that_can_be_improved_has_no_prices():
    """Two sites that serve each other instead of themselves."""
    rows, columns = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    costs = np.array([0, 3, 3, 0])
    full, bins = np.array([True, True]), np.zeros(2, dtype=np.int64)
    best = prices(rows, columns, costs, np.array([1, 0, 0, 1]), bins, full, 1)
    assert abs(best[0] - best[1]) <= 6
    with pytest.raises(RuntimeError, match="negative"):
        prices(rows, columns, costs, np.array([0, 1, 1, 0]), bins, full, 1)


def test_bad_input():
    """Errors name the value met and what is wanted."""
    points, bins, wanted = problem(40, 1, 10)
    with pytest.raises(ValueError, match=r"99 rows are wanted of bin 0, which has"):
        closest_weights(points, bins, np.array([99, 0, 0, 0]))
    with pytest.raises(ValueError, match="isn't finite"):
        closest_weights(points * np.nan, bins, wanted)
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        closest_weights(points, bins, wanted[:2])
    with pytest.raises(ValueError, match="0 rows or more"):
        closest_weights(points, bins, 0 * wanted)
    with pytest.raises(ValueError, match="gap=-1"):
        closest_weights(points, bins, wanted, gap=-1.0)


@pytest.mark.parametrize(
    ("solver", "name"), [("dense", "ot"), ("sparse", "ortools.graph.python.min_cost_flow")]
)
def test_missing_packages_are_named(solver: str, name: str, monkeypatch: pytest.MonkeyPatch):
    """With the line that installs them."""
    monkeypatch.setitem(sys.modules, name, None)
    points, bins, wanted = problem(40, 1, 10)
    with pytest.raises(Unsupported, match=r"pip install 'earnest\[fairwashing\]'"):
        closest_weights(points, bins, wanted, solver=solver)


@pytest.mark.parametrize("d", [1, 4, 13])
def test_prices_of_a_coarser_problem(d: int):
    """Units and mean places are kept in each bin, neighbours are joined; prices that are linear
    in a bin are met everywhere, and in many dimensions roughly."""
    rng = np.random.default_rng(d)
    points, bins = rng.random((900, d)), np.repeat([0, 1, 2], [700, 199, 1])
    sites = merged(points, bins, np.array([100, 90, 1])).sites
    coarse = coarser(sites)
    assert len(coarse) == 175 + 50 + 1
    assert coarse.supply.tolist() == sites.supply.tolist()
    for g in range(3):
        fine, few = sites.bins == g, coarse.bins == g
        assert coarse.capacity[few].sum() == sites.capacity[fine].sum()
        assert coarse.demand[few].sum() == sites.demand[fine].sum()
        whole = coarse.demand[few] @ coarse.points[few] / coarse.demand[few].sum()
        np.testing.assert_allclose(whole, sites.points[fine].mean(axis=0), atol=1e-12)
    slope = rng.normal(size=d)
    charged = coarse.points @ slope + 5 * coarse.bins
    true = sites.points @ slope + 5 * sites.bins
    error = interpolated(coarse, charged, sites) - true
    lowest = np.array([charged[coarse.bins == g].min() for g in range(3)])[sites.bins]
    inside = (true > lowest) & (sites.bins < 2)
    assert np.sqrt((error[inside] ** 2).mean()) < (1e-3 if d < 12 else 0.9) * true[inside].std()


def test_any_prices_bound_the_cost():
    """Weak duality: random prices, rough and near the best ones."""
    points, bins, wanted = problem(200, 2, 50)
    best = closest_weights(points, bins, wanted, solver="dense").cost
    sites = merged(points, bins, wanted).sites
    squares = ((sites.points[:, None] - sites.points[None]) ** 2).sum(axis=2)
    solved = list(passes(sites, np.zeros(200), 6, 4))[-1].prices
    rng, bounds = np.random.default_rng(0), []
    for noise in (0, 1e-6, 1e-3, 1e-1, 1.0):
        charged = solved + noise * rng.normal(size=200)
        bounds.append(sites.bound(charged, (squares + charged[:, None]).min(axis=0)))
    assert bounds[0] == pytest.approx(best, abs=1e-9)
    assert max(bounds) <= best + 1e-12
    assert bounds == sorted(bounds, reverse=True)

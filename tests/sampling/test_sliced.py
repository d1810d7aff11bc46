import numpy as np
import pytest
from sampling.synthetic import synthetic
from scipy.optimize import linprog, minimize

from bench.sampling import Bins, closest_weights, located
from bench.sampling.sliced import capped, orthonormal, potentials, sliced_weights


def problem(n: int, d: int, size: int, seed: int = 0, rate: float = 0.6):
    """Points, bins, wanted counts of the synthetic data."""
    inputs, groups, decisions = synthetic(n, d, seed)
    bins = Bins.demographic_parity(groups, decisions)
    return located(inputs, groups), bins.of, bins.wanted(size, [rate])


def sliced(points, bins, wanted, seed: int = 0, **given):
    return sliced_weights(points, bins, wanted, rng=np.random.default_rng(seed), **given)


def by_linear_program(positions, nu) -> float:
    """W(nu, uniform) on a line, by all plans."""
    n = len(positions)
    costs = ((positions[:, None] - positions[None]) ** 2).ravel()
    sums = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    solved = linprog(costs, A_eq=sums, b_eq=np.concatenate([nu, np.full(n, 1 / n)]))
    return float(solved.fun)


def mean_along(points, nu, thetas) -> float:
    """Mean of W along the directions, by quantile functions on the common grid of levels."""
    found = []
    for theta in thetas:
        order = np.argsort(points @ theta)
        at, ends = (points @ theta)[order], np.cumsum(nu[order])
        even = np.arange(1, len(at) + 1) / len(at)
        levels = np.sort(np.concatenate([ends, even]))
        middles = (levels + np.concatenate([[0], levels[:-1]])) / 2
        first, second = (
            at[np.minimum(np.searchsorted(cdf, middles), len(at) - 1)] for cdf in (ends, even)
        )
        found.append(np.diff(levels, prepend=0) @ (first - second) ** 2)
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(5))
def test_potentials_are_feasible_and_attain_the_linear_program(seed: int):
    """phi_i + psi_j <= (t_i - t_j)^2, and their sum is W: weights of 0 and ties too."""
    rng = np.random.default_rng(seed)
    t = np.sort(np.round(rng.random(25), 1 if seed == 4 else 9))
    nu = rng.random(25) * (rng.random(25) < 0.6)
    nu /= nu.sum()
    phi, psi = potentials(t, nu)
    assert (phi[:, None] + psi <= (t[:, None] - t) ** 2 + 1e-13).all()
    assert phi @ nu + psi.mean() == pytest.approx(by_linear_program(t, nu), abs=1e-9)


def test_potentials_of_whole_numbers():
    """Masses in units: levels meet exactly, and the answer is that of the same weights."""
    rng = np.random.default_rng(0)
    t, units = np.sort(rng.random(40)), rng.multinomial(400, np.full(40, 1 / 40))
    phi, psi = potentials(t, units)
    assert phi @ units / 400 + psi.mean() == pytest.approx(
        by_linear_program(t, units / 400), abs=1e-9
    )


def test_gradient_against_finite_differences():
    """Mass that goes from row i to row j changes W by phi_j - phi_i."""
    rng = np.random.default_rng(1)
    t, nu = np.sort(rng.normal(size=30)), rng.random(30)
    nu, phi = nu / nu.sum(), potentials(t, nu / nu.sum())[0]
    for i, j in rng.integers(30, size=(20, 2)):
        moved = np.zeros(30)
        moved[i] -= 1e-6
        moved[j] += 1e-6
        change = (by_quantiles(t, nu + moved) - by_quantiles(t, nu - moved)) / 2e-6
        assert change == pytest.approx(phi[j] - phi[i], abs=1e-5)


def by_quantiles(t, nu) -> float:
    return mean_along(t[:, None], nu, np.ones((1, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_nearest_point_of_a_capped_simplex(seed: int):
    """Against a general solver of the same quadratic program."""
    rng = np.random.default_rng(seed)
    values, cap, total = 2 * rng.normal(size=8), 1.5, (0.3, 3.0, 7.5, 11.9)[seed]
    found = capped(values, total, cap)
    assert found.sum() == pytest.approx(total, rel=1e-11)
    assert found.min() >= 0
    assert found.max() <= cap
    slow = minimize(
        lambda w: ((w - values) ** 2).sum(),
        np.full(8, total / 8),
        jac=lambda w: 2 * (w - values),
        bounds=[(0, cap)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - total},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(found, slow.x, atol=1e-5)


def test_capped_simplex_of_one_point():
    """All of a bin is wanted, or nothing."""
    values = np.array([3.0, -1.0, 0.5])
    assert capped(values, 0.0, 2.0).tolist() == [0, 0, 0]
    assert capped(values, 6.0, 2.0).tolist() == [2, 2, 2]


@pytest.mark.parametrize(("n", "size"), [(300, 60), (301, 60), (200, 110)])
def test_constraints_hold_exactly(n: int, size: int):
    """Whole units, sums exact, no row above its capacity; after one step as after many."""
    points, bins, wanted = problem(n, 2, size)
    for steps in (1, 2, 40):
        plan = sliced(points, bins, wanted, steps=steps).plan
        units = np.zeros(len(wanted), dtype=np.int64)
        np.add.at(units, bins, plan.units)
        assert units.tolist() == (plan.capacity * wanted).tolist()
        assert plan.units.min() >= 0
        assert plan.units.max() <= plan.capacity
        assert plan.capacity % (n // np.gcd(n, size)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_one_dimension_is_nearly_the_exact_optimum(seed: int):
    """There the sliced distance is Wasserstein's: within 3 % of the optimum's cost, above the
    bound, which is within 3 % as well."""
    rng = np.random.default_rng(seed)
    points = rng.random((400, 1))
    bins = (points[:, 0] > 0.5 + 0.1 * rng.normal(size=400)).astype(int)
    wanted = np.array([24, 56])
    best = closest_weights(points, bins, wanted, solver="dense").cost
    found = sliced(points, bins, wanted)
    assert found.distance == pytest.approx(
        mean_along(points, found.plan.weights, np.ones((1, 1))), abs=1e-12
    )
    assert best - 1e-12 <= found.distance <= 1.03 * best
    assert 0.97 * best <= found.bound <= best + 1e-12


@pytest.mark.parametrize("d", [1, 2])
def test_bound_is_below_the_cost_of_all_weights_and_prices_prove_it(d: int):
    """By the formula of `Plan.prices` over all pairs, and below the exact optimum of W."""
    points, bins, wanted = problem(200, d, 40, rate=0.75)
    plan = sliced(points, bins, wanted).plan
    best = closest_weights(points, bins, wanted, solver="dense").cost
    assert 0 < plan.bound <= best
    costs = ((points[:, None] - points[None]) ** 2).sum(axis=2) + plan.prices[:, None]
    lowest = np.array([plan.prices[bins == g].min() for g in range(4)])
    above = (plan.prices - lowest[bins]).sum() + lowest @ wanted
    proved = float(costs.min(axis=0).mean() - above / wanted.sum())
    assert plan.bound - 1e-12 <= proved <= best + 1e-12


def test_nearer_than_case_control():
    """At d = 5: exact < sliced < case-control in W, by POT; along directions sliced is nearest."""
    ot = pytest.importorskip("ot")
    points, bins, wanted = problem(1000, 5, 200)
    alike = (wanted / np.bincount(bins) / 200)[bins]
    exact = closest_weights(points, bins, wanted).weights
    found = sliced(points, bins, wanted).plan.weights
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    uniform = np.full(1000, 1 / 1000)
    w = [ot.emd2(nu / nu.sum(), uniform, distances) for nu in (exact, found, alike)]
    assert w[0] < 0.7 * w[1] < 0.7 * 0.7 * w[2]
    thetas = orthonormal(6, 6, np.random.default_rng(5))
    along = [mean_along(points, nu, thetas) for nu in (exact, found, alike)]
    assert along[1] < along[0] < 0.5 * along[2]


def test_more_steps_come_nearer():
    """Along directions that the descent didn't see."""
    points, bins, wanted = problem(600, 3, 120, rate=0.7)
    thetas = np.concatenate([orthonormal(4, 4, np.random.default_rng(k)) for k in range(9)])
    found = [
        mean_along(points, sliced(points, bins, wanted, steps=steps).plan.weights, thetas)
        for steps in (1, 10, 300)
    ]
    assert 2 * found[2] < found[1] < found[0]


def test_scale_and_place_of_the_points_do_not_matter():
    """The same weights for distances a thousand times larger, elsewhere: rounding turns
    ties of levels one way or the other, which a step sees a little."""
    points, bins, wanted = problem(200, 2, 40)
    plain, other = (sliced(at, bins, wanted, steps=50).plan for at in (points, 1000 * points + 5))
    np.testing.assert_allclose(plain.inclusion, other.inclusion, atol=0.02)


def test_rows_at_the_same_place_get_the_same_weight():
    """Up to one unit, as potentials of ties are the same."""
    rng = np.random.default_rng(0)
    points = rng.integers(4, size=(300, 2)).astype(float)
    bins = (points[:, 0] + rng.integers(2, size=300) > 2).astype(int)
    plan = sliced(points, bins, np.array([40, 20]), steps=50).plan
    for g in (0, 1):
        for place in np.unique(points, axis=0):
            units = plan.units[(points == place).all(axis=1) & (bins == g)]
            assert len(units) == 0 or np.ptp(units) <= 1


def test_nothing_to_move():
    """Counts in proportion to a population at one place per bin: uniform weights, distance 0."""
    points, bins = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1], 50)
    found = sliced(points, bins, np.array([10, 10]))
    assert found.distance == 0
    np.testing.assert_allclose(found.plan.weights, 0.01, atol=1e-15)


def test_bins_without_rows_and_bins_of_which_nothing_or_all_is_wanted():
    rng = np.random.default_rng(1)
    points, bins = rng.random((30, 2)), np.repeat([0, 2, 3], [20, 6, 4])
    plan = sliced(points, bins, np.array([8, 0, 0, 4])).plan
    assert plan.units[bins == 2].sum() == 0
    assert (plan.inclusion[bins == 3] == 1).all()
    best = closest_weights(points, bins, np.array([8, 0, 0, 4]), solver="dense").cost
    assert 0 <= plan.bound <= best


def test_bad_input():
    """Errors name the value met and what is wanted."""
    points, bins, wanted = problem(40, 1, 10)
    with pytest.raises(ValueError, match=r"99 rows are wanted of bin 0, which has"):
        sliced(points, bins, np.array([99, 0, 0, 0]))
    with pytest.raises(ValueError, match="isn't finite"):
        sliced(points * np.nan, bins, wanted)
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        sliced(points, bins, wanted[:2])
    with pytest.raises(ValueError, match="0 rows or more"):
        sliced(points, bins, 0 * wanted)
    with pytest.raises(ValueError, match="steps=0"):
        sliced(points, bins, wanted, steps=0)

"""Methods that publish a sample, on problems built by hand."""

import numpy as np
import pytest
from earnest.methods.fairwashing.case_control import CaseControl
from earnest.methods.fairwashing.honest_sample import HonestSample
from earnest.methods.fairwashing.sliced_biased import SlicedBiased
from earnest.methods.fairwashing.stealthily_biased import StealthilyBiased, washed
from sampling.synthetic import synthetic

from bench.components import Shelf, build
from bench.sampling import Bins, closest_weights, located
from bench.tasks.base import Unsupported
from bench.tasks.fairwashing_problem import FairwashingProblem, Region, Sampling

WASHERS = [StealthilyBiased(), SlicedBiased(steps=20), CaseControl()]


def problem(
    n: int = 300, d: int = 1, size: int = 60, rate: float | None = 0.6, seed: int = 0, **given
) -> FairwashingProblem:
    """The synthetic data; every tenth person belongs to neither group."""
    inputs, groups, decisions = synthetic(n, d, seed)
    groups = np.where(np.arange(n) % 10 == 9, -1, groups)
    labels = np.random.default_rng(seed).integers(2, size=n)
    given = {"scope": "global", "measure": "demographic_parity", **given}
    return FairwashingProblem(
        columns=inputs[:, :1] > 0.5,
        names=("x1 > .5",),
        class_names=("negative", "positive"),
        inputs=inputs,
        decisions=decisions.astype(np.int64),
        labels=labels,
        groups=groups,
        regions=(Region(np.arange(n)),),
        audit_size=size,
        rate=rate,
        **given,
    )


def counts(asked: FairwashingProblem, found: Sampling, seed: int = 0, which: int = 0):
    """Rows of each bin in one draw of a design."""
    rows = found.designs[which].draw(rng=np.random.default_rng(seed))
    assert len(np.unique(rows)) == len(rows) == asked.audit_size
    return np.bincount(asked.bins.of[rows], minlength=len(asked.bins.names))


def explained(method, asked: FairwashingProblem) -> Sampling:
    return method.explain(asked, rng=np.random.default_rng(0))


@pytest.mark.parametrize("measure", ["demographic_parity", "equal_opportunity", "equalized_odds"])
@pytest.mark.parametrize("method", WASHERS, ids=lambda method: type(method).__name__)
def test_samples_have_the_wanted_counts(method, measure: str):
    """Each draw, by each measure that a sample can be made fair by."""
    asked = problem(measure=measure)
    found = explained(method, asked)
    assert len(found.designs) == 1
    for seed in range(5):
        assert counts(asked, found, seed).tolist() == asked.wanted.tolist()


def test_honest_samples_are_as_unfair_as_the_population():
    """Mean rates of 400 draws within 4 standard errors of the population's."""
    asked = problem()
    found = explained(HonestSample(), asked)
    drawn = np.stack([counts(asked, found, seed) for seed in range(400)])
    shares = asked.bins.sizes / len(asked.population)
    errors = np.sqrt(shares * (1 - shares) * asked.audit_size / 400)
    assert (np.abs(drawn.mean(axis=0) - shares * asked.audit_size) < 4 * errors).all()
    assert asked.bins.disparity(drawn.sum(axis=0)) > 0.15
    assert asked.bins.disparity(asked.wanted) < 0.02


def test_cost_and_bound_are_of_the_first_design():
    """The exact optimum's, of people of the two groups alone."""
    asked, at = problem(), problem().population
    found = explained(StealthilyBiased(shares=(0.5, 1.0), gap=0), asked)
    points = located(asked.inputs[at], asked.groups[at])
    best = closest_weights(points, asked.bins.of, asked.wanted, solver="dense").cost
    assert found.cost == pytest.approx(best, abs=1e-9)
    assert found.bound == pytest.approx(best, abs=1e-9)
    assert (found.cost, found.bound) == (found.designs[0].plan.cost, found.designs[0].plan.bound)
    near = explained(SlicedBiased(), asked)
    assert 0 <= near.bound <= near.cost < found.cost
    assert np.isnan(explained(CaseControl(), asked).cost)


def test_an_informed_attacker_washes_a_part():
    """The fairest design first; the less is washed, the less fair. (The cost may rise a little
    where whole numbers give one group a row more.)"""
    asked = problem(n=600, size=120)
    found = explained(StealthilyBiased(shares=(0.25, 1.0, 0.0, 0.5)), asked)
    drawn = [counts(asked, found, which=k) for k in range(4)]
    assert drawn[0].tolist() == asked.wanted.tolist()
    unfair = [asked.bins.disparity(one) for one in drawn]
    assert (np.diff(unfair) > 0).all()
    honest = asked.bins.disparity(asked.bins.sizes)
    mixed = [honest * (1 - share) for share in (1.0, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(unfair, mixed, atol=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_washed_counts_are_the_nearest_whole_numbers(seed: int):
    """Exact sum, within one row of the mixture, never more than a bin has; the ends are exact."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 40, size=6) + (np.arange(6) == 0)
    fair = rng.multivariate_hypergeometric(sizes, int(rng.integers(1, sizes.sum() + 1)))
    honest = fair.sum() * sizes / sizes.sum()
    for share in (0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0):
        found = washed(share, sizes, fair)
        assert found.sum() == fair.sum()
        assert (np.abs(found - (1 - share) * honest - share * fair) < 1).all()
        assert (found <= sizes).all()
    assert washed(1.0, sizes, fair).tolist() == fair.tolist()


def test_largest_remainders_go_up():
    """Halves of (1, 2, 0, 1) and (4, 0, 0, 0): 2.5, 1, 0, .5, the first of equal ones."""
    found = washed(0.5, np.array([4, 8, 0, 4]), np.array([4, 0, 0, 0]))
    assert found.tolist() == [3, 1, 0, 0]


def test_the_authors_draw_has_counts_as_they_come():
    """The same weights, drawn one after the other."""
    method = build(Shelf().config("method/fairwashing", "stealthily_biased_successive"))
    asked = problem()
    found = explained(method, asked)
    exact = explained(StealthilyBiased(), asked).designs[0].plan
    np.testing.assert_array_equal(found.designs[0].plan.units, exact.units)
    drawn = [counts(asked, found, seed).tolist() for seed in range(20)]
    assert sum(one != asked.wanted.tolist() for one in drawn) > 10


@pytest.mark.parametrize("method", [*WASHERS, HonestSample()], ids=lambda m: type(m).__name__)
def test_equal_generators_give_equal_samples(method):
    """Answers keep no reading of the clock."""
    asked = problem()
    first, second = explained(method, asked), explained(method, asked)
    if hasattr(first.designs[0], "plan"):
        assert np.isnan(first.designs[0].plan.seconds)
        np.testing.assert_array_equal(first.designs[0].plan.units, second.designs[0].plan.units)
    assert counts(asked, first).tolist() == counts(asked, second).tolist()


@pytest.mark.parametrize("method", [*WASHERS, HonestSample()], ids=lambda m: type(m).__name__)
def test_what_no_sample_answers_is_refused(method):
    """With a reason: single people who complain, measures that no sample can be made fair by."""
    with pytest.raises(Unsupported, match="a sample is published for all"):
        explained(method, problem(scope="local"))
    asked = problem(measure="predictive_parity")
    if isinstance(method, HonestSample):
        assert len(explained(method, asked).designs) == 1
    else:
        with pytest.raises(Unsupported, match="no sample is made fair by predictive_parity"):
            explained(method, asked)


def test_infeasible_rates_are_named():
    """How far feasible is said."""
    with pytest.raises(ValueError, match="feasible are rates for all"):
        explained(StealthilyBiased(), problem(size=250, rate=0.9))


def test_bad_shares():
    with pytest.raises(ValueError, match=r"shares=\(1.5,\): wanted one or more numbers in"):
        StealthilyBiased(shares=(1.5,))
    with pytest.raises(ValueError, match=r"shares=\(\)"):
        StealthilyBiased(shares=())


@pytest.mark.parametrize(
    "name",
    [
        "case_control",
        "honest_sample",
        "sliced_biased",
        "stealthily_biased",
        "stealthily_biased_informed",
        "stealthily_biased_successive",
    ],
)
def test_every_yaml_answers(name: str):
    """With samples of the audited size."""
    asked = problem(n=200, size=40)
    found = explained(build(Shelf().config("method/fairwashing", name)), asked)
    assert len(found.designs) == (4 if name.endswith("informed") else 1)
    for which in range(len(found.designs)):
        counts(asked, found, which=which)


def test_bins_are_of_people_of_the_two_groups():
    """Those of neither are never published."""
    asked = problem()
    assert isinstance(asked.bins, Bins)
    assert len(asked.bins.of) == len(asked.population) == 270

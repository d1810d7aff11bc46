"""Detectors of fairwashing: what they compute, what they promise, what they answer to little."""

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from earnest.methods.detector.classifier import Classifier
from earnest.methods.detector.error_gap import ErrorGap
from earnest.methods.detector.fraud_detect import FraudDetect
from earnest.methods.detector.fraud_detect_rates import FraudDetectRates
from earnest.methods.detector.ks_by_feature import KsByFeature
from earnest.methods.detector.ks_within_groups import KsWithinGroups
from earnest.methods.detector.mmd import Mmd
from earnest.methods.detector.unfaithful import Unfaithful
from earnest.methods.detector.vanished_unfairness import VanishedUnfairness
from earnest.methods.detector.wasserstein import Wasserstein
from scipy import stats

from bench.scores.detection import (
    held_out_classifier_test,
    ks_by_feature,
    mmd_test,
    monte_carlo_p,
    wasserstein_test,
)
from bench.tasks.fairwashing_problem import Audit, Detector

RNG = np.random.default_rng
OF_SAMPLES = (KsByFeature(), KsWithinGroups(), Wasserstein(), Mmd(permutations=19), Classifier())
TESTS = OF_SAMPLES
OF_MODELS = (
    FraudDetect(),
    FraudDetectRates(),
    Unfaithful(),
    ErrorGap(),
    VanishedUnfairness(),
)
ALL = OF_SAMPLES + OF_MODELS

by_name = pytest.mark.parametrize("detector", ALL, ids=lambda one: one.name)
of_samples = pytest.mark.parametrize("detector", OF_SAMPLES, ids=lambda one: one.name)
of_models = pytest.mark.parametrize("detector", OF_MODELS, ids=lambda one: one.name)


def people(
    rng: np.random.Generator, n: int, shift: float = 0.0, *, d: int = 3, signed: bool = False
) -> Audit:
    """Numbers, a category and a constant; the first number is shifted, `signed`: in opposite
    directions in the two groups."""
    groups, inputs = rng.integers(2, size=n), rng.normal(size=(n, d))
    inputs[:, 0] += shift * (np.where(groups == 1, 1.0, -1.0) if signed else 1.0)
    category, constant = rng.random(n) < 0.3, np.ones(n)
    return Audit(np.column_stack([inputs, category, constant]), groups, rng.integers(2, size=n))


def model(rng: np.random.Generator, n: int, washed: float, wrong: float = 0.05) -> Audit:
    """A black box that favours group 0, and a model that contradicts it at random, and where it
    rejects the protected group in this share of cases more."""
    groups = rng.integers(2, size=n)
    decisions = (rng.random(n) < np.where(groups == 1, 0.3, 0.7)).astype(int)
    contradicted = rng.random(n) < np.where((groups == 1) & (decisions == 0), wrong + washed, wrong)
    surrogate = np.where(contradicted, 1 - decisions, decisions)
    return Audit(rng.normal(size=(n, 2)), groups, decisions, surrogate)


def detect(detector: Detector, published: Audit, own: Audit | None, seed: int = 0):
    return detector.detect(published, own, rng=RNG(seed))


def p_values(detector: Detector, shift: float, n: int, runs: int, **people_like: bool):
    """Of samples of n beside as many own people."""
    found = []
    for run in range(runs):
        rng = RNG([run, n])
        published, own = people(rng, n, shift, **people_like), people(rng, n)
        found.append(detector.detect(published, own, rng=rng).p_value)
    return np.array(found)


def compared(detector: Detector, draw: Callable[[np.random.Generator, float], tuple], runs: int):
    """p-values by comparison with 39 honest ones, for honest and for ever more dishonest ones."""
    null = np.array([detect(detector, *draw(RNG([0, k]), 0.0)).statistic for k in range(39)])

    def found(extent: float) -> np.ndarray:
        drawn = (draw(RNG([1, k]), extent) for k in range(runs))
        return np.array([monte_carlo_p(detect(detector, *one).statistic, null) for one in drawn])

    return found


@by_name
def test_satisfies_the_protocol(detector: Detector):
    """Frozen, hashable, sent to other processes; named as its file is."""
    assert isinstance(detector, Detector)
    assert detector.of == ("sample" if detector in OF_SAMPLES else "surrogate")
    assert type(detector).__module__ == f"earnest.methods.detector.{detector.name}"
    assert pickle.loads(pickle.dumps(detector)) == detector
    assert hash(detector) == hash(type(detector)(**vars(detector)))


@pytest.mark.parametrize("detector", TESTS, ids=lambda one: one.name)
def test_honest_samples_are_accused_at_most_at_the_level(detector: Detector):
    """p-values of honest samples are uniform or larger, up to what chance explains (one in
    10,000), at two levels; those of tests that have no ties are uniform."""
    runs = 300
    found = p_values(detector, 0.0, 40, runs)
    assert ((found > 0) & (found <= 1)).all()
    for level in (0.05, 0.2):
        accused = int((found <= level + 1e-12).sum())
        assert accused <= stats.binom.ppf(1 - 1e-4, runs, level)
        if not detector.name.startswith("ks"):
            assert accused >= stats.binom.ppf(1e-4, runs, level)


@pytest.mark.parametrize("detector", TESTS, ids=lambda one: one.name)
def test_power_grows_with_shift_and_size(detector: Detector):
    """A shift of all is found more often where it is larger, and in larger samples."""
    runs = 20
    by_shift = [(p_values(detector, s, 60, runs) <= 0.05).sum() for s in (0.0, 0.8, 1.6)]
    by_size = [(p_values(detector, 0.8, n, runs) <= 0.05).sum() for n in (10, 60, 200)]
    for found in (by_shift, by_size):
        assert found[0] < found[1] <= found[2]
        assert found[2] >= 0.95 * runs


@of_models
def test_washed_models_stand_out_by_comparison(detector: Detector):
    """Beside honest models: the more is washed, the more often it is seen; and with more people."""

    def rejected(n: int, washed: float) -> int:
        return int(
            (compared(detector, lambda rng, w: (model(rng, n, w), None), 40)(washed) <= 0.05).sum()
        )

    assert rejected(500, 0.0) <= stats.betabinom.ppf(1 - 1e-4, 40, 2, 38)
    by_extent, by_size = (
        [rejected(500, w) for w in (0, 0.3, 0.6)],
        [rejected(n, 0.4) for n in (20, 1000)],
    )
    assert by_extent[0] < by_extent[1] <= by_extent[2]
    assert by_extent[2] >= 30
    assert by_size[0] < by_size[1]


def test_shifts_that_cancel_are_seen_within_groups():
    """x given s has moved, x hasn't: only the test within groups sees it."""

    def people_apart(rng: np.random.Generator, side: float) -> Audit:
        found = people(rng, 300)
        inputs = found.inputs.copy()
        inputs[:, 0] += side * np.where(found.groups == 1, 1.0, -1.0)
        return Audit(inputs, found.groups, found.decisions)

    rng = RNG(0)
    published, own = people_apart(rng, 1.0), people_apart(rng, -1.0)
    assert not detect(KsByFeature(), published, own).rejects()
    found = detect(KsWithinGroups(), published, own)
    assert found.rejects(1e-6)
    assert len(found.parts) == 2
    assert found.p_value == min(found.parts)


@of_samples
def test_groups_alone_are_not_inputs_of_ks(detector: Detector):
    """A sample with other shares of groups: seen by what looks at [x, s], not by what looks at x,
    nor at x given s."""
    rng = RNG(1)
    own, published = people(rng, 300), people(rng, 300)
    same_x = Audit(published.inputs, (rng.random(300) < 0.9).astype(int), published.decisions)
    before, after = (detect(detector, one, own) for one in (published, same_x))
    if detector.name == "ks_by_feature":
        assert after == before
    elif detector.name == "ks_within_groups":
        assert not after.rejects()
    else:
        assert after.statistic > before.statistic


def test_the_fast_ones_are_the_plain_ones():
    """Against the tests of bench.scores.detection on [x, s], or on x."""
    rng = RNG(2)
    published, own = people(rng, 50, 0.5), people(rng, 70)
    plain = ks_by_feature(published.inputs, own.inputs)
    found = detect(KsByFeature(), published, own)
    assert found.statistic == pytest.approx(plain.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(plain.p_value, rel=1e-12)
    of_groups = [
        ks_by_feature(published.inputs[published.groups == s], own.inputs[own.groups == s])
        for s in (0, 1)
    ]
    within = detect(KsWithinGroups(), published, own)
    assert within.statistic == pytest.approx(max(one.statistic for one in of_groups), rel=1e-12)
    assert within.p_value == pytest.approx(2 * min(one.p_value for one in of_groups), rel=1e-12)
    both = [np.column_stack([one.inputs, one.groups]) for one in (published, own)]
    assert detect(Mmd(), published, own) == mmd_test(*both, rng=RNG(0))
    assert detect(Classifier(), published, own) == held_out_classifier_test(*both, rng=RNG(0))
    moved = wasserstein_test(*both, rng=RNG(0), permutations=1).statistic
    assert detect(Wasserstein(), published, own).statistic == pytest.approx(moved, rel=1e-12)
    few = detect(Wasserstein(most=5), published, own).statistic
    assert few != pytest.approx(moved)


@by_name
def test_order_does_not_matter(detector: Detector):
    """People and inputs in another order, the same statistic; and the same p-value, but where
    people are drawn at random: there the order of inputs alone."""
    rng = RNG(3)
    if detector.of == "surrogate":
        published, own = model(rng, 90, 0.2), None
    else:
        published, own = people(rng, 60, 0.3), people(rng, 80)

    def shuffled(audit: Audit | None, columns: np.ndarray, rows: bool) -> Audit | None:
        if audit is None:
            return None
        found = audit.rows(rng.permutation(len(audit)) if rows else np.arange(len(audit)))
        return Audit(found.inputs[:, columns], found.groups, found.decisions, found.surrogate)

    first = detect(detector, published, own)
    columns = rng.permutation(published.inputs.shape[1])
    for rows in (False, True):
        if rows and isinstance(detector, Classifier):
            continue
        second = detect(detector, shuffled(published, columns, rows), shuffled(own, columns, rows))
        assert second.statistic == pytest.approx(first.statistic, rel=1e-9)
        if not (rows and isinstance(detector, Mmd | Wasserstein)):
            assert second.p_value == pytest.approx(first.p_value, rel=1e-9, nan_ok=True)


def test_same_seed_same_answer():
    """Chance comes through the rng alone."""
    published, own = people(RNG(4), 40), people(RNG(5), 40)
    for detector in (Mmd(), Wasserstein(most=20), Classifier()):
        assert detect(detector, published, own, 7) == detect(detector, published, own, 7)


def test_models_by_hand():
    """Five people: two protected, of whom one is contradicted; three others, contradicted never."""
    audit = Audit(
        np.zeros((5, 1)),
        np.array([1, 1, 0, 0, 0]),
        np.array([0, 0, 1, 1, 0]),
        np.array([1, 0, 1, 1, 0]),
    )
    assert detect(Unfaithful(), audit, None).statistic == pytest.approx(1 / 5)
    assert detect(ErrorGap(), audit, None).statistic == pytest.approx(1 / 2)
    assert detect(VanishedUnfairness(), audit, None).statistic == pytest.approx(2 / 3 - 1 / 6)
    p, q = np.array([1.5, 0.5, 0.5, 2.5]) / 5, np.array([1.5, 1.5, 0.5, 0.5]) / 4
    forward, backward = (p * np.log(p / q)).sum(), (q * np.log(q / p)).sum()
    assert detect(FraudDetect(), audit, None).statistic == pytest.approx(forward)
    turned = FraudDetect(direction="protected_from_others")
    assert detect(turned, audit, None).statistic == pytest.approx(backward)
    assert detect(FraudDetect(pseudocount=0), audit, None).statistic == math.inf
    p, q = np.array([3 / 4, 1 / 4, 1 / 6, 5 / 6]) / 2, np.ones(4) / 4
    rates = detect(FraudDetectRates(), audit, None).statistic
    assert rates == pytest.approx((p * np.log(p / q)).sum())
    swapped = Audit(audit.inputs, audit.groups, audit.surrogate, audit.decisions)
    assert detect(VanishedUnfairness(), swapped, None).statistic == pytest.approx(1 / 6 - 2 / 3)
    for detector in OF_MODELS:
        assert math.isnan(detect(detector, audit, None).p_value)
        assert not detect(detector, audit, None).rejects()


def test_fraud_detect_looks_at_the_difference_between_groups():
    """0 where both groups' matrices are the same, however wrong the model; positive where one
    group alone is contradicted, the more the more often; in both directions."""
    cells = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]).repeat([4, 3, 2, 1], axis=0)
    decisions, said = np.tile(cells, (2, 1)).T
    groups = np.repeat([0, 1], len(cells))
    for detector in (
        kind(direction=direction)
        for kind in (FraudDetect, FraudDetectRates)
        for direction in ("others_from_protected", "protected_from_others")
    ):
        same = Audit(np.zeros((20, 1)), groups, decisions, said)
        assert detect(detector, same, None).statistic == pytest.approx(0, abs=1e-15)
        if isinstance(detector, FraudDetect):
            more = same.rows(np.concatenate([np.arange(20), np.flatnonzero(groups)]))
            plain = FraudDetect(detector.direction, pseudocount=0)
            assert detect(plain, more, None).statistic == pytest.approx(0, abs=1e-15)
        found = []
        for contradicted in range(5):
            washed = decisions.copy()
            washed[np.flatnonzero((groups == 1) & (decisions == 0))[:contradicted]] = 1
            audit = Audit(np.zeros((20, 1)), groups, decisions, washed)
            found.append(detect(detector, audit, None).statistic)
        assert found[0] == pytest.approx(0, abs=1e-15)
        assert (np.diff(found) > 0).all()


@of_samples
def test_small_samples_are_answered(detector: Detector):
    """Five people; one group missing on one side, on both sides differently; all inputs the same:
    no detector fails, and none accuses where there is nothing to compare."""
    rng = RNG(6)
    five, many = people(rng, 5), people(rng, 60)
    of_one = Audit(many.inputs, np.zeros(60, dtype=int), many.decisions)
    of_other = Audit(many.inputs, np.ones(60, dtype=int), many.decisions)
    for published, own in (
        (five, many),
        (many, five),
        (five, five),
        (of_one, many),
        (many, of_one),
    ):
        found = detect(detector, published, own)
        assert found.statistic >= -1e-12
        assert not found.rejects(0.01) or detector.name in ("mmd", "classifier")
    apart = detect(detector, of_one, of_other)
    if detector.name == "ks_within_groups":
        assert (apart.statistic, apart.p_value) == (0.0, 1.0)
    same = Audit(np.ones((6, 2)), np.zeros(6, dtype=int), np.ones(6, dtype=int))
    found = detect(detector, same, same)
    assert found.statistic == (0.5 if detector.name == "classifier" else 0.0)
    assert found.p_value == 1.0 or math.isnan(found.p_value)


@of_samples
def test_too_little_to_compare(detector: Detector):
    """One person, nobody, no own people, no number: an error that says what is wanted, or, given
    the group, nothing seen."""
    rng = RNG(7)
    one, many = people(rng, 1), people(rng, 30)
    if detector.name == "ks_within_groups":
        assert detect(detector, one, many).p_value == 1.0
    else:
        with pytest.raises(ValueError, match="1 and 30 rows: wanted two"):
            detect(detector, one, many)
    with pytest.raises(ValueError, match=f"{detector.name} compares .* own is None"):
        detect(detector, many, None)
    broken = Audit(np.where(many.inputs > 0, np.nan, many.inputs), many.groups, many.decisions)
    with pytest.raises(ValueError, match="not finite"):
        detect(detector, broken, many)


@of_models
def test_small_audits_of_models(detector: Detector):
    """One person, one group, one decision: a finite answer; of differences between groups, none."""
    rng = RNG(8)
    audit = model(rng, 40, 0.5)
    for rows in ([0], np.flatnonzero(audit.groups == 0), np.flatnonzero(audit.groups == 1)):
        alone = audit.rows(np.array(rows))
        found = detect(detector, alone, None).statistic
        wrong = (alone.surrogate != alone.decisions).mean()
        assert found == (pytest.approx(wrong) if detector.name == "unfaithful" else 0.0)
    ones = np.ones(40, dtype=int)
    assert detect(detector, Audit(audit.inputs, audit.groups, ones, ones), None).statistic == 0
    constant = Audit(audit.inputs, audit.groups, audit.decisions, ones)
    assert 0 < detect(detector, constant, None).statistic < math.inf


@of_models
def test_no_model_to_look_at(detector: Detector):
    """A sample, or nobody: an error that says so."""
    audit = people(RNG(9), 10)
    with pytest.raises(ValueError, match=f"{detector.name} looks at a published model"):
        detect(detector, audit, None)
    nobody = Audit(audit.inputs, audit.groups, audit.decisions, audit.decisions).rows(
        np.zeros(0, int)
    )
    with pytest.raises(ValueError, match="nobody was asked"):
        detect(detector, nobody, None)


def test_bad_fields():
    """Errors name the value met and the value wanted."""
    for build, said in (
        (lambda: Mmd(permutations=0), "permutations=0: wanted 1 or more"),
        (lambda: Mmd(bandwidth=-1.0), "bandwidth=-1.0: wanted a length"),
        (lambda: FraudDetect(pseudocount=-1), "pseudocount=-1: wanted 0"),
        (lambda: FraudDetectRates(pseudocount=0), "pseudocount=0: wanted more"),
    ):
        with pytest.raises(ValueError, match=said):
            build()

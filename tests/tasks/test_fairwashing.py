"""Fairwashing: the case, and scores against plain counts."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from bench.data import Column, Images, Table
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.rules.rationalize import rationalize
from bench.sampling import PerBin, Simple
from bench.scores.detection import Detection
from bench.scores.disparity import disparity
from bench.tasks.base import Unsupported
from bench.tasks.fairwashing import (
    Audit,
    Candidate,
    Fairwashing,
    FairwashingSetting,
    Rationalization,
    Region,
    Sampling,
    toy_problem,
)
from bench.tasks.fairwashing_case import information
from bench.tasks.fairwashing_detection import Watch
from bench.tasks.fairwashing_looks import FLOORS, Looks, washability
from bench.tasks.fairwashing_scores import check

RECIPE = SGD(MLP(widths=()), epochs=3, batch_size=64, learning_rate=0.1)
SETTING = FairwashingSetting(audit_size=60, audits=20, honest=19, columns=20)


@dataclass(frozen=True)
class Says:
    """A surrogate that gives the same rows the same answers, whatever its columns."""

    answers: tuple[tuple[bytes, int], ...]

    @classmethod
    def of(cls, columns: np.ndarray, said: np.ndarray) -> "Says":
        rows = zip(columns, said, strict=True)
        return cls(tuple((row.tobytes(), int(label)) for row, label in rows))

    def predict(self, values):
        known = dict(self.answers)
        return np.array([known.get(row.tobytes(), 0) for row in values])

    def text(self, names, class_names=("0", "1")):
        return "a table"


@dataclass(frozen=True)
class Frowns:
    """A detector of the same suspicion whatever it sees."""

    suspicion: float

    name: ClassVar[str] = "frowns"
    of: ClassVar[str] = "surrogate"

    def detect(self, published, own, *, rng):
        return Detection(self.suspicion, 1.0)


@dataclass(frozen=True)
class Always:
    """A surrogate with one answer to all."""

    label: int

    def predict(self, values):
        return np.full(len(values), self.label)

    def text(self, names, class_names=("0", "1")):
        return f"always {self.label}"


@dataclass(frozen=True)
class OneColumn:
    """A surrogate that says what a column says."""

    column: int

    def predict(self, values):
        return values[:, self.column].astype(np.int64)

    def text(self, names, class_names=("0", "1")):
        return f"if {names[self.column]} then {class_names[1]}\nelse {class_names[0]}"


@dataclass(frozen=True)
class CountsPositives:
    """A detector of samples whose statistic is their share of positive decisions."""

    name: ClassVar[str] = "counts"
    of: ClassVar[str] = "sample"

    def detect(self, published: Audit, own: Audit, *, rng) -> Detection:
        assert len(published) == len(own)
        assert published.surrogate is None
        return Detection(float(published.decisions.mean()), float("nan"), ())


@dataclass(frozen=True)
class CountsErrors:
    """A detector of models whose statistic is their share of errors."""

    name: ClassVar[str] = "errors"
    of: ClassVar[str] = "surrogate"

    def detect(self, published: Audit, own: Audit | None, *, rng) -> Detection:
        assert own is None
        return Detection(float((published.surrogate != published.decisions).mean()), np.nan, ())


def table(n: int = 900, groups: int = 2, seed: int = 0, **changed) -> Table:
    """Income decides; the later a group's letter, the less of it."""
    rng = np.random.default_rng(seed)
    group, town = rng.integers(groups, size=n), rng.integers(3, size=n)
    income = rng.normal(size=n) - 0.8 * group
    columns = (
        Column("income"),
        Column("town", ("north", "south", "west")),
        Column("group", tuple("abcd"[:groups])),
    )
    given = {
        "name": "toy",
        "values": np.stack([income, town, group], axis=1).astype(float),
        "columns": columns,
        "targets": (income + 0.3 * rng.normal(size=n) > 0).astype(np.int64),
        "class_names": ("refused", "granted"),
        "licence": "none",
        "source": "here",
        "sensitive": "group",
    }
    return Table(**{**given, **changed})


def case_of(data: Table | None = None, setting: FairwashingSetting = SETTING, **task):
    rng = np.random.default_rng(0)
    return Fairwashing(**task).case(data or table(), RECIPE, setting, rng=rng)


def scores_of(case, *models, **task):
    candidates = tuple(Candidate(model, 1) for model in models)
    return Fairwashing(**task).scores((case,), (Rationalization((candidates,)),))


@pytest.fixture(scope="module")
def case():
    return case_of()


def test_parts_are_disjoint_and_of_two_groups(case):
    """A third each; nothing of the test part is in the problem."""
    problem, test = case.problem, case.held.test
    assert abs(len(problem.groups) - 300) <= 3
    assert abs(len(test.groups) - 300) <= 3
    seen = {row.tobytes() for row in problem.inputs}
    assert not seen & {row.tobytes() for row in test.inputs}
    assert set(problem.groups.tolist()) == {0, 1}


def test_the_group_that_is_treated_worse_is_protected(case):
    """Unless it is named."""
    problem = case.problem
    rates = [problem.decisions[problem.groups == g].mean() for g in (0, 1)]
    assert case.held.group_names == ("b", "a")
    assert rates[1] < rates[0]
    named = case_of(setting=replace(SETTING, group="a"))
    assert named.held.group_names == ("a", "b")


def test_of_more_groups_the_pair_that_is_furthest_apart():
    """The rest belongs to neither; a named one is compared with all others."""
    data = table(1500, groups=3)
    worst = case_of(data)
    assert worst.held.group_names == ("c", "a")
    assert set(worst.problem.groups.tolist()) == {-1, 0, 1}
    against_all = case_of(data, replace(SETTING, group="b"))
    assert against_all.held.group_names == ("b", "not b")
    assert set(against_all.problem.groups.tolist()) == {0, 1}
    pair = case_of(data, replace(SETTING, group="b", other="a"))
    assert pair.held.group_names == ("b", "a")


def test_a_number_gives_groups_by_a_range():
    """Ends included."""
    data = table(sensitive="income")
    found = case_of(data, replace(SETTING, group="-0.5 to 0.5", group_column=True))
    inside = found.problem.groups == 1
    assert 0.2 < inside.mean() < 0.6
    assert found.held.group_names == ("income -0.5 to 0.5", "others")


def test_the_data_may_say_whom_to_protect_and_what_is_wished_for():
    """The setting comes first."""
    data = table(1500, groups=3, protected=("a", "c"), favourable="refused")
    found = case_of(data)
    assert found.held.group_names == ("a", "c")
    assert found.problem.class_names == ("granted", "refused")
    assert case_of(data, replace(SETTING, group="b")).held.group_names == ("b", "not b")
    by_number = case_of(table(sensitive="income", protected=("0 to 9",)))
    assert by_number.held.group_names == ("income 0 to 9", "others")


def test_favourable_class():
    """By name or place: decisions turn round."""
    granted, refused = case_of(), case_of(setting=replace(SETTING, favourable="refused"))
    np.testing.assert_array_equal(granted.problem.decisions, 1 - refused.problem.decisions)
    assert refused.problem.class_names == ("granted", "refused")


def test_columns_tell_of_decisions_and_not_of_the_group(case):
    """No column asks for the group; fewer columns are the more telling ones."""
    problem = case.problem
    assert not any(name.startswith("group") for name in problem.names)
    assert any(name.startswith("income >") for name in problem.names)
    few = case_of(setting=replace(SETTING, columns=2)).problem
    told = [
        information(problem.columns[:, j], problem.decisions) for j in range(len(problem.names))
    ]
    best = {problem.names[j] for j in np.argsort(told)[-2:]}
    assert set(few.names) == best
    asked = case_of(setting=replace(SETTING, group_column=True)).problem
    assert any(name.startswith("group") for name in asked.names)


def test_information_is_mutual_information():
    """By its definition: entropy of decisions minus that within the column's halves."""
    rng = np.random.default_rng(0)
    holds, decisions = rng.random(300) < 0.4, rng.integers(2, size=300)
    decisions[holds] |= rng.integers(2, size=holds.sum())

    def entropy(labels):
        shares = np.bincount(labels, minlength=2) / len(labels)
        return -sum(p * np.log(p) for p in shares if p)

    within = [
        holds.mean() * entropy(decisions[holds]),
        (~holds).mean() * entropy(decisions[~holds]),
    ]
    assert information(holds, decisions) == pytest.approx(entropy(decisions) - sum(within))
    assert information(~holds, decisions) == pytest.approx(information(holds, decisions))


def test_data_may_decide():
    """Then decisions are the labels."""
    found = case_of(setting=replace(SETTING, decisions="data"))
    np.testing.assert_array_equal(found.problem.decisions, found.problem.labels)
    assert found.held.accuracy == 1


def test_people_complain_for_a_reason():
    """Rejected, of the protected group, in an unfair neighbourhood of their nearest."""
    found = case_of(setting=replace(SETTING, scope="local", users=4, neighbours=0.2)).problem
    assert 1 <= len(found.regions) <= 4
    for region in found.regions:
        assert found.decisions[region.kept] == 0
        assert found.groups[region.kept] == 1
        assert region.kept in region.rows
        assert len(region.rows) == round(0.2 * len(found.groups))
        away = np.linalg.norm(found.inputs - found.inputs[region.kept], axis=1)
        others = np.setdiff1d(np.arange(len(away)), region.rows)
        assert away[region.rows].max() <= away[others].min() + 1e-12
        at = region.rows
        own = disparity(
            "demographic_parity", found.decisions[at], found.groups[at], found.labels[at]
        )
        assert own.absolute > 0.05


def test_washability_is_the_mean_over_floors():
    """Candidate by candidate, floor by floor; the black box's own where none is true enough."""
    rng = np.random.default_rng(1)
    found = Looks(rng.uniform(0.75, 1, 30), rng.uniform(0, 0.4, 30), 0.3)
    least = []
    for floor in FLOORS:
        least.append(min([0.3, *found.unfairness[found.fidelity >= floor]]))
    assert washability(found.least, 0.3) == pytest.approx(1 - np.mean(least) / 0.3)
    nothing = Looks(np.array([0.5]), np.array([0.0]), 0.3)
    assert washability(nothing.least, nothing.own) == pytest.approx(0)
    perfect = Looks(np.array([1.0]), np.array([0.0]), 0.3)
    assert washability(perfect.least, perfect.own) == 1
    assert np.isnan(washability(perfect.least, 0.0))


def test_published_is_the_fairest_that_is_nearly_as_true_as_an_honest_model():
    """Fidelity .84 of the honest: .82 will do, .8 won't; where none will do, the truest."""
    found = Looks(np.array([0.84, 0.82, 0.8]), np.array([0.3, 0.2, 0.1]), 0.3)
    assert found.published(0.84) == 1
    assert found.published(0.83) == 2
    assert found.published(0.95) == 0


def test_the_black_box_washes_nothing(case):
    """Published as it is: true, as unfair as it is, and not suspicious."""
    problem, test = case.problem, case.held.test
    columns = np.concatenate([problem.columns, test.columns])
    said = Says.of(columns, np.concatenate([problem.decisions, test.decisions]))
    found = scores_of(case, said)
    value = {name: score.value for name, score in found.values.items()}
    truth = said.predict(problem.columns)  # rows that no column tells apart get one answer
    own = disparity("demographic_parity", problem.decisions, problem.groups, problem.decisions)
    assert value["fidelity"] == pytest.approx((truth == problem.decisions).mean())
    assert found.details["black_box"]["unfairness"] == pytest.approx(float(own.absolute))
    assert set(found.values) == {metric.name for metric in Fairwashing().metrics}


def test_one_answer_to_all_is_fair_and_untrue(case):
    """Its fidelity is the share of that decision; as a candidate beside a true one it isn't taken
    below the floor."""
    problem = case.problem
    found = scores_of(case, Always(0))
    assert found.values["unfairness"].value == 0
    assert found.values["fidelity"].value == pytest.approx(1 - problem.decisions.mean())
    assert found.values["washability"].value == pytest.approx(0)  # below all floors
    assert found.values["fidelity_at_half"].value >= max(
        problem.decisions.mean(), 1 - problem.decisions.mean()
    )


def test_scores_are_those_of_plain_counts(case):
    """Of one list, on the people who sue and on others."""
    problem, test = case.problem, case.held.test
    fair = rationalize(problem.suing(problem.regions[0]), problem.goal(0.5, 0.005))
    found = scores_of(case, fair)
    for prefix, people in (("", problem), ("test_", test)):
        said = fair.predict(people.columns)
        rates = [said[people.groups == g].mean() for g in (0, 1)]
        assert found.values[f"{prefix}unfairness"].value == pytest.approx(abs(rates[1] - rates[0]))
        fidelity = np.mean(said == people.decisions)
        assert found.values[f"{prefix}fidelity"].value == pytest.approx(fidelity)
    published = found.details["published"]
    assert published["text"] == fair.text(problem.names, problem.class_names).split("\n")
    assert set(published["rates"]) == {"a", "b"}
    for group, name in enumerate(("a", "b")):
        said = fair.predict(test.columns[test.groups == group])
        assert published["test_rates"][name] == pytest.approx(said.mean())
    honest = found.details["honest"]
    assert honest["text"] == case.held.faithful.text(problem.names, problem.class_names).split("\n")


def test_transfer_asks_other_black_boxes():
    """Fidelity to each, mean."""
    task = {"others": (RECIPE, SGD(MLP(widths=(4,)), epochs=1, batch_size=64, learning_rate=0.1))}
    found = case_of(**task)
    assert len(found.held.others) == 2
    column = next(j for j, name in enumerate(found.problem.names) if name.startswith("income >"))
    scores = scores_of(found, OneColumn(column), **task)
    said = found.held.test.columns[:, column]
    wanted = np.mean([(said == other).mean() for other in found.held.others.values()])
    assert scores.values["transfer_fidelity"].value == pytest.approx(wanted)


def test_an_untrue_model_is_caught_and_an_honest_one_seldom(case):
    """By the share of errors: the opposite of the black box always, an honest list rarely."""
    task = {"detectors": (CountsErrors(),)}
    opposite = Says.of(case.problem.columns, 1 - case.problem.decisions)
    caught = scores_of(case, opposite, **task)
    assert caught.values["power_errors"].value == 1
    assert caught.values["auroc_errors"].value == 1
    honest = scores_of(case, case.held.faithful, **task)
    assert honest.values["power_errors"].value <= 0.5
    assert 0.2 < honest.values["auroc_errors"].value < 0.8
    told = honest.details["detectors"]["errors"]
    assert told["level"] <= 0.1
    assert told["low"] <= told["power"] <= told["high"]


def test_auroc_compares_models_about_the_same_people():
    """Pair by pair; a tie counts half."""
    washed, honest = np.array([3.0, 1.0]), np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 9.0]])
    rejected, accused = np.zeros(2, dtype=bool), np.zeros(6, dtype=bool)
    assert Watch(washed, rejected, honest, accused).auroc == pytest.approx((2.5 + 1.5) / 6)
    alone = Watch(washed, rejected, honest[0], accused[:3]).auroc
    assert alone == pytest.approx((2.5 + 0.5) / 6)


def test_the_informed_attacker_gives_up_what_is_caught(case):
    """The evasion cost is the washability that only suspicious candidates have."""
    task = {"detectors": (CountsErrors(),)}
    problem = case.problem
    income = [j for j, name in enumerate(problem.names) if name.startswith("income >")]
    models = [case.held.faithful, *map(OneColumn, income), Always(0)]
    found = scores_of(case, *models, **task)
    candidates = found.details["candidates"]
    kept = [m for m, told in zip(models, candidates, strict=True) if told["power"] <= 0.1]
    careful = scores_of(case, *kept, **task).values["washability"].value if kept else 0.0
    wanted = found.values["washability"].value - careful
    assert found.values["evasion_cost"].value == pytest.approx(max(wanted, 0))


def test_samples_are_as_fair_as_planned(case):
    """Exact counts leave what whole numbers leave; honest samples are as unfair as all."""
    problem = case.problem
    design = PerBin(problem.bins.of, problem.wanted)
    fair = Fairwashing().scores((case,), (Sampling((design,)),))
    planned = problem.bins.disparity(problem.wanted)
    assert fair.values["unfairness"].value == pytest.approx(planned)
    assert fair.details["published"]["largest"] == pytest.approx(planned)
    honest = Sampling((Simple(len(problem.population), problem.audit_size),))
    told = Fairwashing().scores((case,), (honest,))
    own = told.details["black_box"]["unfairness"]
    assert told.values["unfairness"].value == pytest.approx(own, abs=0.1)
    assert told.values["washability"].value < 0.4 < fair.values["washability"].value


def test_detectors_of_samples_have_their_level(case):
    """A sample of positive decisions alone is caught always; an honest one about one in twenty."""
    task = Fairwashing(detectors=(CountsPositives(),))
    problem = case.problem
    positive = problem.decisions[problem.population]
    wanted = np.array([0, problem.audit_size])
    told = task.scores((case,), (Sampling((PerBin(positive, wanted),)),))
    assert told.values["power_counts"].value == 1
    assert told.details["detectors"]["counts"]["level"] <= 0.35


def test_two_answers_are_the_same(case):
    """Scoring draws from the case's own seed."""
    task = Fairwashing(detectors=(CountsPositives(), CountsErrors()))
    sample = Sampling((Simple(len(case.problem.population), case.problem.audit_size),))
    for answer in (sample, Rationalization(((Candidate(case.held.faithful, 1),),))):
        first, second = (task.scores((case,), (answer,)) for _ in range(2))
        assert str(first.values) == str(second.values)
        assert first.details == second.details


def test_each_person_gets_the_fairest_agreeing_model():
    """A model that contradicts the decision that the person knows is none of hers."""
    found = case_of(setting=replace(SETTING, scope="local", users=3))
    problem = found.problem
    answers = tuple((Candidate(Always(1), 1), Candidate(Always(0), 1)) for _ in problem.regions)
    told = Fairwashing().scores((found,), (Rationalization(answers),))
    assert told.values["candidates"].value == 1  # she was rejected
    assert told.values["unfairness"].value == 0
    nobody = tuple((Candidate(Always(1), 1),) for _ in problem.regions)
    bare = Fairwashing().scores((found,), (Rationalization(nobody),))
    assert bare.values["washability"].value == 0
    assert bare.values["unfairness"].value == pytest.approx(bare.details["black_box"]["unfairness"])


def test_other_measures_have_cases_and_scores():
    """Where bins can't be balanced for a measure, samples are refused with the way out."""
    for measure in ("equal_opportunity", "predictive_parity", "equalized_odds"):
        found = case_of(setting=replace(SETTING, measure=measure))
        told, problem = scores_of(found, found.held.faithful), found.problem
        given = problem.decisions, problem.groups, problem.labels
        own = float(disparity(measure, *given).absolute)  # by what is right, not by itself
        assert told.details["black_box"]["unfairness"] == pytest.approx(own)
        assert own > 0
        assert 0 <= told.values["washability"].value <= 1
    with pytest.raises(Unsupported, match="no sample is made fair by predictive_parity"):
        _ = case_of(setting=replace(SETTING, measure="predictive_parity")).problem.wanted


@pytest.mark.parametrize(
    ("data", "changed", "said"),
    [
        (table(sensitive=None), {}, "names no sensitive column"),
        (table(), {"group": "z"}, "no level 'z' of group: there are a, b"),
        (table(), {"group": "a", "other": "z"}, "no level 'z'"),
        (table(sensitive="income"), {}, "wanted as in group='30 to 60'"),
        (table(), {"favourable": "maybe"}, "no class of toy: refused, granted"),
        (table(targets=np.zeros(900, dtype=np.int64)), {}, "all rows have one label"),
        (table(class_names=(), targets=np.arange(900.0)), {}, "predicts a number"),
    ],
)
def test_refused(data, changed, said):
    """Before anything is trained, with what would do."""
    reason = Fairwashing().refuses(data, replace(SETTING, **changed))
    assert reason is not None
    assert said in reason


def test_images_are_refused():
    """They have no groups."""
    pixels = np.zeros((4, 1, 2, 2))
    images = Images("dots", pixels, np.arange(4) % 2, ("no", "yes"), "none", "here")
    assert "not images" in Fairwashing().refuses(images, SETTING)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"split": "percent 60/0/40"}, "leaves the suing group without people"),
        ({"audit_size": 200}, "take a smaller one, or a larger test part"),
    ],
)
def test_a_case_that_cannot_be(changed, said):
    """Too few people for what is asked."""
    with pytest.raises(ValueError, match=said):
        case_of(setting=replace(SETTING, **changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bins": 1}, "wanted at least 2"),
        ({"columns": 63}, "wanted 1 to 62"),
        ({"support": 0.7}, "wanted a share, 0 to 0.5"),
        ({"rate": 1.5}, "wanted a share"),
        ({"honest": -1}, "wanted 0 or more"),
    ],
)
def test_settings_are_checked(changed, said):
    """With what is wanted."""
    with pytest.raises(ValueError, match=said):
        replace(SETTING, **changed)


def test_infeasible_rates_say_how_far_one_can_go(case):
    """More positive decisions than there are."""
    problem = replace(case.problem, rate=1.0, audit_size=len(case.problem.population))
    with pytest.raises(ValueError, match="feasible are rates for all"):
        _ = problem.wanted


def test_decisions_that_never_differ_are_refused():
    """Nothing to explain, nothing to wash."""
    data = table(targets=(np.arange(900) < 5).astype(np.int64))
    with pytest.raises(Unsupported, match="decides the same for all"):
        case_of(data)


def test_answers_are_checked(case):
    """What doesn't fit says what would."""
    task = Fairwashing()
    with pytest.raises(ValueError, match="wanted a Rationalization or a Sampling"):
        check(case.problem, "fair")
    with pytest.raises(ValueError, match="wanted a tuple of them for each of 1"):
        task.scores((case,), (Rationalization(()),))
    with pytest.raises(ValueError, match="no design"):
        task.scores((case,), (Sampling(()),))
    empty = task.scores((case,), (Rationalization(((),)),))
    assert empty.values["washability"].value == 0


def test_samples_are_for_all():
    """One who complains gets a model."""
    problem = toy_problem(scope="local", regions=(Region(np.arange(80), 1),))
    with pytest.raises(Unsupported, match="published for all"):
        problem.check_global()


def test_detectors_have_names_of_their_own():
    """Two of a kind would have one power between them."""
    one, other = Frowns(0.1), Frowns(0.2)
    assert len(Fairwashing((one,)).metrics) == len(Fairwashing().metrics) + 2
    with pytest.raises(ValueError, match="two detectors are called frowns"):
        Fairwashing((one, other))

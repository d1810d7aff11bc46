from dataclasses import dataclass, field, fields, replace
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.clock import Calls
from bench.components import Shelf, build
from bench.data import Column, Samples, Table, split
from bench.rules import Rule, RuleList, mine
from bench.rules.local_search import locally_best
from bench.seeding import stream
from bench.tasks.base import Case, Task, Unsupported, make_setting
from bench.tasks.companion import (
    Companion,
    CompanionProblem,
    CompanionSetting,
    Held,
    Rows,
)
from bench.tasks.companion_case import ALPHAS, validated_alpha

TINY = Companion().tiny()


def table(n: int = 120, n_classes: int = 3) -> Table:
    rng = np.random.default_rng(4)
    values = np.column_stack([rng.normal(size=(n, 2)), np.arange(n)])
    names = tuple(f"class_{k}" for k in range(n_classes))
    columns = (Column("height"), Column("width"), Column("row"))
    return Table("toy", values, columns, rng.integers(0, n_classes, n), names, "none", "here")


@dataclass(frozen=True)
class Remembering:
    """A black box that knows its training rows by heart, and says class 0 to all others."""

    samples: Samples
    calls: Calls = field(default_factory=Calls)
    module: None = None
    trajectory: None = None

    @property
    def n_classes(self) -> int:
        return self.samples.n_classes

    def retrain(self, keep: torch.Tensor) -> list:
        raise ValueError("no")

    def margins(self, inputs: torch.Tensor) -> torch.Tensor:
        same = (inputs[:, None] == self.samples.inputs[None]).all(dim=2)
        wanted = torch.where(same.any(1), self.samples.targets[same.int().argmax(1)], 0)
        return 5.0 * torch.nn.functional.one_hot(wanted, self.n_classes).double()


@dataclass(frozen=True)
class ByHeart:
    fitted: list = field(default_factory=list)
    version: ClassVar[int] = 1
    capabilities: ClassVar[frozenset] = frozenset({"black_box"})

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Remembering:
        self.fitted.append((samples, rng.bit_generator.seed_seq.spawn_key))
        return Remembering(samples)

    def arrays(self, model: Remembering) -> dict[str, np.ndarray]:
        return {}

    def restore(self, arrays: dict[str, np.ndarray], samples: Samples) -> Remembering:
        return Remembering(samples)


def case(data: Table | None = None, recipe=None, **setting) -> Case[CompanionProblem, Held]:
    data = data or table()
    chosen = CompanionSetting(**{"positive": 1, "certificate_seconds": 0, **setting})
    return Companion().case(data, recipe or ByHeart(), chosen, rng=stream(0, "case", data.name))


def literal_value(problem: CompanionProblem, rules: RuleList) -> float:
    """The objective by its definition: points of the curve, rows one by one."""
    train = problem.train
    decided = rules.decided_by(train.literals.values)
    ends = list(range(len(rules) + 1))
    default = None
    if problem.objective == "autac_completed":
        left = train.labels[decided < 0]
        default = problem.majority(left if len(left) else train.labels)
        ends.append(len(rules) + 1)
    points = []
    for depth in ends:
        covered = right = 0
        for place, label, box in zip(decided, train.labels, train.black_box, strict=True):
            by_rule = 0 <= place < depth
            by_default = default is not None and depth > len(rules) and place < 0
            said = rules.labels[place] if by_rule else default if by_default else box
            covered, right = covered + (by_rule or by_default), right + (said == label)
        points.append((covered / len(train), right / len(train)))
    pairs = zip(points, points[1:], strict=False)
    area = sum((a1 + a0) * (t1 - t0) for (t0, a0), (t1, a1) in pairs) / 2
    return area - problem.alpha * len(rules)


@pytest.mark.parametrize("objective", ["autac", "autac_completed"])
def test_the_objective_follows_its_definition(objective: str):
    """Both variants, on random lists of the pool, the empty and the all-covering list."""
    problem = replace(TINY, objective=objective)
    rng = np.random.default_rng(0)
    lists = [(), (Rule(()),), (TINY.pool.rules[0], Rule(()))]
    lists += [tuple(rng.permutation(np.array(TINY.pool.rules))[:4]) for _ in range(20)]
    for rules in map(problem.labelled, lists):
        assert problem.value(rules) == pytest.approx(literal_value(problem, rules), abs=1e-12)


def test_rules_get_the_majority_of_what_they_decide():
    """Not of all that they cover: the same rule says something else further down. Ties: 0."""
    for rules in permutations(TINY.pool.rules[:4], 2):
        found = TINY.labelled(rules)
        decided = found.decided_by(TINY.train.literals.values)
        for place, label in enumerate(found.labels):
            assert label == TINY.majority(TINY.train.labels[decided == place])
    assert TINY.majority(np.array([0, 1])) == TINY.majority(np.array([], dtype=int)) == 0


def test_no_training_row_is_predicted_by_a_model_that_saw_it():
    """A box that knows its rows by heart is right on none of the others: cross-fitting shows."""
    recipe = ByHeart()
    problem = case(recipe=recipe).problem
    assert (problem.train.black_box == 0).all()
    full, *halves = [samples for samples, _ in recipe.fitted]
    assert len(full) == len(problem.train) == sum(map(len, halves))
    one, two = ({tuple(row) for row in half.inputs.tolist()} for half in halves)
    assert not one & two
    for label in range(3):
        sizes = [int((half.targets == label).sum()) for half in halves]
        assert abs(sizes[0] - sizes[1]) <= 1


def test_the_full_model_is_the_one_that_other_tasks_train():
    """It is fitted with the third generator of the case, untouched: caches are shared."""
    recipe = ByHeart()
    case(recipe=recipe)
    keys = [key for _, key in recipe.fitted]
    assert keys[0] == stream(0, "case", "toy").spawn(4)[2].bit_generator.seed_seq.spawn_key
    assert len(set(keys)) == 3


def test_confidence_is_the_probability_of_what_the_box_says():
    """Class 0 with odds e^5 : 1 : 1; label 0 stands for classes 0 and 2 together."""
    odds = np.exp(5.0)
    np.testing.assert_allclose(case().problem.confidence, (odds + 1) / (odds + 2))


def test_test_rows_never_reach_the_problem():
    """Train and test share no row, the pool's captures are those of the training rows."""
    made = case()
    train, test = made.problem.train, made.held.test
    assert len(train) + len(test) == 120
    assert len(made.problem.confidence) == len(train)
    assert train.literals.names == test.literals.names


@pytest.mark.parametrize("positive", [2, "class_2"])
def test_a_class_against_the_rest(positive: int | str):
    """By name or index; the rest is called so."""
    problem = case(positive=positive).problem
    assert problem.class_names == ("not class_2", "class_2")
    assert problem.train.labels.mean() == pytest.approx((table().targets == 2).mean(), abs=0.02)


def test_two_classes_need_no_choice():
    data = table(n_classes=2)
    assert Companion().refuses(data, CompanionSetting()) is None
    assert case(data, positive=None).problem.class_names == ("class_0", "class_1")
    assert case(data, positive=0).problem.class_names == ("class_1", "class_0")


@pytest.mark.parametrize("objective", ["autac", "autac_completed"])
def test_every_class_is_a_label_where_none_is_chosen(objective: str):
    """Three labels: the same objective by its definition, by the task and by the pool's bits."""
    problem = case(positive=None, objective=objective).problem
    assert problem.class_names == ("class_0", "class_1", "class_2")
    assert set(problem.train.labels.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(problem.confidence, np.exp(5) / (np.exp(5) + 2))
    rng = np.random.default_rng(0)
    for length in range(5):
        places = rng.permutation(len(problem.pool.rules))[:length].tolist()
        rules = problem.listed(places)
        assert problem.value(rules) == pytest.approx(literal_value(problem, rules), abs=1e-12)
        whole = problem.ground.value(places) / problem.ground.scale
        assert problem.value(rules) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(
    ("data", "positive", "reason"),
    [
        (table(), 7, "positive=7 is no class of toy"),
        (table(), "class_9", "positive='class_9' is no class of toy"),
        (replace(table(), class_names=(), targets=np.arange(120.0)), None, "predicts a number"),
        (replace(table(), targets=np.zeros(120, dtype=int)), 0, "all rows have one label"),
    ],
)
def test_what_has_no_case_is_refused_with_the_way_out(data, positive, reason: str):
    assert reason in Companion().refuses(data, CompanionSetting(positive=positive))


def test_no_rule_with_enough_support():
    """Two literals cover at most six of seven parts each."""
    with pytest.raises(Unsupported, match="no rule covers 99% of the training rows"):
        case(min_support=0.99)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="bins=1: wanted at least 2"):
        CompanionSetting(bins=1)
    with pytest.raises(ValueError, match="min_support=0: wanted a share above 0"):
        CompanionSetting(min_support=0)
    with pytest.raises(ValueError, match="certificate_seconds=-1: wanted at least 0"):
        CompanionSetting(certificate_seconds=-1)


def test_the_yaml_lists_every_field_with_its_default():
    config = Shelf().config("task", "companion")
    defaults = config.pop("setting")
    assert isinstance(build(config), Task)
    assert make_setting(CompanionSetting, defaults, {}, "setting") == CompanionSetting()
    assert set(defaults) == {f.name for f in fields(CompanionSetting)}


def scored(rules: RuleList, problem: CompanionProblem = TINY) -> dict[str, float]:
    found = Companion().scores((Case(problem, Held(problem.train)),), (rules,))
    assert set(found.values) == {metric.name for metric in Companion.metrics}
    return {name: score.value for name, score in found.values.items()}


def test_scores_of_no_rule():
    """The area is that of the default rule alone, the normalised one the black box's accuracy."""
    found = scored(RuleList((), ()))
    accuracy = (TINY.train.black_box == TINY.train.labels).mean()
    by_default = max(TINY.train.labels.mean(), 1 - TINY.train.labels.mean())
    assert found["autac"] == found["length"] == found["transparency"] == 0
    assert found["autac_normalised"] == pytest.approx(accuracy)
    assert found["autac_completed"] == pytest.approx((accuracy + by_default) / 2)
    assert found["accuracy_at_50"] == pytest.approx((accuracy + by_default) / 2)


def test_scores_of_a_rule_for_all():
    """All three areas are one, and the objective is one alpha below."""
    found = scored(TINY.labelled([Rule(())]))
    assert found["autac"] == found["autac_completed"] == found["autac_normalised"]
    assert found["train_objective"] == pytest.approx(found["autac"] - TINY.alpha)
    assert (found["transparency"], found["length"], found["literals"]) == (1, 1, 0)


def test_the_default_rule_is_learned_from_training_rows():
    """Test rows of the other label are then wrong at T = 1."""
    ones = replace(TINY.train, labels=np.ones(64, dtype=int), black_box=np.ones(64, dtype=int))
    case_ = Case(TINY, Held(ones))
    details = Companion().scores((case_,), (RuleList((), ()),)).details
    assert details["default"] == "no"
    assert details["accuracy"] == [1.0, 0.0]


def test_details_are_the_completed_curve_and_the_list_as_text():
    rules = TINY.labelled([Rule((0, 2)), *TINY.pool.rules[:2]])
    details = Companion().scores((Case(TINY, Held(TINY.train)),), (rules,)).details
    assert details["transparency"] == details["train_transparency"]
    assert len(details["accuracy"]) == 5
    assert details["transparency"][-1] == 1
    assert details["rules"][0] == "a and b -> yes"
    assert details["black_box_accuracy"] == pytest.approx(51 / 64)


@pytest.mark.parametrize(
    "rules",
    [RuleList((Rule((0,)),), (-1,)), RuleList((Rule((8,)),), (1,))],
    ids=["label", "literal"],
)
def test_a_list_that_makes_no_sense_is_named(rules: RuleList):
    with pytest.raises(ValueError, match="not|no"):
        scored(rules)


def test_images_have_a_case():
    """Digits, one against the rest, with a linear network as the black box."""
    shelf = Shelf()
    data = build(shelf.config("dataset", "digits")).load()
    recipe = build(shelf.config("model", "logistic"))
    problem = case(data, recipe, positive=0, bins=2).problem
    assert problem.class_names == ("not 0", "0")
    assert (problem.train.black_box == problem.train.labels).mean() > 0.97
    assert len(problem.pool.rules) == 400


def test_rows_of_one_label_are_unsupported():
    """Where the split leaves one label only."""
    data = table(n_classes=2)
    rare = replace(data, targets=(np.arange(120) == 119).astype(int))
    with pytest.raises(Unsupported, match="all training rows have one label"):
        case(rare, positive=1, split="rows 20/0/20")


def test_rows_know_their_number():
    assert len(Rows(TINY.train.literals, TINY.train.labels, TINY.train.black_box)) == 64


def test_each_area_is_that_of_its_own_rows():
    """Test rows unlike the training rows: both against the literal area of their own."""
    order = np.random.default_rng(0).permutation(64)[:30]
    labels = 1 - TINY.train.labels[order]
    test = Rows(TINY.train.literals.rows(order), labels, np.arange(30) % 2)
    rules = TINY.labelled(TINY.pool.rules[:3])
    found = Companion().scores((Case(TINY, Held(test)),), (rules,)).values
    free = replace(TINY, objective="autac", alpha=0.0)
    for prefix, rows in (("train_", TINY.train), ("", test)):
        area = literal_value(replace(free, train=rows), rules)
        reach = (rules.decided_by(rows.literals.values) >= 0).mean()
        assert 0 < reach < 1
        assert found[f"{prefix}autac"].value == pytest.approx(area)
        assert found[f"{prefix}autac_normalised"].value == pytest.approx(area / reach)
    whole = literal_value(replace(free, objective="autac_completed"), rules)
    assert found["train_autac_completed"].value == pytest.approx(whole)
    assert found["train_autac"].value != pytest.approx(found["autac"].value)


def test_encoding_and_literals_are_learned_from_training_rows():
    """Test rows of a million change no bit of training inputs, literals and pool."""
    data = table()
    parts = split(data, CompanionSetting().split, rng=stream(0, "case", "toy").spawn(4)[0])
    values = data.values.copy()
    values[parts.test] = 1e6
    recipes = ByHeart(), ByHeart()
    one, other = (
        case(rows, recipe)
        for rows, recipe in zip((data, replace(data, values=values)), recipes, strict=True)
    )
    for (ours, _), (theirs, _) in zip(recipes[0].fitted, recipes[1].fitted, strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
    literals, same = one.problem.train.literals, other.problem.train.literals
    assert literals.names == same.names
    np.testing.assert_array_equal(literals.values, same.values)
    assert one.problem.pool.rules == other.problem.pool.rules
    assert other.held.test.literals.values[:, ::2].all()


def test_the_certificate_speaks_of_the_list_that_is_scored():
    """The pool's best short list has no gap at its length; a worse one is a local optimum."""
    made = case(table(n_classes=2), positive=None, per_label=4, certificate_seconds=60)
    certificate = made.held.certificate
    best = made.problem.listed(certificate.lists[-1])
    found = Companion().scores((made,), (best,))
    assert certificate.any_length
    assert found.values["gap"].value == 0
    assert found.values["proved_length"].value == certificate.proved
    proof = found.details["certificate"]
    assert proof["status"] == "proved optimal, any number of rules"
    assert proof["optima"][-1] == pytest.approx(found.details["train_objective"])
    worse = Companion().scores((made,), (made.problem.listed(range(8)),)).values
    assert worse["proved_length"].value < certificate.proved
    assert worse["gap"].value > 0


def test_no_certificate_where_none_is_asked_for():
    made = case(certificate_seconds=0)
    found = Companion().scores((made,), (RuleList((), ()),)).values
    assert np.isnan(found["gap"].value)
    assert found["gap"].note == "certificate_seconds=0"


def test_alpha_is_validated_on_rows_that_no_list_was_found_on():
    """The area of each alpha's lists on the held third, summed over thirds, by the definition;
    the setting's `alpha: null` chooses so, and the record tells which."""
    setting = CompanionSetting(positive=1, per_label=5)
    rows = case(per_label=5).problem.train
    third = np.random.default_rng(3).permutation(np.arange(len(rows)) % 3)
    areas = []
    for alpha in ALPHAS:
        area = 0.0
        for held in range(3):
            kept, rest = rows.at(third != held), rows.at(third == held)
            pool = mine(kept.literals, kept.labels, min_support=0.05, max_conditions=2, per_label=5)
            names = ("no", "yes")
            given = CompanionProblem(
                kept, np.ones(len(kept)), pool, names, "autac_completed", alpha
            )
            _, found = locally_best(given.ground, (), longest=20)
            rules = given.listed(found)
            decided = rules.decided_by(rest.literals.values)
            said = np.append(rules.labels, given.default(rules))[decided]
            depths = range(len(rules) + 2)
            right = [
                np.where((decided >= 0) & (decided < depth), said, rest.black_box)
                for depth in depths[:-1]
            ] + [said]
            heights = [(guess == rest.labels).mean() for guess in right]
            reach = [((decided >= 0) & (decided < depth)).mean() for depth in depths[:-1]] + [1.0]
            area += np.trapezoid(heights, reach)
        areas.append(area)
    chosen = validated_alpha(rows, ("no", "yes"), setting, np.random.default_rng(3))
    assert chosen == ALPHAS[int(np.argmax(np.round(areas, 12)))]
    made = case(alpha=None, per_label=5)
    details = Companion().scores((made,), (RuleList((), ()),)).details
    assert details["alpha"] == made.problem.alpha
    assert made.problem.alpha in ALPHAS


def test_transparency_by_group():
    """A rule that covers men alone: the disparity is one; groups of a few rows don't count."""
    base = table(200, n_classes=2)
    sex = np.arange(200) % 2
    values = np.column_stack([base.values[:, :2], sex])
    columns = (*base.columns[:2], Column("sex", ("male", "female")))
    data = replace(base, values=values, columns=columns, sensitive="sex")
    made = case(data, positive=None, split="rows 100/0/100")
    male = next(
        rule
        for rule in made.problem.pool.rules
        if rule.text(made.problem.train.literals.names) == "sex = male"
    )
    found = Companion().scores((made,), (made.problem.labelled([male]),))
    assert found.details["transparency_by_group"] == {"male": 1.0, "female": 0.0}
    assert found.values["coverage_disparity"].value == 1
    assert np.isnan(scored(TINY.labelled([Rule(())]))["coverage_disparity"])


def test_covered_rows_are_those_of_the_same_sample_for_every_seed():
    """Against the rule itself on rows of the whole data, whatever the split."""
    data = table(n_classes=2)
    rows = np.sort(np.random.default_rng(0).permutation(120)[:1000])
    for seed in (0, 1):
        setting = CompanionSetting(certificate_seconds=0)
        made = Companion().case(data, ByHeart(), setting, rng=stream(seed, "case", data.name))
        rules = made.problem.listed([0])
        details = Companion().scores((made,), (rules,)).details
        packed = np.frombuffer(bytes.fromhex(details["covered"]["bits"]), dtype=np.uint8)
        told = np.unpackbits(packed, count=details["covered"]["rows"]).astype(bool)
        np.testing.assert_array_equal(told, rules.decided_by(made.held.sample.values) >= 0)
        assert len(told) == len(rows)

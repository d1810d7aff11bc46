import itertools
import json
import math
import pickle
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.clock import Calls
from bench.components import Shelf, build
from bench.data import Column, Images, Samples, Table, encode, split
from bench.models.forest import Forest
from bench.models.influence import sgd_influence
from bench.models.network import MLP, with_parameters
from bench.models.sgd import SGD
from bench.models.trained import Trained
from bench.rules import Rule, binarize
from bench.scores.data_influence import area
from bench.seeding import stream
from bench.setfunction.partition import Partition, partition
from bench.tasks.base import Unsupported, make_setting
from bench.tasks.unified import (
    Columns,
    DataRanking,
    FeatureRanking,
    Unified,
    UnifiedProblem,
    UnifiedSetting,
    UnifiedTask,
    read,
    show,
)
from bench.tasks.unified_retraining import Retraining, grid
from bench.tasks.unified_truth import Orders, Truth, best_known

TASK = UnifiedTask()
TINY = TASK.tiny()
RECIPE = SGD(MLP((4,), "softplus"), epochs=3, batch_size=8, learning_rate=0.3)
SMALL = {
    "split": "percent 50/0/50",
    "instances": 5,
    "removed": 20.0,
    "steps": 4,
    "random_orders": 6,
    "search": 300,
    "bins": 3,
    "per_label": 10,
}


def table(n: int = 80) -> Table:
    """Three classes that two numbers and a category tell apart, more or less."""
    rng = np.random.default_rng(3)
    targets = np.arange(n) % 3
    colour = np.where(rng.random(n) < 0.7, targets, rng.integers(3, size=n))
    values = np.column_stack(
        [rng.normal(size=n) + targets, colour, rng.normal(size=n) - targets, rng.normal(size=n)]
    )
    columns = (Column("height"), Column("colour", ("red", "green", "blue")), Column("width"))
    columns = (*columns, Column("noise"))
    return Table("toy", values, columns, targets, ("ash", "birch", "cedar"), "none", "here")


def made(data=None, recipe=RECIPE, **setting):
    data = data or table()
    chosen = UnifiedSetting(**{**SMALL, **setting})
    return TASK.case(data, recipe, chosen, rng=stream(0, "case", data.name))


CASE = made()
PROBLEM, HELD = CASE.problem, CASE.held


def scored(explanation, case=CASE):
    found = TASK.scores((case,), (explanation,))
    assert set(found.values) == {metric.name for metric in TASK.metrics}
    json.dumps(found.details)
    return found


def random_orders(n: int, n_train: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, n_train)).argsort(axis=1)


# The case


def test_a_recorded_run_of_another_machine_is_refused():
    """One bit of one step, as another processor's rounding leaves it, in a run from the cache."""

    @dataclass(frozen=True)
    class Elsewhere(SGD):
        def fit(self, samples, *, rng):
            network = super().fit(samples, rng=rng)
            snapshots = network.trajectory.snapshots.clone()
            snapshots[5, 0] = torch.nextafter(snapshots[5, 0], torch.tensor(9.0))
            return replace(network, trajectory=replace(network.trajectory, snapshots=snapshots))

    with pytest.raises(ValueError, match="first differs from the recorded run at step 4"):
        made(recipe=Elsewhere(MLP((4,))))


def test_the_companion_sees_the_rows_that_the_model_was_trained_on():
    """Same rows, classes and literals, and the query points' literals are their own."""
    data = table()
    chosen = UnifiedSetting(**SMALL)
    parts = split(data, chosen.split, rng=stream(0, "case", "toy").spawn(4)[0])
    literals = binarize(data, parts.train, chosen.bins)
    np.testing.assert_array_equal(
        PROBLEM.companion.train.literals.values, literals.values[parts.train]
    )
    np.testing.assert_array_equal(PROBLEM.companion.train.labels, data.targets[parts.train])
    np.testing.assert_array_equal(PROBLEM.train.targets.numpy(), data.targets[parts.train])
    rows = [int(np.flatnonzero((data.values == row).all(1))[0]) for row in PROBLEM.columns.queries]
    assert set(rows) <= set(parts.test.tolist())
    np.testing.assert_array_equal(PROBLEM.queries.values, literals.values[rows])
    np.testing.assert_array_equal(HELD.labels, data.targets[rows])
    encoded = encode(data, parts.train).samples.inputs[rows]
    assert torch.equal(PROBLEM.features.inputs, encoded)
    np.testing.assert_array_equal(PROBLEM.columns.train, data.values[parts.train])


def test_the_full_model_is_the_one_that_other_tasks_train():
    """It is fitted with the third generator of the case: caches are shared."""
    expected = stream(0, "case", "toy").spawn(4)[2]
    assert torch.equal(
        PROBLEM.model.trajectory.final, RECIPE.fit(PROBLEM.train, rng=expected).trajectory.final
    )


def test_predicted_classes_are_asked_for():
    """c is what the model says, whatever is true."""
    with torch.no_grad():
        predicted = PROBLEM.model.margins(PROBLEM.features.inputs).argmax(1)
    assert torch.equal(PROBLEM.features.targets, predicted)


def test_true_labels_never_reach_a_method():
    """No part of the problem is a `Samples` of the query points."""
    parts = [getattr(PROBLEM, f.name) for f in fields(PROBLEM)]
    assert sum(isinstance(part, Samples) for part in parts) == 1
    assert pickle.loads(pickle.dumps(PROBLEM)).n == PROBLEM.n
    assert not hasattr(PROBLEM.columns, "labels")


def test_all_rows_where_there_are_fewer_than_asked():
    assert made(instances=1000, search=0).problem.n == 40


def test_images_have_a_case():
    """Pixels are columns of their own; a partition of blocks makes features of them."""
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    pixels = np.clip(rng.random((60, 1, 2, 2)) / 2 + targets[:, None, None, None] / 2, 0, 1)
    data = Images("dots", pixels, targets, ("dark", "light"), "", "")
    case = made(data, partition="pixels", search=0)
    assert case.problem.columns.named == ()
    assert "labelled" in show(DataRanking(random_orders(5, 30)), case.problem, 0, "data")
    scored(DataRanking(random_orders(5, 30)), case)


# Bad input


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"transparency": 1.2}, "transparency=1.2: wanted a share"),
        ({"transparency": -0.1}, "transparency=-0.1"),
        ({"removed": 100.0}, "removed=100.0: wanted a percentage above 0 and below 100"),
        ({"removed": 0.0}, "removed=0.0"),
        ({"steps": 0}, "steps=0: wanted at least 1"),
        ({"search": -1}, "search=-1: wanted at least 0"),
        ({"instances": 0}, "instances=0: wanted at least 1"),
        ({"bins": 1}, "bins=1: wanted at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, reason: str):
    with pytest.raises(ValueError, match=reason):
        UnifiedSetting(**wrong)


def test_k_must_be_a_row_and_leave_one():
    with pytest.raises(ValueError, match="1 % of 40 training rows are 0, wanted at least 1"):
        made(removed=1.0)
    with pytest.raises(ValueError, match="99 % of 10 training rows are 10, wanted at least 1"):
        grid(99.0, 4, 10)
    for removed in (0, len(PROBLEM.train)):
        with pytest.raises(ValueError, match=f"removed={removed} of 40 training rows"):
            replace(PROBLEM, removed=removed)


def test_a_model_that_can_not_be_trained_again_is_unsupported():
    with pytest.raises(Unsupported, match="trains again without rows"):
        made(recipe=Trained(MLP((4,)), epochs=1))


def test_numbers_are_refused():
    data = replace(table(), class_names=(), targets=np.arange(80.0))
    assert "needs classes" in (TASK.refuses(data, UnifiedSetting()) or "")
    assert TASK.refuses(table(), UnifiedSetting()) is None
    assert "is a table" in (TASK.refuses(table(), UnifiedSetting(partition="blocks 2")) or "")


def test_a_split_without_test_rows_is_refused():
    with pytest.raises(ValueError, match="leaves no test rows"):
        made(split="percent 100/0/0")


def test_a_companion_of_other_rows_is_refused():
    other = replace(PROBLEM.companion.train, labels=1 - PROBLEM.companion.train.labels % 2)
    with pytest.raises(ValueError, match="the companion's training rows are others"):
        replace(PROBLEM, companion=replace(PROBLEM.companion, train=other))


TWICE = np.zeros((TINY.n, len(TINY.train)), dtype=int)


@pytest.mark.parametrize(
    ("explanation", "reason"),
    [
        (Unified(), "neither side"),
        ("because", "answered with str"),
        (FeatureRanking(np.zeros((2, 5))), r"shape \(2, 5\): wanted \(4, 5\)"),
        (FeatureRanking(np.full((4, 5), np.nan)), "all finite"),
        (DataRanking(TWICE), "each training row once"),
        (Unified(data=DataRanking(TWICE[:2])), r"shape \(2, 40\): wanted \(4, 40\)"),
        (Unified(FeatureRanking(np.zeros((4, 5))), says=np.full(4, 2)), "4 classes of 0 to 1"),
        (Unified(FeatureRanking(np.zeros((4, 5))), reasons=("a",)), "1 reasons for 4"),
    ],
)
def test_answers_that_make_no_sense_are_named(explanation, reason: str):
    with pytest.raises(ValueError, match=reason):
        read(explanation, TINY)


# Columns


def test_every_literal_knows_its_column():
    """By its name; a category's is the first of its one-hot inputs."""
    names, columns = PROBLEM.queries.names, PROBLEM.columns
    assert len(columns.of_literal) == len(names)
    for name, column in zip(names, columns.of_literal, strict=True):
        assert name.startswith(f"{columns.named[column].name} ")
    np.testing.assert_array_equal(columns.position, [0, 1, 4, 5])
    np.testing.assert_array_equal(columns.features(PROBLEM.features.partition, 0), np.arange(4))


def test_literals_of_grouped_columns_belong_to_the_group():
    """`height` and `noise` are one feature, `colour` and `width` another."""
    data = table()
    rows, encoding = np.arange(80), encode(data, np.arange(80))
    parts = partition("groups height, noise | colour, width", data, encoding)
    columns = Columns.of(data, encoding, rows, rows[:3], 3)
    np.testing.assert_array_equal(columns.features(parts, 0), [0, 1, 1, 0])


def test_pixels_of_images_that_are_parted_one_by_one():
    """Each image has features of its own: the same pixel belongs to another one."""
    rng = np.random.default_rng(0)
    data = Images("noise", rng.random((20, 2, 3, 2)), np.arange(20) % 2, ("a", "b"), "", "")
    rows = np.arange(20)
    encoding = encode(data, rows)
    columns = Columns.of(data, encoding, rows, rows[:2], 2)
    names = binarize(data, rows, 2).names
    for name, column in zip(names, columns.of_literal, strict=True):
        channel, row, place = np.unravel_index(column, (2, 3, 2))
        assert name.startswith(f"pixel {row},{place} of channel {channel} ")
    own = torch.from_numpy(rng.integers(3, size=(2, 2, 3, 2)))
    parts = Partition(own, ("0", "1", "2"), own=True)
    for query in range(2):
        np.testing.assert_array_equal(columns.features(parts, query), own[query].flatten())


def test_features_of_a_rule():
    """Two conditions on the category and one on a number: two features."""
    names = list(PROBLEM.queries.names)
    wanted = ["colour = red", "colour != blue", "width <= "]
    rule = Rule(tuple(next(i for i, n in enumerate(names) if n.startswith(w)) for w in wanted))
    np.testing.assert_array_equal(PROBLEM.features_of(rule, 0), [1, 2])
    assert len(PROBLEM.features_of(Rule(()), 0)) == 0


# Retraining


def literally_trained(problem: UnifiedProblem, keep: np.ndarray) -> np.ndarray:
    """f_c(x) by SGD written out: one model, one batch at a time, left-out rows skipped."""
    trajectory = problem.model.trajectory
    schedule, train = trajectory.schedule, problem.train
    theta = trajectory.snapshots[0]
    for t in range(len(schedule)):
        module = with_parameters(problem.model.module, theta)
        batch = schedule.batch(t)
        rows = [int(row) for row in batch if keep[row]]
        if rows:
            losses = torch.nn.functional.cross_entropy(
                module(train.inputs[rows]), train.targets[rows], reduction="sum"
            )
            gradients = torch.autograd.grad(losses / len(batch), list(module.parameters()))
            theta = theta - schedule.rates[t] * torch.cat([g.flatten() for g in gradients])
    with torch.no_grad():
        margins = with_parameters(problem.model.module, theta)(problem.features.inputs).double()
    chances = margins.softmax(1)
    return np.array(
        [float(row[c]) for row, c in zip(chances, problem.features.targets, strict=True)]
    )


def test_curves_are_those_of_models_trained_one_by_one():
    """G(k) along two orders of each query point, against plain SGD without the first k rows."""
    retraining = HELD.data.retraining
    orders = np.stack([random_orders(5, 40, seed) for seed in (0, 1)], axis=1)
    found = retraining.curves(orders[..., :8])
    assert retraining.counts == (0, 2, 4, 6, 8)
    for query, order in itertools.product(range(5), range(2)):
        for level, count in enumerate(retraining.counts):
            keep = np.ones(40, dtype=bool)
            keep[orders[query, order, :count]] = False
            wanted = literally_trained(PROBLEM, keep)[query]
            assert found[query, order, level] == pytest.approx(wanted, abs=2e-6)


def test_drops_are_the_full_model_minus_one_row():
    drops = HELD.data.retraining.drops()
    full = literally_trained(PROBLEM, np.ones(40, dtype=bool))
    for row in (0, 17, 39):
        wanted = full - literally_trained(PROBLEM, np.arange(40) != row)
        np.testing.assert_allclose(drops[:, row], wanted, atol=4e-6)


def test_a_forest_is_grown_again_with_its_seed():
    """Without a recorded run: the same recipe on the rows that are kept."""
    case = made(recipe=Forest(5, 4, 2), search=0, random_orders=2)
    problem, retraining = case.problem, case.held.data.retraining
    heads = random_orders(5, 40)[:, None, :8]
    found = retraining.curves(heads)
    for query, count in ((0, 2), (3, 8)):
        kept = np.setdiff1d(np.arange(40), heads[query, 0, :count])
        grown = Forest(5, 4, 2).grow(problem.train.rows(kept), problem.model.seed)
        chances = grown.margins(problem.features.inputs).softmax(1)
        wanted = float(chances[query, problem.features.targets[query]])
        level = retraining.counts.index(count)
        assert found[query, 0, level] == pytest.approx(wanted, abs=1e-12)
    values = scored(DataRanking(random_orders(5, 40)), case).values
    assert values["data_influence"].n > 0


@dataclass(frozen=True)
class Counting:
    """A model whose probability of class 1 falls by the weights of the rows that are gone."""

    weights: np.ndarray
    asked: list = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    n_classes: ClassVar[int] = 2
    module: ClassVar[None] = None
    trajectory: ClassVar[None] = None

    def margins(self, inputs: torch.Tensor) -> torch.Tensor:
        return Counted(0.0).margins(inputs)

    def retrain(self, keep: torch.Tensor) -> list["Counted"]:
        self.asked.append(len(keep))
        return [Counted(float(self.weights[~rows.numpy()].sum())) for rows in keep]


@dataclass(frozen=True)
class Counted:
    lost: float
    calls: Calls = field(default_factory=Calls)
    n_classes: ClassVar[int] = 2
    module: ClassVar[None] = None
    trajectory: ClassVar[None] = None

    def retrain(self, keep: torch.Tensor) -> list:
        raise ValueError("once is enough")

    def margins(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logit 2 - what was lost, times the input: each query point has its own pace."""
        logit = 2 - self.lost * inputs[:, 0].double()
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def counting(weights: np.ndarray, counts: tuple[int, ...]) -> Retraining:
    rows = Samples(torch.zeros(len(weights), 1), torch.arange(len(weights)) % 2, 2)
    return Retraining(
        Counting(weights), torch.tensor([[1.0], [0.5]]), torch.tensor([1, 1]), rows, counts
    )


def test_what_is_asked_twice_is_trained_once():
    """Two query points, three orders of which two remove the same rows at their ends."""
    retraining = counting(np.arange(8.0), (0, 1, 2))
    orders = np.array([[0, 1], [1, 0], [2, 3]])
    retraining.curves(np.broadcast_to(orders, (2, 3, 2)))
    assert sum(retraining.model.asked) == 1 + 3 + 2


def test_what_a_row_brings_beside_the_others():
    """For a row of the head that of putting it back, for another that of removing it, too."""
    retraining = counting(np.arange(6.0), (0, 1, 2))
    heads = np.array([[4, 1], [0, 2]])
    brought = retraining.brought(heads, np.array([[4, 1, 3], [0, 2, 5]]))

    def f(query: int, *removed: int) -> float:
        logit = 2 - sum(removed) * (1.0, 0.5)[query]
        return 1 / (1 + math.exp(-logit))

    wanted = [[f(0, 1) - f(0, 4, 1), f(0, 4) - f(0, 4, 1), f(0, 4, 1) - f(0, 4, 1, 3)]]
    wanted += [[f(1, 2) - f(1, 0, 2), f(1, 0) - f(1, 0, 2), f(1, 0, 2) - f(1, 0, 2, 5)]]
    np.testing.assert_allclose(brought[0, [4, 1, 3]], wanted[0], atol=1e-12)
    np.testing.assert_allclose(brought[1, [0, 2, 5]], wanted[1], atol=1e-12)
    assert np.isneginf(brought[0, [0, 2, 5]]).all()


# The best known


def test_additive_effects_are_found_exactly():
    """Where rows add up, the largest weights in falling order are the best, and are found."""
    weights = np.random.default_rng(0).normal(size=12)
    truth = Truth.of(counting(weights, (0, 1, 2, 3)), 4, 0, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(truth.best.heads, np.tile(np.argsort(-weights)[:3], (2, 1)))


def test_the_best_known_is_the_best_of_all_orders_of_a_small_network():
    """All 132 orders of two of twelve rows, each query point for itself."""
    data = table(24)
    case = made(data, removed=17.0, steps=2, search=3000, per_label=4, min_support=0.1)
    retraining, best = case.held.data.retraining, case.held.data.best
    assert retraining.counts == (0, 1, 2)
    every = np.array(list(itertools.permutations(range(12), 2)))
    areas = area(retraining.curves(np.broadcast_to(every, (5, *every.shape))), retraining.counts)
    np.testing.assert_allclose(best.areas, areas.min(axis=1), atol=1e-9)


def test_a_longer_search_is_never_worse_and_never_beaten_by_its_starts(
    monkeypatch: pytest.MonkeyPatch,
):
    retraining = HELD.data.retraining
    heads = random_orders(5, 40)[:, None, :8]
    start = Orders.best_of(heads, retraining.curves(heads), retraining.counts)
    # As the search itself finds them: in another batch of networks float32 may round otherwise.
    tried, curves = [], Retraining.curves

    def recorded(self: Retraining, heads: np.ndarray) -> np.ndarray:
        found = curves(self, heads)
        tried.append((heads, area(found, self.counts)))
        return found

    monkeypatch.setattr(Retraining, "curves", recorded)
    areas = []
    for search in (0, 400, 1500):
        tried.clear()
        found = best_known(retraining, start, search, rng=np.random.default_rng(0))
        areas.append(found.areas)
        assert all((found.areas <= of_orders.min(axis=1)).all() for _, of_orders in tried)
        alone = np.argsort(-retraining.drops(), axis=1, kind="stable")[:, :8]
        first_tried = tried[0][0]
        assert (first_tried == alone[:, None]).all(axis=-1).any(axis=1).all()
    assert (areas[0] <= start.areas).all()
    assert (areas[1] <= areas[0]).all()
    assert (areas[2] <= areas[1]).all()
    assert (areas[2] < areas[0]).any()


def test_chance_is_the_mean_over_the_random_orders_and_no_better_than_the_best():
    truth = HELD.data
    assert truth.chance.shape == (5, 5)
    assert (truth.best.areas < truth.chance_areas).all()
    np.testing.assert_allclose(truth.chance[:, 0], truth.best.curves[:, 0])


# Scores


def test_the_best_known_order_scores_one():
    heads = HELD.data.best.heads
    rest = [np.setdiff1d(np.arange(40), head) for head in heads]
    order = np.array([[*head, *left] for head, left in zip(heads, rest, strict=True)])
    found = scored(DataRanking(order))
    np.testing.assert_allclose(found.details["data_influence"], 1)
    assert found.values["data_influence"].value == pytest.approx(1)


def test_random_orders_score_about_nothing():
    """The mean over 25 of them is 0 within four standard errors, chance's own among them."""
    found = [scored(DataRanking(random_orders(5, 40, seed))).values for seed in range(25)]
    values = np.array([f["data_influence"].value for f in found])
    truth, drawn = HELD.data, random_orders(100, 40)[:, :8]
    curves = truth.retraining.curves(np.broadcast_to(drawn, (5, 100, 8)))
    spread = area(curves, truth.retraining.counts).std(axis=1) / np.sqrt(SMALL["random_orders"])
    own = (spread / (truth.chance_areas - truth.best.areas)).mean()
    assert abs(values.mean()) < 4 * np.hypot(values.std() / 5, own) < 1


def test_ideal_influence_by_its_definition():
    """J(pi) / max J over all orders, F by masked inputs written out, without ties."""
    problem = PROBLEM.features
    baseline = problem.reference.draws[0, 0]
    membership = problem.partition.membership

    def value(query: int, deleted: tuple[int, ...]) -> float:
        gone = torch.tensor([int(f) in deleted for f in membership])
        row = torch.where(gone, baseline, problem.inputs[query])
        with torch.no_grad():
            return float(problem.model.margins(row[None]).softmax(1)[0, problem.targets[query]])

    def influence(query: int, order: tuple[int, ...]) -> float:
        def under(path: tuple[int, ...]) -> float:
            curve = [value(query, path[:k]) for k in range(5)]
            return float(np.trapezoid(curve)) / 4

        return under(order[::-1]) - under(order)

    values = np.random.default_rng(2).random((5, 4))
    found = scored(FeatureRanking(values)).details["ideal_influence"]
    for query in range(5):
        best = max(influence(query, order) for order in itertools.permutations(range(4)))
        mine = influence(query, tuple(np.argsort(-values[query]).tolist()))
        assert found[query] == pytest.approx(mine / best, abs=1e-5)


def test_what_ties_throughout_is_at_chance():
    found = scored(FeatureRanking(np.zeros((5, 4)))).values
    assert found["ideal_influence"].value == pytest.approx(0, abs=1e-9)
    assert found["tie_mass"].value == 1


def test_a_side_that_is_not_there_counts_as_chance():
    """Half of the other side, and NaN with a reason by itself."""
    features, data = FeatureRanking(np.random.default_rng(0).random((5, 4))), random_orders(5, 40)
    one, other = scored(features).values, scored(DataRanking(data)).values
    both = scored(Unified(features, DataRanking(data))).values
    assert one["both_sides"].value == pytest.approx(one["ideal_influence"].value / 2)
    assert other["both_sides"].value == pytest.approx(other["data_influence"].value / 2)
    total = one["both_sides"].value + other["both_sides"].value
    assert both["both_sides"].value == pytest.approx(total)
    for name in ("data_influence", "predicted_label_share", "true_label_share"):
        assert math.isnan(one[name].value)
        assert one[name].note == "it orders no training rows"
    for name in ("ideal_influence", "tie_mass"):
        assert math.isnan(other[name].value)
        assert other[name].note == "it ranks no features"
    assert math.isnan(both["fidelity"].value)
    assert both["fidelity"].note == "it predicts nothing itself"
    assert both["coverage"].value == 1


def test_fidelity_and_coverage_by_hand():
    """Of five points one is left to the model, and of the others one is told wrongly."""
    says = PROBLEM.features.targets.numpy().copy()
    says[1], says[2] = -1, (says[2] + 1) % 3
    features = FeatureRanking(np.random.default_rng(0).random((5, 4)))
    found = scored(Unified(features, says=says))
    assert found.values["fidelity"].value == pytest.approx(3 / 4)
    assert found.values["coverage"].value == pytest.approx(4 / 5)
    by_query = np.delete(found.details["ideal_influence"], 1)
    assert found.values["ideal_influence_covered"].value == pytest.approx(by_query.mean())
    none = scored(Unified(features, says=np.full(5, -1))).values
    assert none["coverage"].value == 0
    assert none["fidelity"].note == "no query point is covered"
    assert math.isnan(none["ideal_influence_covered"].value)


def test_label_shares_by_hand():
    """The first K rows of each order, counted one by one."""
    order = random_orders(5, 40, 3)
    found = scored(DataRanking(order)).values
    labels = PROBLEM.train.targets.numpy()
    for name, wanted in (
        ("predicted_label_share", PROBLEM.features.targets.numpy()),
        ("true_label_share", HELD.labels),
    ):
        shares = [np.mean(labels[row[:8]] == c) for row, c in zip(order, wanted, strict=True)]
        assert found[name].value == pytest.approx(np.mean(shares))


def test_orders_that_beat_the_best_known_are_counted():
    """With a search that knows next to nothing; the truth stays as it is."""
    poor = replace(HELD.data.best, areas=HELD.data.chance_areas - 1e-4)
    held = replace(HELD, data=replace(HELD.data, best=poor))
    order = np.argsort(-HELD.data.retraining.drops(), axis=1)
    found = TASK.scores((replace(CASE, held=held),), (DataRanking(order),)).values
    assert found["data_influence"].value > 1
    assert "orders beat it" in found["data_influence"].note
    np.testing.assert_array_equal(held.data.best.areas, poor.areas)


def test_points_at_which_nothing_is_known_to_matter_are_undefined():
    """All five: NaN, with how many."""
    level = replace(HELD.data.best, areas=HELD.data.chance_areas)
    case = replace(CASE, held=replace(HELD, data=replace(HELD.data, best=level)))
    found = scored(DataRanking(random_orders(5, 40)), case).values["data_influence"]
    assert math.isnan(found.value)
    assert "undefined on 5 query points" in found.note


# What a wrapped method is asked


def test_the_loss_at_a_point_orders_rows_as_its_probability_does():
    """SGD-influence with u = gradient of f_c(x), ascending, is that of the loss, descending."""
    trajectory, features = PROBLEM.model.trajectory, PROBLEM.features
    for query in range(5):
        asked = PROBLEM.cleansing(query)
        assert len(asked.validation) == 1
        flat = trajectory.final.clone().double()[None].requires_grad_()
        objective = replace(trajectory.objective)
        outputs = objective.outputs(flat.float(), features.inputs[query : query + 1])[0]
        chance = outputs.softmax(1)[0, features.targets[query]]
        (u,) = torch.autograd.grad(chance, flat)
        by_chance = sgd_influence(trajectory, u[0].float())
        loss = torch.nn.functional.cross_entropy(
            objective.outputs(flat.float(), asked.validation.inputs)[0], asked.validation.targets
        )
        (v,) = torch.autograd.grad(loss, flat)
        by_loss = sgd_influence(trajectory, v[0].float())
        ascending = np.argsort(by_chance.numpy())[:8]
        descending = np.argsort(-by_loss.numpy())[:8]
        np.testing.assert_array_equal(ascending, descending)


# The two views


def test_both_views_of_one_instance():
    """A point is told by the values of its features, a row by those of the columns at the top."""
    values = np.tile([0.0, 2.0, 1.0, 0.0], (5, 1))
    order = random_orders(5, 40)
    says = np.array([0, -1, 0, 0, 0])
    both = Unified(
        FeatureRanking(values), DataRanking(order), says, ("colour = red", "", "", "", "")
    )
    lines = show(both, PROBLEM, 0).splitlines()
    columns = PROBLEM.columns
    colour = ("red", "green", "blue")[int(columns.queries[0, 1])]
    classes = ("ash", "birch", "cedar")
    assert lines[0] == f"Instance 0: the model says {classes[int(PROBLEM.features.targets[0])]}."
    assert lines[1:3] == ["The explanation says ash.", "Reason: colour = red."]
    assert lines[3] == f"  1. colour (colour={colour})"
    assert lines[4] == f"  2. width (width={columns.queries[0, 2]:.4g})"
    assert len(lines) == 5
    lines = show(both, PROBLEM, 0, view="data", most=2).splitlines()
    row = int(order[0, 1])
    colour = ("red", "green", "blue")[int(columns.train[row, 1])]
    label = classes[int(PROBLEM.train.targets[row])]
    assert lines[3:][1] == f"  2. training row {row}, labelled {label} (colour={colour})"
    assert len(lines) == 5
    left = show(both, PROBLEM, 1, view="data").splitlines()
    assert left[1:] == ["The explanation leaves it to the model."]


def test_views_of_one_side_alone():
    """Ties share a number; rows without features are told by what is rare in them."""
    ranking = FeatureRanking(np.tile([1.0, 3.0, 3.0, 2.0], (5, 1)))
    numbers = [line[:4] for line in show(ranking, PROBLEM, 2).splitlines()[1:]]
    assert numbers == ["  1.", "  1.", "  3."]
    assert show(FeatureRanking(np.zeros((5, 4))), PROBLEM, 2).endswith("All features tie.")
    order = DataRanking(random_orders(5, 40))
    assert "=" in show(order, PROBLEM, 2, "data").splitlines()[1]
    with pytest.raises(ValueError, match="ranks no features: view='data' shows"):
        show(order, PROBLEM, 2)
    with pytest.raises(ValueError, match="orders no rows: view='features' shows"):
        show(ranking, PROBLEM, 2, "data")
    with pytest.raises(ValueError, match="query=5: there are query points 0 to 4"):
        show(ranking, PROBLEM, 5)
    with pytest.raises(ValueError, match="view='both': wanted 'features' or 'data'"):
        show(ranking, PROBLEM, 0, "both")


def test_the_yaml_lists_every_field_with_its_default():
    config = Shelf().config("task", "unified")
    defaults = config.pop("setting")
    assert type(build(config)) is UnifiedTask
    assert make_setting(UnifiedSetting, defaults, {}, "setting") == UnifiedSetting()

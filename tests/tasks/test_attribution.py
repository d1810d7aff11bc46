"""The attribution task: the set function it asks, the scores it gives, what it refuses."""

import json
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from bench.data import Column, Images, Samples, Table, split
from bench.models import chunks
from bench.models.given import BlackBox, Given
from bench.models.network import CNN, MLP, Network, initial
from bench.models.sgd import SGD
from bench.record import _finite
from bench.seeding import stream
from bench.setfunction import first_layer as first_module
from bench.setfunction.ideal import exact_ideal
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.table import masks_of
from bench.tasks.attribution import (
    Attribution,
    AttributionProblem,
    AttributionSetting,
    AttributionTask,
    predicted,
)
from bench.tasks.attribution_scores import _in_range, scores_of
from bench.tasks.attribution_truth import cached_table, hold
from bench.tasks.base import Case, Unsupported

TASK = AttributionTask()


def table(n: int = 60, d: int = 4, regression: bool = False) -> Table:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, d))
    score = values @ np.arange(1, d + 1) + 0.1 * rng.normal(size=n)
    targets = score if regression else (score > 0).astype(int)
    columns = tuple(Column(f"x{i}") for i in range(d))
    return Table("toy", values, columns, targets, () if regression else ("no", "yes"), "", "")


def images(n: int = 30) -> Images:
    rng = np.random.default_rng(0)
    targets = np.arange(n) % 3
    pixels = np.clip(rng.random((n, 2, 4, 4)) * 0.5 + targets[:, None, None, None] / 6, 0, 1)
    return Images("toy images", pixels, targets, ("a", "b", "c"), "", "")


def case(data=None, recipe=None, seed: int = 0, **setting):
    recipe = recipe or SGD(MLP((6,)), epochs=5, record=False)
    chosen = AttributionSetting(**setting)
    return TASK.case(data or table(), recipe, chosen, rng=stream(seed, "case", "toy"))


def problem(draws: int = 1, classes: int = 3, g: str = "probability") -> AttributionProblem:
    """A random network on three inputs of six positions in four features."""
    rng = np.random.default_rng(1)
    network = initial(MLP((5,)), torch.Size([6]), max(classes, 1), rng=rng)
    model = Network(network, classes)
    inputs = torch.from_numpy(rng.normal(size=(3, 6))).float()
    features = Partition(torch.tensor([0, 1, 1, 2, 3, 3]), tuple("abcd"))
    reference = Reference(torch.from_numpy(rng.normal(size=(1, draws, 6))).float())
    return AttributionProblem(model, inputs, predicted(model, inputs), features, reference, g)


def literal_value(problem: AttributionProblem, mask: np.ndarray, row: int) -> float:
    """The definition of F, one draw and one position at a time."""
    total = 0.0
    for draw in problem.reference.draws[0]:
        x = problem.inputs[row].clone()
        for position, feature in enumerate(problem.partition.membership.tolist()):
            if mask[feature]:
                x[position] = draw[position]
        margins = problem.model.margins(x[None])
        total += float(margins.softmax(1)[0, problem.targets[row]].detach())
    return total / problem.reference.count


@pytest.mark.parametrize("draws", [1, 3])
def test_value_is_the_definition(draws: int, monkeypatch: pytest.MonkeyPatch):
    """Replaced positions, averaged over the draws, whatever the chunks."""
    found = problem(draws)
    masks = masks_of(np.arange(16), 4)
    expected = [[literal_value(found, mask, row) for mask in masks] for row in range(3)]
    own = np.stack([masks[::-1], masks, masks[::-1]])
    crossed = [expected[0][::-1], expected[1], expected[2][::-1]]
    for numbers in (2**20, 42, 1):
        monkeypatch.setattr(chunks, "NUMBERS", numbers)
        monkeypatch.setattr(first_module, "NUMBERS", numbers)
        for value in (found.value, found.direct):
            np.testing.assert_allclose(value(masks), expected, atol=1e-6)
            np.testing.assert_allclose(value(own), crossed, atol=1e-6)


@pytest.mark.parametrize("own_draws", [False, True])
def test_a_linear_first_layer_saves_writing_inputs(own_draws: bool):
    """Images and tables, draws shared or each instance's own: as the whole network says."""
    rng = np.random.default_rng(7)
    inputs = torch.from_numpy(rng.normal(size=(4, 2, 3, 3))).float()
    draws = torch.from_numpy(rng.normal(size=(4 if own_draws else 1, 5, 2, 3, 3))).float()
    membership = torch.arange(9).view(3, 3).expand(2, -1, -1)
    model = Network(initial(MLP((6, 5)), torch.Size([2, 3, 3]), 3, rng=rng), 3)
    features = Partition(membership.contiguous(), tuple("abcdefghi"))
    found = AttributionProblem(
        model, inputs, predicted(model, inputs), features, Reference(draws), "logit"
    )
    masks = rng.random((20, 9)) < 0.5
    before = found.model.calls.copy()
    np.testing.assert_allclose(found.value(masks), found.direct(masks), atol=1e-5)
    since = found.model.calls.since(before)
    assert (since.values, since.forward) == (2 * 4 * 20, 4 * 20 * 5)


def test_a_table_of_effects_that_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch):
    """n k p hidden numbers are the limit; beyond it the answer is the same, from the inputs."""
    found, masks = problem(draws=3), masks_of(np.arange(16), 4)
    wanted = found.value(masks)
    monkeypatch.setattr(first_module, "MOST_EFFECTS", 3 * 3 * 4 * 5)
    assert found._first_layer() is not None
    monkeypatch.setattr(first_module, "MOST_EFFECTS", 3 * 3 * 4 * 5 - 1)
    assert found._first_layer() is None
    np.testing.assert_allclose(found.value(masks), wanted, atol=1e-6)


def test_a_shortcut_past_what_the_model_says_is_found():
    """A hook that changes the network's answer is unknown to its layers: no silent difference."""
    found = problem()
    found.model.module.register_forward_hook(lambda _module, _inputs, outputs: 2 * outputs)
    with pytest.raises(ArithmeticError, match="differs from direct calls"):
        hold(found, 0, 1, np.random.default_rng(0))


def test_each_instance_may_have_its_own_masks():
    """`n m p` masks are those of each instance, and shared ones are the same for all."""
    found = problem()
    masks = np.random.default_rng(0).random((3, 7, 4)) < 0.5
    together = found.value(masks)
    for row in range(3):
        np.testing.assert_allclose(together[row], found.value(masks[row])[row], atol=1e-7)


def test_values_asked_are_counted():
    """n m values a call, whether masks are shared or not; the table counts all its entries."""
    found = problem(draws=5)
    for masks, asked in (
        (np.zeros((7, 4), dtype=bool), 21),
        (np.zeros((3, 7, 4), dtype=bool), 21),
    ):
        before = found.model.calls.values
        found.value(masks)
        assert found.model.calls.values - before == asked
    before = found.model.calls.values
    found.table()
    assert found.model.calls.values - before == 3 * 16


def test_nothing_deleted_is_the_models_answer_and_everything_the_references():
    """F(nothing) = g(x), F(everything) = the mean of g over the draws."""
    found = problem(draws=4)
    ends = found.value(np.array([[False] * 4, [True] * 4]))
    rows = torch.arange(3)
    with torch.no_grad():
        np.testing.assert_allclose(ends[:, 0], found.output(found.inputs, rows), atol=1e-7)
        at_draws = [found.output(found.reference.draws[0], rows[[i] * 4]).mean() for i in range(3)]
    np.testing.assert_allclose(ends[:, 1], at_draws, atol=1e-7)


def test_gradient_is_that_of_the_output(monkeypatch: pytest.MonkeyPatch):
    """Finite differences of g in float64; rows don't mix, whatever the chunks."""
    found = problem()
    network = found.model.module.double()
    found = replace(
        found,
        inputs=found.inputs.double(),
        reference=Reference(found.reference.draws.double()),
        model=Network(network, 3),
    )
    rows = torch.tensor([2, 0, 1, 2])
    points = found.inputs[rows] + 0.1
    gradient = found.gradient(points, rows)
    for i in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[i] = 1e-6
        with torch.no_grad():
            high, low = found.output(points + step, rows), found.output(points - step, rows)
        torch.testing.assert_close(gradient[:, i], (high - low) / 2e-6, atol=1e-7, rtol=1e-5)
    monkeypatch.setattr(chunks, "NUMBERS", 6)
    torch.testing.assert_close(found.gradient(points, rows), gradient)
    assert all(p.grad is None for p in network.parameters())


def test_gradients_that_are_not_there():
    """A black box and the label say why."""
    found = problem()
    rows = torch.arange(3)
    blind = replace(found, model=BlackBox(lambda x: found.model.margins(x).detach(), 3))
    with pytest.raises(Unsupported, match="differentiable"):
        blind.gradient(found.inputs, rows)
    with pytest.raises(Unsupported, match="label"):
        replace(found, g="label").gradient(found.inputs, rows)
    np.testing.assert_allclose(blind.table(), found.table())


def test_nan_and_wrong_shapes_are_refused():
    """Inputs that aren't finite, and a partition or reference of another shape."""
    found = problem()
    spoilt = found.inputs.clone()
    spoilt[1, 2] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        replace(found, inputs=spoilt)
    with pytest.raises(ValueError, match="partition is of shape"):
        replace(found, partition=Partition(torch.arange(5), tuple("abcde")))
    with pytest.raises(ValueError, match="reference is of shape"):
        replace(found, reference=Reference(torch.zeros(1, 1, 5)))


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside the tests, where nothing checks types and shapes by their annotations."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("untyped")
def test_what_is_no_problem_says_why():
    """An unknown g, targets that are no indices, no draws at all, and a network that trains."""
    found = problem()
    with pytest.raises(ValueError, match="g='prob' of 3 classes: wanted 'probability' or 'logit'"):
        replace(found, g="prob")
    with pytest.raises(ValueError, match="g='logit' of a regression: wanted 'output'"):
        replace(found, model=Network(found.model.module, 0), g="logit")
    with pytest.raises(ValueError, match=r"targets of torch.float32: wanted whole numbers"):
        replace(found, targets=torch.zeros(3))
    with pytest.raises(
        ValueError, match=r"reference of shape \(1, 0, 6\): wanted .* at least 1 draw"
    ):
        replace(found, reference=Reference(torch.zeros(1, 0, 6)))
    with pytest.raises(ValueError, match="train mode"):
        replace(found, model=Network(nn.Sequential(nn.Linear(6, 3), nn.Dropout()), 3))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.zeros((5, 4)), r"answered with ndarray: wanted Attribution\(values\)"),
        (None, "answered with NoneType"),
        (
            Attribution(np.zeros((5, 4)), torch.zeros(3)),
            r"a baseline of shape \(3,\): wanted .*\(5, 4\)",
        ),
    ],
)
def test_what_is_no_answer_says_why(answer, words: str):
    """The type or the shape met, and the one wanted."""
    with pytest.raises(ValueError, match=words):
        TASK.scores((case(instances=5),), (answer,))


def test_scores_stay_in_their_ranges():
    """What rounding carries over the edge is put back, and nothing else is touched."""
    edge = np.array([1 + 7e-16, -1 - 1e-12, 1 + 1e-6, np.nan, 0.5])
    found = _in_range("ideal_influence", edge)
    np.testing.assert_array_equal(found, [1, -1, 1 + 1e-6, np.nan, 0.5])
    assert _in_range("regret", np.array(-4e-17)) == 0
    for instances in (3, 5, 8):
        made = case(instances=instances)
        best = made.held.ideal.orders[:, 2]
        values = -np.argsort(best, axis=1).astype(float)
        scores = TASK.scores((made,), (Attribution(values),))
        for metric in TASK.metrics:
            value = scores.values[metric.name].value
            assert np.isnan(value) or metric.range[0] <= value <= metric.range[1]
        assert max(scores.details["ideal_influence"]) <= 1


def test_a_single_feature_has_nothing_to_certify():
    """Beyond `exact_up_to`, one feature: all orders are the same, and the note says so."""
    scores = TASK.scores((case(table(d=1), exact_up_to=0),), (Attribution(np.zeros((12, 1))),))
    note = scores.values["ideal_influence"].note
    assert "nan" not in note
    assert "nothing to certify" in note


def test_predictions_go_through_the_model_in_blocks(monkeypatch: pytest.MonkeyPatch):
    """Never all inputs at once, and the answer is the same."""
    found, sizes = problem(), []
    inputs = torch.randn(50, 6)
    asked = BlackBox(lambda x: sizes.append(len(x)) or found.model.margins(x).detach(), 3)
    whole = predicted(asked, inputs)
    monkeypatch.setattr(chunks, "NUMBERS", 6 * 20)
    assert torch.equal(predicted(asked, inputs), whole)
    assert sizes == [50, 20, 20, 10]


def test_exact_case():
    """The table is direct calls, the ideal that of all orders; instances are test rows."""
    made = case(instances=5)
    problem, held = made.problem, made.held
    assert problem.inputs.shape == (5, 4)
    np.testing.assert_allclose(held.table, problem.value(masks_of(np.arange(16), 4)), atol=1e-7)
    assert held.ideal.exact
    scores = [
        TASK.scores((made,), (Attribution(-np.argsort(np.tile(order, (5, 1))).astype(float)),))
        for order in permutations(range(4))
    ]
    found = np.array([score.details["ideal_influence"] for score in scores])
    np.testing.assert_allclose(found.max(0), 1)
    np.testing.assert_allclose(found.min(0), -1)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    for name in ("exclusion", "inclusion"):
        assert np.mean([s.values[name].value for s in scores]) == pytest.approx(0, abs=1e-9)
    regrets = np.array([s.values["regret"].value for s in scores])
    expected = [np.mean(made.held.ideal.joint * (1 - row)) for row in found]
    np.testing.assert_allclose(regrets, expected, atol=1e-12)
    assert scores[0].values["ideal_influence"].note == "exact"


def test_ties_score_zero_in_expectation():
    """All features tied: near 0 by the mean over shuffles, its tie mass is 1."""
    made = case(shuffles=400, instances=3)
    scores = TASK.scores((made,), (Attribution(np.zeros((3, 4))),)).values
    assert abs(scores["ideal_influence"].value) < 0.15
    assert scores["tie_mass"].value == 1.0


def test_best_known_says_so():
    """Above `exact_up_to` the note and the details say that the ideal isn't the exact one."""
    made = case(exact_up_to=3, instances=4)
    exact = case(instances=4)
    assert made.held.table is None
    values = np.random.default_rng(0).normal(size=(4, 4))
    known, true = (TASK.scores((c,), (Attribution(values),)) for c in (made, exact))
    assert "best order known" in known.values["ideal_influence"].note
    assert known.details["ideal"] == "best_known"
    assert np.isnan(known.values["nestedness_gap"].value)
    np.testing.assert_allclose(
        known.details["instance"]["deletion"]["method"],
        true.details["instance"]["deletion"]["method"],
        atol=1e-6,
    )
    assert known.values["ideal_influence"].value >= true.values["ideal_influence"].value - 1e-6
    assert known.values["regret"].value >= 0


@pytest.mark.parametrize("g", ["probability", "logit", "margin", "label"])
def test_the_setting_says_what_is_looked_at(g: str):
    """The problem has the setting's g, and the table is that g of the margins at every set."""
    data = table()
    targets = np.digitize(data.values[:, 0], [-0.4, 0.4])
    made = case(replace(data, targets=targets, class_names=tuple("abc")), g=g, instances=3)
    problem, held = made.problem, made.held
    assert problem.g == g
    for row, target in enumerate(problem.targets.tolist()):
        points = np.where(masks_of(np.arange(16), 4), problem.baseline[row], problem.inputs[row])
        margins = problem.model.margins(torch.from_numpy(points)).detach().numpy()
        own, rivals = margins[:, target], np.delete(margins, target, axis=1)
        expected = {
            "probability": np.exp(own) / np.exp(margins).sum(1),
            "logit": own - np.log(np.exp(rivals).sum(1)),
            "margin": own - rivals.max(1),
            "label": margins.argmax(1) == target,
        }
        np.testing.assert_allclose(held.table[row], expected[g], atol=1e-5)
    scores = TASK.scores((made,), (Attribution(np.eye(3, 4)),))
    assert set(scores.values) == {metric.name for metric in TASK.metrics}
    flat = np.isnan(scores.details["ideal_influence"])
    np.testing.assert_array_equal(flat, exact_ideal(held.table).joint < 1e-9)


def test_regression_looks_at_the_output():
    """No classes: g is the output itself, and its units are the output's."""
    made = case(table(regression=True), SGD(MLP((6,)), epochs=5, learning_rate=0.01), instances=3)
    assert made.problem.g == "output"
    with torch.no_grad():
        expected = made.problem.model.margins(made.problem.inputs)[:, 0]
    np.testing.assert_allclose(made.held.table[:, 0], expected, atol=1e-6)
    scores = TASK.scores((made,), (Attribution(np.ones((3, 4))),))
    assert scores.values["ideal_influence"].n == 3


def test_images_in_blocks():
    """A convolutional net, 2x2 blocks, the training mean; details carry what a figure draws."""
    made = case(images(), SGD(CNN((3,), 4), epochs=2), instances=2)
    assert made.problem.p == 4
    assert made.problem.reference.draws.shape == (1, 1, 2, 4, 4)
    scores = TASK.scores((made,), (Attribution(np.arange(8.0).reshape(2, 4)),))
    shown = scores.details["instance"]
    assert np.shape(shown["pixels"]) == np.shape(shown["membership"]) == (2, 4, 4)
    assert shown["values"] == [0.0, 1.0, 2.0, 3.0]
    for curves in (shown["deletion"], shown["inclusion"]):
        assert {len(curve) for curve in curves.values()} == {5}
        starts = {round(curve[0], 6) for curve in curves.values()}
        assert len(starts) == 1
    assert shown["deletion"]["ideal"][0] == pytest.approx(shown["inclusion"]["ideal"][-1], abs=1e-6)
    json.dumps(_finite(scores.details), allow_nan=False)


def test_shown_curves_add_up_to_the_score():
    """II = (area under inclusion - area under deletion) / the same of the ideal."""
    made = case(instances=3)
    values = np.random.default_rng(0).normal(size=(3, 4))
    details = TASK.scores((made,), (Attribution(values),)).details
    shown = details["instance"]

    def area(kind: str, name: str) -> float:
        return float(np.trapezoid(shown[kind][name], dx=1 / 4))

    j, best = (area("inclusion", n) - area("deletion", n) for n in ("method", "ideal"))
    assert details["ideal_influence"][0] == pytest.approx(j / best)
    assert details["best"][0] == pytest.approx(best)
    assert area("inclusion", "chance") == pytest.approx(area("deletion", "chance"))


def test_a_constant_model_leaves_the_criterion_undefined():
    """NaN with a note that counts the instances; nothing is divided by 0."""
    flat = BlackBox(lambda x: torch.zeros(len(x), 2), 2)
    made = case(recipe=Given(flat), instances=4)
    score = TASK.scores((made,), (Attribution(np.ones((4, 4))),)).values["ideal_influence"]
    assert np.isnan(score.value)
    assert "4 of 4" in score.note


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 4)), r"\(2, 4\): wanted \(3, 4\)"),
        (np.zeros(4), "wanted"),
        (np.array([[0.0, np.nan, 0, 0]] * 3), "3 NaN and 0 infinite"),
        (np.array([[0.0, 0, np.inf, 0]] * 3), "'x2'"),
    ],
)
def test_bad_attributions_are_named(values: np.ndarray, message: str):
    """Shape, count, instance and feature."""
    made = case(instances=3)
    explanation = object.__new__(Attribution)
    object.__setattr__(explanation, "values", values)
    with pytest.raises(ValueError, match=message):
        TASK.scores((made,), (explanation,))


def test_same_seed_same_case_and_settings_share_model_and_split():
    """Another partition or reference keeps the instances and the trained weights."""
    one, two = case(instances=3), case(instances=3, reference="zero")
    again = case(instances=3)
    assert torch.equal(one.problem.inputs, two.problem.inputs)
    for a, b in zip(
        one.problem.model.module.parameters(), two.problem.model.module.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(one.held.table, again.held.table)
    np.testing.assert_array_equal(one.held.tie_keys, again.held.tie_keys)
    more = case(instances=5)
    assert torch.equal(more.problem.inputs[:3], one.problem.inputs)
    assert not torch.equal(case(seed=1, instances=3).problem.inputs, one.problem.inputs)


def test_fewer_test_rows_than_instances():
    """All are explained."""
    assert case(instances=1000).problem.n == 12


def test_instances_as_reference():
    """Draws are training rows; their spread is reported, and b is their mean."""
    made = case(reference="instances", draws=7, instances=3)
    assert made.problem.reference.draws.shape == (1, 7, 4)
    torch.testing.assert_close(made.problem.baseline[1], made.problem.reference.draws[0].mean(0))
    assert (made.held.draw_spread > 0).all()
    assert not case(instances=3).held.draw_spread.any()


def test_tables_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A second problem with the same model, inputs, draws, partition and g reads the table."""
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path))
    built = []
    honest = AttributionProblem.table
    monkeypatch.setattr(
        AttributionProblem, "table", lambda self: built.append(self.g) or honest(self)
    )
    first = problem()
    for changed in (
        first,
        first,
        replace(first, g="logit"),
        replace(first, inputs=first.inputs + 1),
    ):
        cached_table(changed)
    assert built == ["probability", "logit", "probability"]
    network = first.model.module
    with torch.no_grad():
        next(network.parameters()).add_(0.5)
    cached_table(first)
    assert len(built) == 4


def test_a_model_that_answers_anew_each_time_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A table that direct calls contradict isn't scored against."""
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    restless = BlackBox(lambda x: torch.from_numpy(rng.normal(size=(len(x), 3))), 3)
    with pytest.raises(ArithmeticError, match="same row differently"):
        cached_table(replace(problem(), model=restless))


def test_settings_that_cannot_be():
    """Named when the setting is made; kinds that don't fit the data when it is seen."""
    for wrong in (
        {"partition": "rows"},
        {"reference": "median"},
        {"instances": 0},
        {"shuffles": 0},
        {"draws": 0},
        {"exact_up_to": 30},
    ):
        with pytest.raises(ValueError, match="wanted"):
            AttributionSetting(**wrong)
    assert "table" in (TASK.refuses(table(), AttributionSetting(partition="pixels")) or "")
    assert "images" in (TASK.refuses(images(), AttributionSetting(partition="columns")) or "")
    assert TASK.refuses(None, AttributionSetting()) is None
    assert TASK.refuses(table(regression=True), AttributionSetting()) is None


@dataclass(frozen=True)
class Noting(SGD):
    """SGD that notes down what it is trained on."""

    seen: list = field(default_factory=list)

    def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
        self.seen.append(samples)
        return super().fit(samples, rng=rng)


@pytest.mark.parametrize("regression", [False, True])
def test_encoding_and_reference_are_learned_from_training_rows(regression: bool):
    """Other rows of a million change no bit of training inputs, targets, weights and draws."""
    data = table(regression=regression)
    parts = split(data, AttributionSetting().split, rng=stream(0, "case", "toy").spawn(4)[0])
    others = np.concatenate([parts.validation, parts.test])
    values, targets = data.values.copy(), data.targets.copy()
    values[others] = 1e6
    if regression:
        targets[others] = 1e6
    found = []
    for rows in (data, replace(data, values=values, targets=targets)):
        recipe = Noting(MLP((6,)), epochs=2, learning_rate=0.01, record=False)
        mean = case(rows, recipe, instances=2).problem
        drawn = case(rows, recipe, instances=2, reference="instances", draws=1000).problem
        (train, again), weights = recipe.seen, list(mean.model.module.parameters())
        assert torch.equal(train.inputs, again.inputs)
        draws = [mean.reference.draws, drawn.reference.draws]
        found.append([train.inputs, train.targets, *draws, *weights])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert (mean.inputs > 1e5).all()
    assert drawn.reference.count == len(train) == 36


def test_the_ideal_is_exact_up_to_the_number_named():
    """p = exact_up_to still has a table."""
    for limit, exact in ((4, True), (3, False)):
        held = case(exact_up_to=limit, instances=2).held
        assert held.ideal.exact == (held.table is not None) == exact


def test_an_order_above_the_best_known_becomes_the_best_known():
    """II = 1 for the order of the true J*, though the case knew of poorer ones only."""
    made = case(exact_up_to=3, instances=3)
    true = exact_ideal(made.problem.table())
    ideal = made.held.ideal
    poor = replace(ideal, joint=ideal.joint / 5, least=ideal.chance_area, most=ideal.chance_area)
    values = -np.argsort(true.orders[:, 2], axis=1).astype(float)
    known = Case(made.problem, replace(made.held, ideal=poor))
    scores = TASK.scores((known,), (Attribution(values),))
    np.testing.assert_allclose(scores.details["ideal_influence"], 1)
    np.testing.assert_allclose(scores.details["best"], true.joint, rtol=1e-5)
    assert scores.values["regret"].value == pytest.approx(0, abs=1e-12)
    assert scores.values["exclusion"].value <= 1


def test_each_instance_has_its_own_scale():
    """One of size 1e9 leaves the others defined; one whose F moves by rounding alone isn't."""
    sets = np.random.default_rng(0).random((3, 16))
    sets = sets * [[1.0], [1e9], [1e-8]] + [[0.0], [0.0], [1.0]]
    held = replace(
        hold(problem(), 4, 1, np.random.default_rng(1)), table=sets, ideal=exact_ideal(sets)
    )
    values = np.tile(np.arange(4.0), (3, 1))
    details = TASK.scores((Case(problem(), held),), (Attribution(values),)).details
    assert np.isnan(details["ideal_influence"]).tolist() == [False, False, True]


def test_draw_spread_is_the_deviation_of_g_over_the_draws():
    """Three draws, one at a time, divided by two."""
    made = case(reference="instances", draws=3, instances=3)
    for target, spread in zip(made.problem.targets, made.held.draw_spread, strict=True):
        found = [
            float(made.problem.model.margins(draw[None]).softmax(1)[0, target].detach())
            for draw in made.problem.reference.draws[0]
        ]
        mean = sum(found) / 3
        assert spread == pytest.approx((sum((g - mean) ** 2 for g in found) / 2) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("shuffles", [2, 16])
def test_what_ties_throughout_is_exactly_at_chance(shuffles: int):
    """Every second order of ties is the reverse of the one before, and J(reverse) = -J."""
    task = AttributionTask()
    held = hold(task.tiny(), 20, shuffles, np.random.default_rng(0))
    zeros = Attribution(np.zeros((3, 5)))
    found = scores_of(task.tiny(), held, zeros)
    assert found.values["ideal_influence"].value == pytest.approx(0.0, abs=1e-12)

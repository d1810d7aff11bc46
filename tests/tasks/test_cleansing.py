import json
import math
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from bench.data import Column, Images, Samples, Table, split
from bench.models.influence import leave_one_out
from bench.models.network import MLP, Network, with_parameters
from bench.models.sgd import SGD
from bench.models.weight_decay import CrossValidated
from bench.scores.retraining import Curve
from bench.seeding import stream
from bench.tasks import cleansing_truth
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import (
    Cleansing,
    CleansingProblem,
    CleansingSetting,
    Influence,
    _removed,
    check_disjoint,
)
from bench.tasks.cleansing_truth import TOO_DEAR

TASK = Cleansing()
RECIPE = SGD(MLP((5,)), epochs=3, batch_size=8)
DEFAULT = CleansingSetting()


def blobs(n=150, n_classes=2, noise=1.0):
    """Noisy classes; the first pixel of each row tells its place in the data set."""
    rng = np.random.default_rng(0)
    targets = rng.integers(n_classes, size=n)
    pixels = rng.normal(size=(n, 1, 2, 2)) * noise + targets[:, None, None, None]
    pixels = np.interp(pixels, [-5, 5], [0, 1])
    pixels[:, 0, 0, 0] = np.arange(n) / n
    return Images("blobs", pixels, targets, tuple("abcdefg"[:n_classes]), "", "")


def made(setting=DEFAULT, data=None, recipe=RECIPE, seed=0):
    return TASK.case(data or blobs(), recipe, setting, rng=stream(seed, "case", "blobs"))


def places(samples):
    return set((samples.inputs[:, 0, 0, 0] * 150).round().int().tolist())


def scored(case, values):
    return TASK.scores((case,), (Influence(np.asarray(values, dtype=float)),))


def test_no_row_plays_two_parts():
    """Training, query, selection and test rows are disjoint and are the whole data set."""
    case = made()
    problem, held = case.problem, case.held
    parts = [places(s) for s in (problem.train, problem.validation, held.selection, held.test)]
    assert [len(part) for part in parts] == [90, 15, 15, 30]
    assert len(set.union(*parts)) == 150
    assert set(held.rows.tolist()) == parts[0]


def test_a_shared_row_is_refused():
    """The hygiene check names both parts and a row."""
    check_disjoint(train=np.array([1, 2]), test=np.array([3]))
    with pytest.raises(ValueError, match="query and test share 1 rows, 5 among them"):
        check_disjoint(train=np.array([1]), query=np.array([5, 6]), test=np.array([5]))


def test_the_query_and_the_choice_of_m_need_a_row_each():
    """One validation row can't be both."""
    with pytest.raises(ValueError, match="wanted two validation rows or more"):
        made(CleansingSetting(split="rows 90/1/30"))


def test_the_problem_holds_no_test_data():
    """What is handed to a method contains no held-out row, however it is reached."""
    case = made()
    sent = pickle.dumps(case.problem)
    for samples in (case.held.test, case.held.selection):
        assert all(row.numpy().tobytes() not in sent for row in samples.inputs)
    assert case.problem.train.inputs[0].numpy().tobytes() in sent


def test_settings_share_split_and_model():
    """Other removals or truth limits change neither the rows nor the trained network."""
    one, other = made(), made(CleansingSetting(removals="percent 50", truth_flops=0.0))
    assert torch.equal(one.problem.trajectory.final, other.problem.trajectory.final)
    assert torch.equal(one.problem.validation.inputs, other.problem.validation.inputs)
    flipped = made(CleansingSetting(flip=0.2))
    assert torch.equal(one.problem.train.inputs, flipped.problem.train.inputs)


def test_flipped_labels_are_known():
    """The share asked for is wrong, in training alone; perfect values find them all."""
    clean, noisy = made(), made(CleansingSetting(flip=0.2))
    differs = (clean.problem.train.targets != noisy.problem.train.targets).numpy()
    assert differs.sum() == 18
    assert np.array_equal(differs, noisy.held.flipped)
    assert torch.equal(clean.held.test.targets, noisy.held.test.targets)
    assert scored(noisy, ~noisy.held.flipped).values["mislabel_auc"].value == 1
    undefined = scored(clean, np.arange(90)).values["mislabel_auc"]
    assert math.isnan(undefined.value)
    assert undefined.note == "no label is known to be wrong"


def test_labels_known_to_be_wrong_are_in_training_alone():
    """The data set's own wrong labels are trained on and counted, and nobody is scored by them."""
    data = blobs()
    wrong = np.random.default_rng(1).random(150) < 0.3
    noisy = replace(data, targets=np.where(wrong, 1 - data.targets, data.targets))
    case = made(data=replace(noisy, clean=data.targets))
    held = case.held
    assert np.array_equal(held.flipped, wrong[held.rows])
    assert np.array_equal(case.problem.train.targets, noisy.targets[held.rows])
    for part in (held.selection, held.test, case.problem.validation):
        at = (part.inputs[:, 0, 0, 0] * 150).round().int()
        assert np.array_equal(part.targets, data.targets[at])


def test_noise_of_classes_and_of_groups():
    """Class i becomes i + 1; or the smallest protected group alone gets wrong labels."""
    clean = made(data=blobs(n_classes=3))
    shifted = made(CleansingSetting(flip=0.2, noise="class"), blobs(n_classes=3))
    before, after = clean.problem.train.targets, shifted.problem.train.targets
    wrong = torch.from_numpy(shifted.held.flipped)
    assert wrong.sum() == 18
    assert torch.equal(after, torch.where(wrong, (before + 1) % 3, before))
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=90), rng.random(90) < 0.3]).astype(float)
    columns = (Column("x"), Column("sex", ("a", "b")))
    targets = rng.integers(2, size=90)
    table = Table("t", values, columns, targets, ("n", "y"), "", "", sensitive="sex")
    case = made(CleansingSetting(flip=0.5, noise="group"), table)
    small = values[case.held.rows, 1] == 1
    assert case.held.flipped.sum() == round(0.5 * small.sum())
    assert not case.held.flipped[~small].any()
    of_two = TASK.refuses(table, CleansingSetting(flip=0.1, noise="class"))
    assert "uniform" in (of_two or "")
    setting = CleansingSetting(flip=0.1, noise="group")
    assert "sensitive" in (TASK.refuses(blobs(), setting) or "")
    assert TASK.refuses(table, setting) is None


def test_gains_are_a_literal_loop():
    """Each gain from networks retrained one by one, m chosen on the selection rows.

    36 steps, the last 12 of them the last epoch; its own m is another one.
    """
    case = made(CleansingSetting(flip=0.2, random_draws=2))
    values = np.random.default_rng(3).normal(size=90)
    scores = scored(case, values)
    model, held = case.problem.model, case.held
    order = np.argsort(values)

    def quality(removed_rows, samples, since=0):
        keep = torch.ones(1, 90, dtype=torch.bool)
        keep[0, removed_rows] = False
        (final,) = model.trajectory.retrain(keep, since)
        network = Network(with_parameters(model.module, final), 2)
        margins = network.margins(samples.inputs)
        accuracy = (margins.argmax(1) == samples.targets).double().mean().item()
        return accuracy, torch.nn.functional.cross_entropy(margins, samples.targets).item()

    chosen = min(held.removed, key=lambda m: quality(order[:m], held.selection)[1])
    before, after = quality([], held.test), quality(order[:chosen], held.test)
    assert held.removed == (0, 1, 2, 4, 9, 18)
    assert scores.details["chosen"] == chosen
    assert scores.values["cleansing_gain"].value == pytest.approx(after[0] - before[0])
    assert scores.values["test_loss_change"].value == pytest.approx(after[1] - before[1], abs=1e-6)
    i = held.removed.index(chosen)
    at_random = np.mean([c.test.accuracy[i] - c.test.accuracy[0] for c in held.random])
    over = scores.values["gain_over_random"].value
    assert over == pytest.approx(after[0] - before[0] - at_random)
    last = min(held.removed, key=lambda m: quality(order[:m], held.selection, 24)[1])
    assert scores.details["chosen_last"] == last != chosen
    gain_last = quality(order[:last], held.test, 24)[0] - before[0]
    assert scores.values["cleansing_gain_last"].value == pytest.approx(gain_last)
    assert gain_last != quality(order[:chosen], held.test, 24)[0] - before[0]
    for i, m in enumerate(held.removed):
        expected = quality(order[:m], held.test)
        assert scores.details["accuracy"][i] == pytest.approx(expected[0])
        assert scores.details["loss"][i] == pytest.approx(expected[1], rel=1e-5)


def test_agreement_is_with_the_true_leave_one_out():
    """The truth itself agrees fully; its opposite not at all; without truth, a reason."""
    case = made()
    trajectory, selection = case.problem.trajectory, case.held.selection
    on_query, on_selection = (
        leave_one_out(trajectory, s).numpy() for s in (case.problem.validation, selection)
    )
    np.testing.assert_array_equal(case.held.truth.leave_one_out, on_query)
    assert not np.allclose(case.held.truth.leave_one_out, on_selection)
    perfect = scored(case, case.held.truth.leave_one_out)
    assert perfect.values["kendall_tau"].value == pytest.approx(1)
    assert perfect.values["jaccard"].value == 1
    values = np.random.default_rng(1).normal(size=90)
    expected = kendalltau(values, case.held.truth.leave_one_out).statistic
    assert scored(case, values).values["kendall_tau"].value == pytest.approx(expected)
    dear = scored(made(CleansingSetting(truth_flops=0.0)), values)
    assert math.isnan(dear.values["jaccard"].value)
    assert "beyond truth_flops" in dear.values["kendall_tau"].note


def test_classes_that_are_gone_are_counted():
    """Three classes, removed one after the other; nothing is said while all are there."""
    targets = torch.tensor([1, 0, 1, 2, 2])
    lost = ["", "", "; 2 classes left of 3", "; 1 class left of 3", "; 1 class left of 3"]
    for removed, words in enumerate(lost):
        assert _removed(targets, removed) == f"{removed} of 5 rows removed{words}"


def test_one_class_left_is_scored_with_a_note(monkeypatch):
    """A removal that takes a whole class away is trained and scored like any other."""
    monkeypatch.setattr(Curve, "chosen", property(lambda curve: 1))
    setting = CleansingSetting(removals="percent 99")
    case = made(setting, blobs(noise=20.0))
    values = -case.problem.train.targets.double().numpy()
    scores = scored(case, values)
    assert scores.details["removed"] == [0, 89]
    assert np.isfinite(scores.details["loss"]).all()
    gain = scores.values["cleansing_gain"]
    for name in ("cleansing_gain", "gain_over_random", "cleansing_gain_last", "test_loss_change"):
        assert scores.values[name].note == "89 of 90 rows removed; 1 class left of 2"
    assert gain.value == scores.details["accuracy"][1] - scores.details["accuracy"][0]


def test_details_are_json_ready():
    """What JSON gives back is what was there."""

    def plain(value):
        return json.loads(json.dumps(value, allow_nan=False)) == value

    case = made()
    scores = scored(case, np.arange(90.0))
    assert all(plain(value) for value in scores.details.values())
    assert scores.details["most_harmful"] == case.held.rows[:10].tolist()
    assert set(scores.values) == {metric.name for metric in TASK.metrics}


def test_rows_removed_by_number():
    """The paper's m; as many as there are, or more, is refused before anything trains."""
    case = made(CleansingSetting(removals="rows 1/30/3"))
    assert case.held.removed == (0, 1, 3, 30)
    with pytest.raises(ValueError, match="there are 90 training rows"):
        made(CleansingSetting(removals="rows 1/90"))
    with pytest.raises(ValueError, match="wanted 'percent 0.5/1/2'"):
        CleansingSetting(removals="rows 1.5")
    with pytest.raises(ValueError, match="of 90 training rows that is none; 'rows 0' asks"):
        made(CleansingSetting(removals="percent 0.1/0.5"))


def test_nothing_removed_is_agreement_alone(monkeypatch):
    """`rows 0` trains nothing for a gain, and says so; the truth is what it is with removals."""
    values, whole = np.arange(90.0), made()
    expected = scored(whole, values).values
    monkeypatch.setattr("bench.scores.retraining.retrained", None)
    case = made(CleansingSetting(removals="rows 0"))
    scores = scored(case, values)
    for name in ("cleansing_gain", "gain_over_random", "cleansing_gain_last", "test_loss_change"):
        assert math.isnan(scores.values[name].value)
        assert scores.values[name].note == "nothing is removed"
    for name in ("kendall_tau", "jaccard", "lds_5", "recorded_run"):
        assert scores.values[name] == expected[name]
    assert scores.details["loss"] == pytest.approx(whole.held.random[0].test.loss[:1])


def test_influence_is_checked_wherever_removals_train():
    """However little the truth may take, and as the truth itself says; with `rows 0` within it."""
    values, whole = np.arange(90.0), made()
    poor = made(CleansingSetting(truth_flops=0.0))
    found = scored(poor, values)
    assert found.details["check"] == pytest.approx(scored(whole, values).details["check"], rel=1e-4)
    assert found.values["check_correlation"].note.startswith("15 rows removed one by one")
    assert "unchecked" not in found.details
    nothing = scored(made(CleansingSetting(truth_flops=0.0, removals="rows 0")), values)
    assert "check" not in nothing.details
    assert nothing.details["unchecked"] == nothing.values["check_correlation"].note == TOO_DEAR


@pytest.mark.parametrize("what", ["diverges", "alike"])
def test_why_the_check_says_nothing(monkeypatch, what):
    """A run without a row that diverges fails no cell; changes all alike don't correlate."""
    real = cleansing_truth.smoothness

    def smoothness(*args, **options):
        if what == "diverges":
            raise ValueError("training diverged at step 7")
        found = real(*args, **options)
        return replace(found, changes=np.zeros(len(found.rows)))

    monkeypatch.setattr("bench.tasks.cleansing_truth.smoothness", smoothness)
    found = scored(made(), np.arange(90.0))
    told = {
        "diverges": "without one of 15 rows training diverged at step 7",
        "alike": "all changes or all estimates are equal",
    }[what]
    assert found.details["unchecked"] == told
    assert math.isfinite(found.values["kendall_tau"].value)
    assert math.isnan(found.values["check_correlation"].value)


def test_the_weight_decay_is_in_the_details():
    """The one of the network, chosen or given."""
    slow = replace(RECIPE, learning_rate=1e-3, weight_decay=CrossValidated(grid=1))
    chosen, given = made(recipe=slow), made(recipe=replace(RECIPE, weight_decay=0.25))
    found = [scored(case, np.arange(90.0)).details["weight_decay"] for case in (chosen, given)]
    assert found == [pytest.approx(1e4 / 90), 0.25]


def test_the_truth_scores_best_everywhere():
    """Recall and the rank correlations of the truth are 1, of its opposite least."""
    case = made()
    truth = case.held.truth.leave_one_out
    best, worst = scored(case, truth).values, scored(case, -truth).values
    for name, least in (("spearman", -1), ("recall_harmful", 0), ("check_correlation", -1)):
        assert best[name].value == pytest.approx(1, abs=0.01)
        assert worst[name].value == pytest.approx(least, abs=0.01)
    for name in ("lds_0_5", "lds_1", "lds_5", "lds_20"):
        assert best[name].value == pytest.approx(-worst[name].value)
        assert best[name].value > 0.5
    none = scored(made(CleansingSetting(subsets=0)), truth).values["lds_5"]
    assert math.isnan(none.value)


def test_wrong_labels_found_first():
    """Precision among as many of the smallest values as there are wrong labels."""
    case = made(CleansingSetting(flip=0.2))
    values = np.where(case.held.flipped, -1.0, 1.0)
    assert scored(case, values).values["mislabel_precision"].value == 1
    values[np.flatnonzero(case.held.flipped)[:9]] = 2.0
    assert scored(case, values).values["mislabel_precision"].value < 1


def test_where_the_error_comes_from_is_in_the_record():
    """The parts add up to the relative error of the estimate."""
    case = made(CleansingSetting(error_split=True))
    split, parts = case.held.truth.split, scored(case, np.arange(90.0)).details["error_split"]
    for estimate, own in ((split.linear, "SGD-influence"), (split.flat, "no Hessian")):
        error = np.linalg.norm(split.truth - estimate) / np.linalg.norm(split.truth)
        assert sum(parts[own].values()) == pytest.approx(error)


def test_a_wrong_answer_is_refused():
    """A number a training row, all of them finite."""
    case = made()
    with pytest.raises(ValueError, match="wanted 90 finite values"):
        scored(case, np.zeros(5))
    with pytest.raises(ValueError, match="wanted 90 finite values"):
        scored(case, np.full(90, np.nan))


def test_models_that_cannot_be_trained_again():
    """A network without its run, by the recipe and by the problem."""
    with pytest.raises(Unsupported, match="the model offers no replay, retrain"):
        made(recipe=SGD(MLP(), record=False))
    tiny = TASK.tiny()
    unrecorded = SGD(MLP(), record=False).fit(tiny.train, rng=np.random.default_rng(0))
    with pytest.raises(Unsupported, match="record=true"):
        _ = CleansingProblem(unrecorded, tiny.train, tiny.validation).trajectory


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"flip": 1.0}, "flip=1.0"),
        ({"removals": "1, 2"}, "wanted 'percent 0.5/1/2'"),
        ({"removals": "percent 5/100"}, "each < 100"),
        ({"extremes": 0}, "extremes=0"),
        ({"subsets": 1}, "wanted 0, or 2 or more"),
        ({"truth_flops": -1.0}, "truth_flops=-1.0"),
        ({"truth_flops": math.nan}, "truth_flops=nan"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    """The value met and the one wanted are named."""
    with pytest.raises(ValueError, match=message):
        CleansingSetting(**changed)


def test_one_class_to_learn_is_refused():
    """Before anything trains."""
    data = blobs()
    with pytest.raises(ValueError, match="the 90 training rows are all of one class"):
        made(data=replace(data, targets=np.zeros_like(data.targets)))


def test_a_recorded_run_of_another_machine_is_refused():
    """One bit of one step, as another processor's rounding leaves it, in a run from the cache."""

    @dataclass(frozen=True)
    class Elsewhere(SGD):
        def fit(self, samples: Samples, *, rng: np.random.Generator) -> Network:
            network = super().fit(samples, rng=rng)
            assert network.trajectory is not None
            snapshots = network.trajectory.snapshots.clone()
            snapshots[5, 0] = torch.nextafter(snapshots[5, 0], torch.tensor(9.0))
            return replace(network, trajectory=replace(network.trajectory, snapshots=snapshots))

    with pytest.raises(ValueError, match="first differs from the recorded run at step 4"):
        made(recipe=Elsewhere(MLP()))


def test_rows_at_both_ends_that_overlap_are_not_scored():
    """With more than half of the rows at each end any ranking would find them."""
    case = made(CleansingSetting(extremes=46))
    scores = scored(case, np.arange(90.0)).values
    assert math.isnan(scores["recall_harmful"].value)
    assert math.isnan(scores["jaccard"].value)
    assert scored(made(CleansingSetting(extremes=45)), np.arange(90.0)).values["jaccard"].value == 1


def test_regression_has_no_case():
    """Accuracy needs classes."""
    numbers = replace(blobs(), class_names=())
    assert "classes" in (TASK.refuses(numbers, CleansingSetting()) or "")
    assert TASK.refuses(blobs(), CleansingSetting()) is None
    assert TASK.refuses(None, CleansingSetting()) is None


def test_random_removals_are_different_orders():
    """They start at the one network trained on all rows, and no two curves go on alike."""
    curves = made(CleansingSetting(random_draws=4)).held.random
    assert len({curve.test.loss[0] for curve in curves}) == 1
    for i in range(3, len(curves[0].removed)):
        assert len({curve.test.loss[i] for curve in curves}) == 4


def test_the_encoding_is_learned_from_training_rows():
    """Held-out rows of a million change no bit of the training inputs nor of the network."""
    rng = np.random.default_rng(0)
    columns = tuple(Column(name) for name in "abc")
    targets = rng.integers(2, size=100)
    data = Table("blobs", rng.normal(size=(100, 3)), columns, targets, ("no", "yes"), "", "")
    parts = split(data, DEFAULT.split, rng=stream(0, "case", "blobs").spawn(4)[0])
    values = data.values.copy()
    values[np.concatenate([parts.validation, parts.test])] = 1e6
    one, other = made(data=data), made(data=replace(data, values=values))
    assert torch.equal(one.problem.train.inputs, other.problem.train.inputs)
    assert torch.equal(one.problem.trajectory.final, other.problem.trajectory.final)
    assert (other.held.test.inputs > 1e5).all()

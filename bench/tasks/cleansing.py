"""Cleansing: which training rows did harm, and what the network gains without them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.data import (
    Data,
    Noise,
    Samples,
    corrected,
    encode,
    label_noise,
    read_scheme,
    split,
    wrong_labels,
)
from bench.devices import CPU
from bench.models.base import Model, Recipe
from bench.models.network import MLP, Network
from bench.models.sgd import SGD
from bench.models.trajectory import Trajectory
from bench.scores.rank_agreement import (
    auc,
    jaccard_of_extremes,
    kendall_tau,
    precision_at,
    spearman,
)
from bench.scores.retraining import Curve, removal_counts, removal_curves
from bench.tasks.base import Case, Method, Metric, Score, Scores, Unsupported
from bench.tasks.cleansing_truth import CHECKED, PERCENTS, TOO_DEAR, Truth
from bench.tasks.exhibits import Exhibits

_PAPER = "Hara, Nitanda, Maehara, Data Cleansing for Models Trained with SGD, NeurIPS 2019"
_REMOVALS = re.compile(r"percent \d+(\.\d+)?(/\d+(\.\d+)?)*|rows \d+(/\d+)*")


def _lds(percent: float) -> str:
    """The metric's name: `lds_0_5` at .5 % removed."""
    return f"lds_{percent:g}".replace(".", "_")


@dataclass(frozen=True)
class CleansingSetting:
    """What changes the problem.

    Parameters
    ----------
    split : a scheme of `bench.data.split`. Half of the validation rows is the query that
        methods see, the other half chooses how many rows to remove.
    flip : share of the training rows that get a wrong label, beside those that the data set
        knows to be wrong.
    noise : which rows, and which label, see `bench.data.label_noise`.
    removals : how many rows are removed, as `percent 0.5/1/2` of the training rows or as
        `rows 1/3/6`; removing none is always among them, and with `rows 0` it is all: agreement
        with the truth is scored and no gain.
    random_draws : random orders of removal to compare with.
    truth_flops : the true leave-one-out and the subsets are each computed where that takes no
        more floating-point operations than this (a core does about 10^10 a second here). The check
        by fifteen rows, sixteen runs and a pass of influence for each problem, is made wherever
        rows are removed, and with `rows 0` within this.
    extremes : rows at each end of the ranking that `jaccard` compares.
    subsets : random sets of removed rows of each size for the linear datamodeling scores; none
        where 0.
    error_split : whether the error of SGD-influence is split into its parts, on fifty rows; E / 2
        times as much work as fifty retrainings, E the number of epochs, and within truth_flops.
    """

    shown: ClassVar[tuple[str, ...]] = ("flip",)

    split: str = "percent 60/20/20"
    flip: float = 0.0
    noise: Noise = "uniform"
    removals: str = "percent 0.5/1/2/5/10/20"
    random_draws: int = 5
    truth_flops: float = 3e10
    extremes: int = 10
    subsets: int = 50
    error_split: bool = False

    def __post_init__(self) -> None:
        read_scheme(self.split)
        if not 0 <= self.flip < 1:
            raise ValueError(f"flip={self.flip}: wanted a share from 0 to below 1")
        of_rows = self.removals.startswith("rows")
        if not _REMOVALS.fullmatch(self.removals) or max(self.amounts) >= 100 and not of_rows:
            raise ValueError(
                f"removals={self.removals!r}: wanted 'percent 0.5/1/2', each < 100, or 'rows 1/3/6'"
            )
        for name in ("random_draws", "extremes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least 1")
        if not self.truth_flops >= 0:
            raise ValueError(f"truth_flops={self.truth_flops}: wanted 0 or more")
        if self.subsets < 0 or self.subsets == 1:
            raise ValueError(f"subsets={self.subsets}: wanted 0, or 2 or more to correlate")

    @property
    def amounts(self) -> tuple[float, ...]:
        """The numbers in `removals`."""
        return tuple(float(part) for part in self.removals.partition(" ")[2].split("/"))

    def removed(self, n: int) -> tuple[int, ...]:
        """How many of `n` training rows are removed, rising from 0.

        Raises `ValueError` where nothing would be left, or no percentage is a row.
        """
        if self.removals.startswith("percent"):
            of_percents = removal_counts(self.amounts, n)
            if of_percents == (0,):
                raise ValueError(
                    f"removals={self.removals!r}: of {n} training rows that is none; "
                    "'rows 0' asks for agreement with the truth alone"
                )
            return of_percents
        counts = sorted({0, *(int(amount) for amount in self.amounts)})
        if counts[-1] >= n:
            raise ValueError(f"removals={self.removals!r}: there are {n} training rows")
        return tuple(counts)


@dataclass(frozen=True)
class CleansingProblem:
    """Which rows of `train` harmed the `model` on `validation`?

    Attributes
    ----------
    model : trained on `train`, its run of SGD recorded.
    train : the training rows, with the labels that the model saw.
    validation : the query, disjoint from all rows by which an answer is scored.
    """

    model: Model
    train: Samples
    validation: Samples

    @cached_property
    def trajectory(self) -> Trajectory:
        """The recorded run; raises `Unsupported` where there is none."""
        if self.model.trajectory is None:
            raise Unsupported("needs a network whose training was recorded (record=true)")
        return self.model.trajectory

    def to(self, device: str | torch.device) -> "CleansingProblem":
        """The problem on that device, its run of SGD run again there."""
        if not isinstance(self.model, Network):
            return self
        model, validation = self.model.to(device), self.validation.to(device)
        # The run has the training rows there already.
        run = model.trajectory
        train = self.train.to(device) if run is None else run.objective.samples
        return CleansingProblem(model, train, validation)


@dataclass(frozen=True)
class Influence:
    """What each training row did to the model.

    Attributes
    ----------
    values : change of the mean loss on the query when the row is removed and the model trained
        again; negative = harmful. Only its order is scored: the smallest are removed first.
    notes : what else the method has to say about its answer, numbers by their names.
    """

    values: Float[np.ndarray, " n_train"]
    notes: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Float[Tensor, " n_train"]) -> "Influence":
        """From a tensor of any kind, on any device."""
        return cls(values.detach().cpu().double().numpy())


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    selection : rows that choose how many to remove. test : rows that score.
    removed : how many rows are removed, the first count 0.
    random : curves of random orders of removal.
    truth : what retraining tells.
    flipped : the training rows whose labels are wrong, on purpose or as the data set has them.
    rows : place of each training row in the data set.
    extremes : see `CleansingSetting`.
    exhibits : what it takes to show training rows.
    """

    selection: Samples
    test: Samples
    removed: tuple[int, ...]
    random: tuple[Curve, ...]
    truth: Truth
    flipped: Bool[np.ndarray, " n_train"]
    rows: Int[np.ndarray, " n_train"]
    extremes: int
    exhibits: Exhibits


CleansingCase = Case[CleansingProblem, Held]


@dataclass(frozen=True)
class Cleansing:
    """Remove the rows that an explanation calls harmful, train again, and look at test data."""

    name: ClassVar[str] = "cleansing"
    version: ClassVar[int] = 3
    on_gpu: ClassVar[bool] = True
    accepts: ClassVar[frozenset[str]] = frozenset({"classes"})
    Setting: ClassVar[type] = CleansingSetting
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "cleansing_gain",
            "higher",
            (-1.0, 1.0),
            "share of test rows",
            "test accuracy of the model trained again without the m most harmful rows, minus that "
            "of the model trained on all; same start and order of batches; m is chosen, 0 among "
            "the choices, by the loss on validation rows that aren't the query",
            f"{_PAPER}, Sec. 7.2 (Retrain All); the choice of m: earnest",
        ),
        Metric(
            "gain_over_random",
            "higher",
            (-1.0, 1.0),
            "share of test rows",
            "cleansing_gain minus the mean gain of removing as many rows at random",
            "earnest",
        ),
        Metric(
            "cleansing_gain_last",
            "higher",
            (-1.0, 1.0),
            "share of test rows",
            "like cleansing_gain, but only the last epoch is trained again; m is chosen anew",
            f"{_PAPER}, Sec. 7.2 (Retrain Last); the choice of m: earnest",
        ),
        Metric(
            "test_loss_change",
            "lower",
            (-math.inf, math.inf),
            "nats",
            "mean test loss after the removal that cleansing_gain scores, minus before",
            "earnest",
        ),
        Metric(
            "kendall_tau",
            "higher",
            (-1.0, 1.0),
            "",
            "Kendall's tau-b between the values and the true leave-one-out change of the query's "
            "loss, over all training rows",
            f"{_PAPER}, Sec. 7.1",
        ),
        Metric(
            "spearman",
            "higher",
            (-1.0, 1.0),
            "",
            "Spearman's rank correlation with the same",
            "earnest",
        ),
        Metric(
            "jaccard",
            "higher",
            (0.0, 1.0),
            "",
            "Jaccard index of the k smallest and k largest values with those of the true "
            "leave-one-out",
            f"{_PAPER}, Sec. 7.1",
        ),
        Metric(
            "recall_harmful",
            "higher",
            (0.0, 1.0),
            "",
            "share of the k truly most harmful rows among the k smallest values",
            "earnest",
        ),
        *(
            Metric(
                _lds(percent),
                "higher",
                (-1.0, 1.0),
                "",
                f"linear datamodeling score at {percent:g} % removed: Spearman's correlation, over "
                "random sets of that size, of the true change of the query's loss with the sum "
                "of the removed rows' values; it flatters: a sum averages errors out",
                "Park et al., TRAK, ICML 2023, Def. 2.3",
            )
            for percent in PERCENTS
        ),
        Metric(
            "check_correlation",
            "higher",
            (-1.0, 1.0),
            "",
            f"Pearson's correlation of the values of {CHECKED} random rows with the true change "
            "without each",
            "earnest",
        ),
        Metric(
            "mislabel_auc",
            "none",
            (0.0, 1.0),
            "",
            "area under the ROC curve of finding the wrong labels by small values; finding "
            "wrong labels isn't finding harmful ones",
            "earnest",
        ),
        Metric(
            "mislabel_precision",
            "none",
            (0.0, 1.0),
            "",
            "share of wrong labels among the k smallest values, k the number of wrong labels",
            "earnest",
        ),
        Metric(
            "recorded_run",
            "none",
            (0.0, math.inf),
            "MB",
            "size of the recorded run that is kept on disk, for methods that walk through it",
            "earnest",
        ),
    )

    def refuses(self, data: Data | None, setting: CleansingSetting) -> str | None:
        if data is None:
            return None
        if not data.class_names:
            return "cleansing scores accuracy: it needs classes"
        if setting.flip and setting.noise == "group" and not data.sensitive:
            return "noise 'group' wants a sensitive attribute: this data set has none"
        if setting.flip and setting.noise == "class" and len(data.class_names) == 2:
            return "noise 'class' of two classes is 'uniform' by another name"
        return None

    def case(
        self, data: Data, recipe: Recipe, setting: CleansingSetting, *, rng: np.random.Generator
    ) -> CleansingCase:
        lacking = {"replay", "retrain"} - recipe.capabilities
        if lacking:
            offers_no = ", ".join(sorted(lacking))
            raise Unsupported(f"cleansing trains again: the model offers no {offers_no}")
        split_rng, noise_rng, model_rng, case_rng = rng.spawn(4)
        parts = split(data, setting.split, rng=split_rng)
        if len(parts.validation) < 2:
            raise ValueError(f"split {setting.split!r}: wanted two validation rows or more")
        query, selection = np.array_split(case_rng.permutation(parts.validation), 2)
        check_disjoint(train=parts.train, query=query, selection=selection, test=parts.test)
        # Only training sees the labels that are known to be wrong.
        rows = parts.train, query, selection, parts.test
        right, validation, *held_out = _encoded(corrected(data), *rows)
        train, flipped = _training(right, data, parts.train, setting, noise_rng)
        problem = CleansingProblem(recipe.fit(train, rng=model_rng), train, validation)
        place = problem.trajectory.final.device
        if place.type != CPU:
            problem, held_out = problem.to(place), [part.to(place) for part in held_out]
        # A run that the cache kept may be another processor's: influence would walk through one
        # run, and the truth train another.
        problem.trajectory.verify()
        removed = setting.removed(len(train))
        orders = [case_rng.permutation(len(train)) for _ in range(setting.random_draws)]
        random = removal_curves(problem.trajectory, tuple(orders), removed, *held_out)
        truth = Truth.of(
            problem.trajectory,
            problem.validation,
            setting.truth_flops,
            setting.subsets,
            setting.error_split,
            always_check=removed != (0,),
            rng=case_rng,
        )
        known = removed, random, truth, flipped, parts.train, setting.extremes
        shown = Exhibits.of(data, parts.train)
        return Case(problem, Held(held_out[0], held_out[1], *known, shown))

    def adapts(self, setting: CleansingSetting) -> bool:
        return False

    def adapt(
        self,
        case: CleansingCase,
        setting: CleansingSetting,
        method: Method[CleansingProblem, Influence],
        *,
        rng: np.random.Generator,
    ) -> tuple[CleansingCase, ...]:
        return (case,)

    def scores(
        self, cases: tuple[CleansingCase, ...], explanations: tuple[Influence, ...]
    ) -> Scores:
        (case,), (explanation,) = cases, explanations
        problem, held = case.problem, case.held
        values = _checked(explanation, len(problem.train))
        order = np.argsort(values, kind="stable")
        rest = (order,), held.removed, held.selection, held.test
        (curve,) = removal_curves(problem.trajectory, *rest)
        last = curve
        if held.removed != (0,):
            since = problem.trajectory.last_epoch
            (last,) = removal_curves(problem.trajectory, *rest, since=since)
        scores = {
            **_gains(curve, last, held, problem.train.targets[order]),
            **_agreement(values, held),
        }
        scores["recorded_run"] = Score(problem.trajectory.bytes / 1e6)
        details = {**_details(curve, last, held, order), **held.truth.details()}
        details["weight_decay"] = problem.trajectory.objective.weight_decay
        details["exhibits"] = held.exhibits.chosen(problem.train, held.rows, values)
        return Scores(scores, {**details, "notes": dict(explanation.notes)})

    def tiny(self) -> CleansingProblem:
        """Sixteen points of two classes and a logistic regression."""
        rng = np.random.default_rng(0)
        targets = np.arange(24) % 2
        inputs = rng.normal(size=(24, 3)) + targets[:, None]
        samples = Samples(torch.tensor(inputs).float(), torch.tensor(targets), 2)
        train, validation = samples.rows(np.arange(16)), samples.rows(np.arange(16, 24))
        model = SGD(MLP(), epochs=2, batch_size=8).fit(train, rng=rng)
        return CleansingProblem(model, train, validation)


def check_disjoint(**parts: Int[np.ndarray, " _"]) -> None:
    """Raise `ValueError` where two parts share a row: test data must not choose its training."""
    for (one, rows), (other, others) in combinations(parts.items(), 2):
        shared = np.intersect1d(rows, others)
        if shared.size:
            raise ValueError(f"{one} and {other} share {shared.size} rows, {shared[0]} among them")


def _encoded(data: Data, *parts: Int[np.ndarray, " _"]) -> list[Samples]:
    """The rows of each part as a model sees them, the first being those that it is trained on."""
    samples = encode(data, parts[0], np.concatenate(parts)).samples
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [samples.rows(rows) for rows in np.split(np.arange(len(samples)), ends)]


def _training(
    right: Samples,
    data: Data,
    rows: Int[np.ndarray, " n"],
    setting: CleansingSetting,
    rng: np.random.Generator,
) -> tuple[Samples, Bool[np.ndarray, " n"]]:
    """The training rows with their wrong labels, and which are wrong."""
    train = replace(right, targets=torch.as_tensor(data.targets[rows]).to(torch.int64))
    groups = data.column(data.sensitive).astype(int)[rows] if data.sensitive else None
    if len(np.unique(train.targets)) < 2:
        raise ValueError(f"the {len(rows)} training rows are all of one class")
    targets, flipped = label_noise(
        train.targets, groups, setting.noise, setting.flip, train.n_classes, rng=rng
    )
    return replace(train, targets=targets), flipped | wrong_labels(data)[rows]


def _checked(explanation: Influence, n: int) -> Float[np.ndarray, " n_train"]:
    values = np.asarray(explanation.values, dtype=float)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(f"wanted {n} finite values, one a training row, not {values}")
    return values


def _gains(
    curve: Curve, last: Curve, held: Held, targets: Int[Tensor, " n_train"]
) -> dict[str, Score]:
    """`targets` of the training rows, the first to go first."""
    if len(held.removed) == 1:
        names = ("cleansing_gain", "gain_over_random", "cleansing_gain_last", "test_loss_change")
        return dict.fromkeys(names, Score(math.nan, note="nothing is removed"))
    i = curve.chosen
    gain = curve.accuracy_gain(i)
    at_random = float(np.mean([random.accuracy_gain(i) for random in held.random]))
    removed = _removed(targets, held.removed[i])
    removed_last = _removed(targets, held.removed[last.chosen])
    return {
        "cleansing_gain": Score(gain, note=removed),
        "gain_over_random": Score(gain - at_random, note=removed),
        "cleansing_gain_last": Score(last.accuracy_gain(last.chosen), note=removed_last),
        "test_loss_change": Score(curve.loss_change(i), note=removed),
    }


def _agreement(values: Float[np.ndarray, " n_train"], held: Held) -> dict[str, Score]:
    scores = {**_with_truth(values, held), **_with_subsets(values, held.truth)}
    check = held.truth.check
    scores["check_correlation"] = Score(math.nan, note=held.truth.unchecked)
    if check is not None:
        own = replace(check, estimates=values[check.rows])
        scores["check_correlation"] = Score(own.correlation, note=str(own))
    wrong = int(held.flipped.sum())
    if not wrong:
        none = Score(math.nan, note="no label is known to be wrong")
        return {**scores, "mislabel_auc": none, "mislabel_precision": none}
    scores["mislabel_auc"] = Score(auc(-values, held.flipped))
    found = precision_at(values, held.flipped, wrong)
    scores["mislabel_precision"] = Score(found, note=f"k = {wrong}")
    return scores


def _with_truth(values: Float[np.ndarray, " n_train"], held: Held) -> dict[str, Score]:
    truth, k = held.truth.leave_one_out, held.extremes
    if truth is None:
        unknown = Score(math.nan, note=TOO_DEAR)
        return dict.fromkeys(("kendall_tau", "spearman", "jaccard", "recall_harmful"), unknown)
    worst = np.zeros(len(truth), dtype=bool)
    worst[np.argsort(truth, kind="stable")[:k]] = True
    note = f"k = {k}"
    return {
        "kendall_tau": Score(kendall_tau(values, truth)),
        "spearman": Score(float(spearman(values[None], truth[None])[0])),
        "jaccard": Score(jaccard_of_extremes(values, truth, k), note=note),
        "recall_harmful": Score(
            precision_at(values, worst, k) if 2 * k <= len(truth) else math.nan, note=note
        ),
    }


def _with_subsets(values: Float[np.ndarray, " n_train"], truth: Truth) -> dict[str, Score]:
    unknown = Score(math.nan, note=f"{TOO_DEAR}, or subsets=0")
    return {
        _lds(percent): Score(
            truth.subsets[percent].score(values),
            note=str(truth.subsets[percent]),
        )
        if percent in truth.subsets
        else unknown
        for percent in PERCENTS
    }


def _removed(targets: Int[Tensor, " n_train"], removed: int) -> str:
    """What a removal of the first rows does, in words."""
    left, before = len(targets[removed:].unique()), len(targets.unique())
    lost = f"; {left} class{'es' * (left > 1)} left of {before}" if left < before else ""
    return f"{removed} of {len(targets)} rows removed{lost}"


def _details(
    curve: Curve, last: Curve, held: Held, order: Int[np.ndarray, " n_train"]
) -> dict[str, Any]:
    at_random = held.random
    return {
        "removed": list(held.removed),
        "n_train": len(order),
        "chosen": held.removed[curve.chosen],
        "chosen_last": held.removed[last.chosen],
        "accuracy": curve.test.accuracy.tolist(),
        "loss": curve.test.loss.tolist(),
        "selection_accuracy": curve.selection.accuracy.tolist(),
        "selection_loss": curve.selection.loss.tolist(),
        "accuracy_last": last.test.accuracy.tolist(),
        "loss_last": last.test.loss.tolist(),
        "accuracy_random": np.mean([c.test.accuracy for c in at_random], axis=0).tolist(),
        "loss_random": np.mean([c.test.loss for c in at_random], axis=0).tolist(),
        "most_harmful": held.rows[order[: held.extremes]].tolist(),
        "most_helpful": held.rows[order[::-1][: held.extremes]].tolist(),
    }

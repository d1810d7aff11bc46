"""Attribution: which features made the model predict what it predicts?"""

import math
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.cache import Cache, cache_root
from bench.data import Data, Samples, encode, read_scheme, split
from bench.models.base import Model, Recipe
from bench.models.network import MLP, Network, as_margins
from bench.models.sgd import SGD
from bench.scores import ideal_influence as scoring
from bench.setfunction.ideal import Ideal, best_known, exact_ideal
from bench.setfunction.orders import along
from bench.setfunction.outcome import G, outcome
from bench.setfunction.partition import Partition, check_kind, partition, unfit
from bench.setfunction.reference import Reference, reference
from bench.setfunction.reference import check_kind as check_reference
from bench.setfunction.split_table import Split, find_split, preactivations
from bench.setfunction.table import (
    Masks,
    SetFunction,
    Tabulated,
    check_table,
    spot_check,
    tabulate,
)
from bench.tasks.base import Case, Method, Metric, Score, Scores, Unsupported

_PAPER = "Hara, Ikeno, Soma, Maehara, Feature Attribution As Feature Selection, 2018"

IMAGE_ROWS = 256
"""Images sent through a model at once: a small network's activations then stay in the cache,
which halves the time."""

NUMBERS = 2**20
"""Numbers sent through a model at once where the inputs are no images."""

MOST_FEATURES = 24
"""A table of 2^24 values takes 128 MiB an instance."""


@dataclass(frozen=True)
class AttributionSetting:
    """What changes the problem.

    Parameters
    ----------
    split : a scheme of `bench.data.split`.
    instances : how many test rows are explained (all where there are fewer).
    partition : which features there are, see `bench.setfunction.partition.partition`.
    reference : what a deleted feature is replaced by, see
        `bench.setfunction.reference.reference`. It is part of the criterion.
    draws : how many draws where the reference is random.
    g : the number looked at, see `bench.setfunction.outcome`; a regression's output itself.
    exact_up_to : the ideal is exact up to this number of features, the best known beyond.
    shuffles : random orders of tied features over which scores are averaged.
    """

    shown: ClassVar[tuple[str, ...]] = ("reference",)

    split: str = "percent 60/20/20"
    instances: int = 20
    partition: str = "natural"
    reference: str = "mean"
    draws: int = 32
    g: Literal["probability", "logit", "margin", "label"] = "probability"
    exact_up_to: int = 16
    shuffles: int = 16

    def __post_init__(self) -> None:
        read_scheme(self.split)
        check_kind(self.partition)
        check_reference(self.reference)
        for name in ("instances", "draws", "shuffles"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least 1")
        if not 0 <= self.exact_up_to <= MOST_FEATURES:
            raise ValueError(f"exact_up_to={self.exact_up_to}: wanted 0 to {MOST_FEATURES}")


@dataclass(frozen=True)
class AttributionProblem:
    """Which features made `model` give each input its target?

    Attributes
    ----------
    model : a trained model.
    inputs : the instances to explain.
    targets : the class predicted at each of them, 0 for regression.
    partition : the p features.
    reference : what a deleted feature is replaced by.
    g : what of the model's answer is explained, see `bench.setfunction.outcome`.
    """

    model: Model
    inputs: Float[Tensor, "n *features"]
    targets: Int[Tensor, " n"]
    partition: Partition
    reference: Reference
    g: G = "probability"

    def __post_init__(self) -> None:
        shape = self.inputs.shape[1:]
        for name, found in (
            ("partition", self.partition.membership.shape),
            ("reference", self.reference.draws.shape[1:]),
        ):
            if found != shape:
                raise ValueError(f"the {name} is of shape {tuple(found)}, an input {tuple(shape)}")
        if not (torch.isfinite(self.inputs).all() and torch.isfinite(self.reference.draws).all()):
            raise ValueError("inputs and reference hold NaN or infinite numbers: impute them first")

    @property
    def n(self) -> int:
        """How many instances there are."""
        return len(self.inputs)

    @property
    def p(self) -> int:
        """How many features there are."""
        return self.partition.p

    @property
    def baseline(self) -> Float[Tensor, "n *features"]:
        """The reference's declared mean, for each instance."""
        return self.reference.mean.expand_as(self.inputs)

    @cached_property
    def null(self) -> Bool[np.ndarray, "n p"]:
        """The features that the reference leaves as they are, so that F doesn't know them."""
        return self.reference.null(self.inputs, self.partition)

    def value(self, masks: Masks) -> Float[np.ndarray, "n m"]:
        """F(S): the mean of g over the draws that replace the features S, in float64.

        Parameters
        ----------
        masks : True = deleted; `m p` for all instances, or `n m p` for each its own. Every
            value counts once in `model.calls.values`.
        """
        each = torch.tensor(masks).expand(self.n, -1, -1)
        flat, rows = each.reshape(-1, self.p), torch.arange(self.n).repeat_interleave(each.shape[1])
        self.model.calls.values += len(rows)
        pairs = max(1, self._chunk // len(self.reference.draws))
        with torch.no_grad():
            parts = [
                self._mean_outcome(some, at)
                for some, at in zip(flat.split(pairs), rows.split(pairs), strict=True)
            ]
        values: np.ndarray = torch.cat(parts).view(self.n, -1).numpy()
        return values

    def table(self) -> Float[np.ndarray, "n sets"]:
        """F of all 2^p sets in numeric order, see `bench.setfunction.table`.

        A table got by a shortcut is compared with direct calls at random sets.
        """
        network = isinstance(self.model, Network)
        split = find_split(self.model.module, self.partition) if network else None
        if split is None:
            return tabulate(self.value, self.p)
        table = self._split_table(split)
        check_table(table, *spot_check(self.value, self.p))
        return table

    def output(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """g at any inputs, for the targets of the instances `rows`; differentiable."""
        return outcome(self.model.margins(inputs), self.targets[rows], self.g)

    def gradient(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, "m *features"]:
        """The gradient of `output` at each of the inputs, in float64.

        Raises
        ------
        Unsupported
            where the model has no gradient, or g is the label, which has none.
        """
        if self.model.module is None:
            raise Unsupported("needs a differentiable model")
        if self.g == "label":
            raise Unsupported("the label has no gradient: g=probability, logit and margin have")
        parts = []
        for some, at in zip(inputs.split(self._chunk), rows.split(self._chunk), strict=True):
            points = some.detach().clone().requires_grad_()
            with torch.enable_grad():
                total = self.output(points, at).sum()
            parts.append(torch.autograd.grad(total, points)[0].double())
        return torch.cat(parts)

    @property
    def _chunk(self) -> int:
        """Rows sent through the model at once."""
        if self.inputs.ndim == 4:
            return IMAGE_ROWS
        return max(1, NUMBERS // self.inputs[0].numel())

    def _split_table(self, split: Split) -> Float[np.ndarray, "n sets"]:
        self.model.calls.values += self.n * 2**self.p
        draws, part = self.reference.draws, 2**split.upper
        table = torch.zeros(self.n, 2**self.p, dtype=torch.float64)
        with torch.no_grad():
            for row, (x, target) in enumerate(zip(self.inputs, self.targets, strict=True)):
                for draw in draws:
                    hidden = preactivations(split, self.partition, x, draw)
                    for k, some in enumerate(hidden):
                        margins = as_margins(split.tail(some), self.model.n_classes)
                        found = outcome(margins, target.expand(part), self.g)
                        table[row, k * part : (k + 1) * part] += found
        values: np.ndarray = (table / len(draws)).numpy()
        return values

    def _mean_outcome(
        self, masks: Bool[Tensor, "b p"], rows: Int[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        draws = self.reference.draws
        deleted = self.partition.positions(masks)
        points = torch.where(deleted[:, None], draws, self.inputs[rows][:, None]).flatten(0, 1)
        found = self.output(points, rows.repeat_interleave(len(draws)))
        return found.view(len(rows), -1).mean(1)


@dataclass(frozen=True)
class Attribution:
    """How influential each feature is.

    Attributes
    ----------
    values : larger = more influential for the target: deleting the feature lowers g, keeping
        it holds g up. Only their order is scored; equal values are ties.
    """

    values: Float[np.ndarray, "n p"]


@dataclass(frozen=True)
class Held:
    """What scoring needs and no method sees.

    Attributes
    ----------
    table : F of all sets, None beyond `exact_up_to`.
    ideal : the areas that no order beats, or the best known ones.
    tie_keys : random numbers that break ties, one set a shuffle.
    draw_spread : standard deviation of g over the draws, with everything deleted.
    """

    table: Float[np.ndarray, "n sets"] | None
    ideal: Ideal
    tie_keys: Float[np.ndarray, "n k p"]
    draw_spread: Float[np.ndarray, " n"]


AttributionCase = Case[AttributionProblem, Held]


@dataclass(frozen=True)
class AttributionTask:
    """Delete features in the order of an explanation, and compare with the best of all orders."""

    name: ClassVar[str] = "attribution"
    version: ClassVar[int] = 1
    accepts: ClassVar[frozenset[str]] = frozenset({"classes", "number"})
    adapts: ClassVar[bool] = False
    Setting: ClassVar[type] = AttributionSetting
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "ideal_influence",
            "higher",
            (-1.0, 1.0),
            "",
            "II = J / J*, J(pi) = A(reverse of pi) - A(pi), A the area under F as features are "
            "deleted in the order pi; J* the largest J of all orders: 1 = ideal, 0 = chance",
            "earnest",
        ),
        Metric(
            "exclusion",
            "higher",
            (-math.inf, 1.0),
            "",
            "EX = (A_rand - A(pi)) / (A_rand - A_min): deleting the most influential first",
            f"earnest; exclusive feature selection: {_PAPER}",
        ),
        Metric(
            "inclusion",
            "higher",
            (-math.inf, 1.0),
            "",
            "IN = (A(reverse of pi) - A_rand) / (A_max - A_rand): keeping the most influential",
            f"earnest; inclusive feature selection: {_PAPER}",
        ),
        Metric("regret", "lower", (0.0, math.inf), "units of g", "J* - J(pi)", "earnest"),
        Metric(
            "nestedness_gap",
            "none",
            (0.0, math.inf),
            "units of g",
            "A_min minus the area under the least F of each size: what every order loses",
            "earnest",
        ),
        Metric(
            "tie_mass",
            "none",
            (0.0, 1.0),
            "share of pairs",
            "pairs of features with equal values; scores are means over their random orders",
            "earnest",
        ),
    )

    def refuses(self, data: Data | None, setting: AttributionSetting) -> str | None:
        return None if data is None else unfit(setting.partition, data)

    def case(
        self, data: Data, recipe: Recipe, setting: AttributionSetting, *, rng: np.random.Generator
    ) -> AttributionCase:
        split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
        rows_rng, reference_rng, held_rng = case_rng.spawn(3)
        parts = split(data, setting.split, rng=split_rng)
        if not len(parts.test):
            raise ValueError(f"split={setting.split!r} leaves no test rows to explain")
        encoding = encode(data, parts.train)
        train = encoding.samples.rows(parts.train)
        model = recipe.fit(train, rng=model_rng)
        chosen = rows_rng.permutation(parts.test)[: setting.instances]
        inputs = encoding.samples.inputs[torch.from_numpy(chosen)]
        problem = AttributionProblem(
            model,
            inputs,
            predicted(model, inputs),
            partition(setting.partition, data, encoding),
            reference(setting.reference, train.inputs, setting.draws, rng=reference_rng),
            setting.g if model.n_classes else "output",
        )
        return Case(problem, _held(problem, setting, held_rng))

    def adapt(
        self,
        case: AttributionCase,
        method: Method[AttributionProblem, Attribution],
        *,
        rng: np.random.Generator,
    ) -> tuple[AttributionCase, ...]:
        return (case,)

    def scores(
        self, cases: tuple[AttributionCase, ...], explanations: tuple[Attribution, ...]
    ) -> Scores:
        (case,), (explanation,) = cases, explanations
        problem, held = case.problem, case.held
        values = _checked(explanation, problem)
        measured = _measured(problem, held, values)
        return Scores(_scores(measured, held, values), _details(problem, held, values, measured))

    def tiny(self) -> AttributionProblem:
        """Three of twenty-four points of two classes, five features, and a small network."""
        rng = np.random.default_rng(0)
        labels = torch.from_numpy(np.arange(24) % 2)
        inputs = torch.from_numpy(rng.normal(size=(24, 5))).float() + labels[:, None]
        model = _tiny_model(inputs, labels, rng)
        columns = Partition(torch.arange(5), tuple("abcde"))
        zero = Reference(torch.zeros(1, 5))
        return AttributionProblem(model, inputs[:3], predicted(model, inputs[:3]), columns, zero)


def predicted(model: Model, inputs: Float[Tensor, "n *features"]) -> Int[Tensor, " n"]:
    """The class that the model predicts at each input, 0 for regression."""
    with torch.no_grad():
        return model.margins(inputs).argmax(1)


def _tiny_model(
    inputs: Float[Tensor, "n *features"], labels: Int[Tensor, " n"], rng: np.random.Generator
) -> Model:
    recipe = SGD(MLP((8,), "softplus"), epochs=2, batch_size=8, record=False)
    return recipe.fit(Samples(inputs, labels, 2), rng=rng)


def _held(
    problem: AttributionProblem, setting: AttributionSetting, rng: np.random.Generator
) -> Held:
    ties_rng, orders_rng = rng.spawn(2)
    table = cached_table(problem) if problem.p <= setting.exact_up_to else None
    if table is None:
        check_repeats(problem)
        ideal = best_known(problem.value, problem.null, rng=orders_rng)
    else:
        ideal = exact_ideal(table)
    keys = ties_rng.random((problem.n, setting.shuffles, problem.p))
    return Held(table, ideal, keys, _draw_spread(problem))


def check_repeats(problem: AttributionProblem) -> None:
    """Raise `ArithmeticError` where the model answers the same rows differently."""
    masks = np.eye(problem.p, dtype=bool)
    if not np.array_equal(problem.value(masks), problem.value(masks)):
        raise ArithmeticError(
            "the model answers the same row differently each time: is it in eval mode?"
        )


def cached_table(problem: AttributionProblem) -> Float[np.ndarray, "n sets"]:
    """The problem's table, built once for all settings and processes that share it.

    It is compared with direct calls at random sets whether it was built or found; these
    answers are part of its name, so that even a model without weights to hash is told apart.

    Raises
    ------
    ArithmeticError
        where it differs from them.
    """
    numbers, direct = spot_check(problem.value, problem.p)
    digest = sha256(f"{problem.g} {problem.p}".encode())
    module = problem.model.module
    for tensor in (
        problem.inputs,
        problem.targets,
        problem.reference.draws,
        problem.partition.membership,
        *(module.state_dict().values() if module is not None else ()),
    ):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(direct.tobytes())
    cache = Cache(cache_root())
    table = cache.arrays("tables", digest.hexdigest(), lambda: {"table": problem.table()})["table"]
    check_table(table, numbers, direct)
    return table


def _draw_spread(problem: AttributionProblem) -> Float[np.ndarray, " n"]:
    draws, n = problem.reference.draws, problem.n
    if len(draws) == 1:
        return np.zeros(n)
    rows = torch.arange(n).repeat_interleave(len(draws))
    with torch.no_grad():
        found = problem.output(torch.cat([draws] * n), rows)
    spread: np.ndarray = found.view(n, -1).std(1).numpy()
    return spread


def _checked(explanation: Attribution, problem: AttributionProblem) -> Float[np.ndarray, "n p"]:
    values = np.asarray(explanation.values, dtype=float)
    if values.shape != (problem.n, problem.p):
        raise ValueError(
            f"attributions of shape {values.shape}: wanted ({problem.n}, {problem.p}), a row an "
            "instance and a column a feature of the partition"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite attributions, "
            f"the first at instance {row}, feature {problem.partition.names[column]!r}"
        )
    return values


@dataclass(frozen=True)
class _Measured:
    """F along an explanation's orders (means over the shuffles of ties), and the yardstick."""

    deletion: Float[np.ndarray, "n levels"]
    reverse: Float[np.ndarray, "n levels"]
    ideal: Ideal
    scale: Float[np.ndarray, " n"]

    @property
    def influence(self) -> Float[np.ndarray, " n"]:
        """J."""
        influence: np.ndarray = scoring.area(self.reverse) - scoring.area(self.deletion)
        return influence


def _measured(
    problem: AttributionProblem, held: Held, values: Float[np.ndarray, "n p"]
) -> _Measured:
    tied = scoring.tie_mass(values).any()
    orders = scoring.shuffled_orders(values, held.tie_keys if tied else held.tie_keys[:, :1])
    value = _lookup(problem, held)
    deletion, reverse = along(value, orders), along(value, orders[..., ::-1])
    ideal = held.ideal
    if not ideal.exact:
        ideal = ideal.raised(scoring.area(deletion), scoring.area(reverse))
    seen = np.concatenate([deletion, reverse], axis=1) if held.table is None else held.table
    scale = np.abs(seen.reshape(problem.n, -1)).max(axis=1)
    return _Measured(deletion.mean(axis=1), reverse.mean(axis=1), ideal, scale)


def _lookup(problem: AttributionProblem, held: Held) -> SetFunction:
    return problem.value if held.table is None else Tabulated(held.table)


def _scores(measured: _Measured, held: Held, values: Float[np.ndarray, "n p"]) -> dict[str, Score]:
    ideal, scale = measured.ideal, measured.scale
    deleted, kept = scoring.area(measured.deletion), scoring.area(measured.reverse)
    note = _exactness(ideal)
    gap = Score(math.nan, 0, note="needs the table of all sets")
    if held.table is not None:
        gap = Score.mean(scoring.nestedness_gap(held.table, ideal.least), note)
    by_instance = {
        "ideal_influence": scoring.ideal_influence(measured.influence, ideal.joint, scale),
        "exclusion": scoring.exclusion(deleted, ideal.chance_area, ideal.least, scale),
        "inclusion": scoring.inclusion(kept, ideal.chance_area, ideal.most, scale),
        "regret": ideal.joint - measured.influence,
    }
    return {
        **{name: Score.mean(v, note + _undefined(v)) for name, v in by_instance.items()},
        "nestedness_gap": gap,
        "tie_mass": Score.mean(scoring.tie_mass(values)),
    }


def _exactness(ideal: Ideal) -> str:
    if ideal.exact:
        return "exact"
    error = float(ideal.chance_se.mean())
    return f"against the best order known, not the exact one; chance estimated to {error:.1g}"


def _undefined(values: Float[np.ndarray, " n"]) -> str:
    count = int(np.isnan(values).sum())
    if not count:
        return ""
    return (
        f"; undefined on {count} of {len(values)} instances: no order differs from another by "
        f"more than {scoring.TOLERANCE:g} of the largest |F|"
    )


def _details(
    problem: AttributionProblem,
    held: Held,
    values: Float[np.ndarray, "n p"],
    measured: _Measured,
) -> dict[str, Any]:
    """Scores by instance, and all that a figure of instance 0 shows."""
    ideal = measured.ideal
    per_instance = scoring.ideal_influence(measured.influence, ideal.joint, measured.scale)
    value = _lookup(problem, held)
    best, best_reverse = along(value, ideal.orders), along(value, ideal.orders[..., ::-1])
    chance = ideal.chance[0]
    conflict = {
        "exclusion_of_most": scoring.exclusion(
            scoring.area(best[:, 1]), ideal.chance_area, ideal.least, measured.scale
        ),
        "inclusion_of_least": scoring.inclusion(
            scoring.area(best_reverse[:, 0]), ideal.chance_area, ideal.most, measured.scale
        ),
    }
    image = problem.inputs.ndim == 4
    return {
        "ideal": "exact" if ideal.exact else "best_known",
        "ideal_influence": per_instance.tolist(),
        "best": ideal.joint.tolist(),
        "conflict": {name: numbers.tolist() for name, numbers in conflict.items()},
        "nothing_deleted": measured.deletion[:, 0].tolist(),
        "everything_deleted": measured.deletion[:, -1].tolist(),
        "draw_spread": held.draw_spread.tolist(),
        "instance": {
            "target": int(problem.targets[0]),
            "features": list(problem.partition.names),
            "values": values[0].tolist(),
            "membership": problem.partition.membership.tolist(),
            "pixels" if image else "input": problem.inputs[0].tolist(),
            # Both against the share of features deleted, or kept: 0, 1/p, .., 1.
            "deletion": {
                "method": measured.deletion[0].tolist(),
                "ideal": best[0, 2].tolist(),
                "chance": chance.tolist(),
            },
            "inclusion": {
                "method": measured.reverse[0, ::-1].tolist(),
                "ideal": best_reverse[0, 2, ::-1].tolist(),
                "chance": chance[::-1].tolist(),
            },
        },
    }

"""A task's tiny problem, changed in ways whose effect on the answer is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from bench.data import Samples
from bench.models.given import BlackBox
from bench.models.network import MLP, Network, with_parameters
from bench.models.sgd import SGD
from bench.rules import Literals, Partner, Rule, RulePool, pack
from bench.scores.rank_agreement import auc, kendall_tau
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.companion import Companion, CompanionProblem, Rows
from bench.tasks.fairwashing import (
    FairwashingProblem,
    Sampling,
)
from bench.tasks.fairwashing import (
    toy_problem as toy_decisions,
)
from bench.tasks.fairwashing_looks import looks, washability
from bench.tasks.fairwashing_scores import check
from bench.tasks.unified import Explanation, UnifiedProblem, read, toy_problem

Values = np.ndarray
"""An explanation in numbers: two explanations say the same where these are equal."""

Back = Callable[[Values], Values]
"""From the values of a reordered problem to those of the problem itself."""

Truth = tuple[Any, Callable[[Any], float], float]
"""A problem, how far an explanation of it agrees with the truth, and how far it must."""


@runtime_checkable
class Probe(Protocol):
    """What is known of a task's problems; None where the task has nothing of the kind."""

    def wrong(self, problem: Any, explanation: Any) -> str | None:
        """What is wrong with the explanation's type, shape or numbers."""
        ...

    def values(self, problem: Any, explanation: Any) -> Values:
        """The explanation in numbers."""
        ...

    def reordered(self, problem: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Back]]:
        """The same problem with features or rows in another order."""
        ...

    def first_rows(self, problem: Any) -> Any | None:
        """The first of the instances to be explained, alone."""
        ...

    def constant(self, problem: Any) -> Any | None:
        """The problem with a model that says the same of everything."""
        ...

    def black_box(self, problem: Any) -> Any | None:
        """The problem with a model that offers margins and nothing else."""
        ...

    def truth(self) -> Truth | None:
        """A problem whose answer is known beforehand."""
        ...


def plain(model: Any) -> BlackBox:
    """The same margins, from a model that shows nothing else."""
    return BlackBox(lambda inputs: model.margins(inputs).detach(), model.n_classes)


@dataclass(frozen=True)
class AttributionProbe:
    """Features and instances in another order, a constant model, a logistic regression."""

    def wrong(self, problem: AttributionProblem, explanation: Any) -> str | None:
        if not isinstance(explanation, Attribution):
            return f"wanted an Attribution, not {type(explanation).__name__}"
        return _wrong_array(explanation.values, (problem.n, problem.p))

    def values(self, problem: AttributionProblem, explanation: Attribution) -> Values:
        return explanation.values

    def reordered(
        self, problem: AttributionProblem, rng: np.random.Generator
    ) -> Iterator[tuple[AttributionProblem, Back]]:
        """The same features called by other numbers, then the instances in another order."""
        order = rng.permutation(problem.p)
        place, old = np.argsort(order), problem.partition
        names = tuple(old.names[feature] for feature in order)
        new = torch.as_tensor(place).to(old.membership.device)[old.membership]
        renamed = Partition(new, names, old.own)
        yield replace(problem, partition=renamed), lambda values: values[:, place]
        rows = rng.permutation(problem.n)
        yield _rows(problem, rows), lambda values: values[np.argsort(rows)]

    def first_rows(self, problem: AttributionProblem) -> AttributionProblem:
        return _rows(problem, np.arange(problem.n - 1))

    def constant(self, problem: AttributionProblem) -> AttributionProblem:
        module = problem.model.module
        assert module is not None
        silent = with_parameters(module, torch.zeros(sum(p.numel() for p in module.parameters())))
        return replace(problem, model=Network(silent, problem.model.n_classes))

    def black_box(self, problem: AttributionProblem) -> AttributionProblem:
        return replace(problem, model=plain(problem.model))

    def truth(self) -> Truth:
        """Where all inputs are positive, the reference 0 and the model a logistic regression
        with positive weights, the order of the weights is the best at every size."""
        weights = torch.arange(1.0, 6.0) / 5
        module = MLP().build(torch.Size([5]), 1)
        model = Network(with_parameters(module, torch.cat([weights, -weights[:3].sum()[None]])), 2)
        inputs = torch.tensor([[1.0], [1.5]]).expand(2, 5).clone()
        features = Partition(torch.arange(5), tuple("abcde"))
        zero, targets = Reference(torch.zeros(1, 1, 5)), torch.ones(2, dtype=torch.int64)
        problem = AttributionProblem(model, inputs, targets, features, zero)

        def agreement(explanation: Attribution) -> float:
            taus = [kendall_tau(row, weights.double().numpy()) for row in explanation.values]
            return float(np.nan_to_num(taus).mean())

        return problem, agreement, 0.9


def _rows(problem: AttributionProblem, rows: np.ndarray) -> AttributionProblem:
    draws = problem.reference.draws
    own = problem.reference if problem.reference.shared else Reference(draws[rows])
    inputs, targets = problem.inputs[rows], problem.targets[rows]
    parted = problem.partition.at(torch.from_numpy(rows))
    return replace(problem, inputs=inputs, targets=targets, partition=parted, reference=own)


@dataclass(frozen=True)
class CleansingProbe:
    """Training rows in another order, and wrong labels that are known."""

    def wrong(self, problem: CleansingProblem, explanation: Any) -> str | None:
        if not isinstance(explanation, Influence):
            return f"wanted an Influence, not {type(explanation).__name__}"
        return _wrong_array(explanation.values, (len(problem.train),))

    def values(self, problem: CleansingProblem, explanation: Influence) -> Values:
        return explanation.values

    def reordered(
        self, problem: CleansingProblem, rng: np.random.Generator
    ) -> Iterator[tuple[CleansingProblem, Back]]:
        """Training rows dealt anew to the same batches, so that the run of SGD is the same."""
        order = rng.permutation(len(problem.train))
        model, train = _dealt_anew(problem.model, problem.train, order)
        yield (
            replace(problem, model=model, train=train),
            lambda values: values[np.argsort(order)],
        )

    def first_rows(self, problem: CleansingProblem) -> None:
        return None

    def constant(self, problem: CleansingProblem) -> None:
        return None

    def black_box(self, problem: CleansingProblem) -> CleansingProblem:
        return replace(problem, model=plain(problem.model))

    def truth(self) -> Truth:
        """Two clouds far apart; the 4 of 32 rows with a wrong label should come out lowest."""
        rng = np.random.default_rng(0)
        targets = np.arange(64) % 2
        inputs = rng.normal(size=(64, 3)) + 4 * (targets[:, None] - 0.5)
        flipped = np.arange(32) < 4
        labels = np.where(np.arange(64) < 4, 1 - targets, targets)
        samples = Samples(torch.tensor(inputs).float(), torch.tensor(labels), 2)
        train, query = samples.rows(np.arange(32)), samples.rows(np.arange(32, 64))
        model = SGD(MLP(), epochs=5, batch_size=8).fit(train, rng=rng)
        problem = CleansingProblem(model, train, query)
        return problem, lambda explanation: auc(-explanation.values, flipped), 0.9


def _dealt_anew(model: Any, train: Samples, order: np.ndarray) -> tuple[Any, Samples]:
    """The same run of SGD on the training rows in another order."""
    place, rows, old = torch.as_tensor(np.argsort(order)), train.rows(order), model.trajectory
    schedule = replace(old.schedule, order=place.to(old.final.device)[old.schedule.order])
    run = replace(old, objective=replace(old.objective, samples=rows), schedule=schedule)
    return replace(model, trajectory=run), rows


@dataclass(frozen=True)
class CompanionProbe:
    """Rows and literals in another order, and a planted rule."""

    def wrong(self, problem: CompanionProblem, explanation: Any) -> str | None:
        if not isinstance(explanation, Partner):
            return f"wanted a RuleList or another Partner, not {type(explanation).__name__}"
        if not set(explanation.labels) <= {0, 1}:
            return f"labels are 0 or 1, not {explanation.labels}"
        unknown = set(explanation.literals) - set(range(len(problem.train.literals.names)))
        return f"no literals {unknown}" if unknown else None

    def values(self, problem: CompanionProblem, explanation: Partner) -> Values:
        """For each training row the place of its rule and the label that it gets."""
        rows = problem.train.literals.values
        return np.stack([explanation.decided_by(rows), explanation.predict(rows)], axis=1)

    def reordered(
        self, problem: CompanionProblem, rng: np.random.Generator
    ) -> Iterator[tuple[CompanionProblem, Back]]:
        """Training rows, then pairs of a literal and its negation; the pool keeps its order."""
        order = rng.permutation(len(problem.train))
        pool, train = problem.pool, problem.train
        rows = Rows(train.literals.rows(order), train.labels[order], train.black_box[order])
        confidence = problem.confidence[order]
        yield (
            replace(problem, train=rows, confidence=confidence, pool=_pool(pool.rules, rows)),
            lambda values: values[np.argsort(order)],
        )
        pairs = rng.permutation(len(train.literals.names) // 2)
        columns = np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel()
        place, names = np.argsort(columns), train.literals.names
        literals = Literals(train.literals.values[:, columns], tuple(names[c] for c in columns))
        rules = tuple(Rule(tuple(int(place[c]) for c in rule.conditions)) for rule in pool.rules)
        rows = replace(train, literals=literals)
        yield replace(problem, train=rows, pool=_pool(rules, rows)), lambda values: values

    def first_rows(self, problem: CompanionProblem) -> None:
        return None

    def constant(self, problem: CompanionProblem) -> None:
        return None

    def black_box(self, problem: CompanionProblem) -> None:
        return None

    def truth(self) -> Truth:
        """The labels follow one conjunction of two literals: list and default rule find it."""
        problem = Companion().tiny()
        rows = problem.train

        def right(explanation: Partner) -> float:
            found = explanation.predict(rows.literals.values)
            found = np.where(found < 0, problem.default(explanation), found)
            return float((found == rows.labels).mean())

        return problem, right, 0.97


def _pool(rules: tuple[Rule, ...], rows: Rows) -> RulePool:
    return RulePool(rules, pack(np.stack([rule.covers(rows.literals.values) for rule in rules])))


@dataclass(frozen=True)
class FairwashingProbe:
    """People and columns in another order, and decisions that a short list washes."""

    def wrong(self, problem: FairwashingProblem, explanation: Any) -> str | None:
        try:
            check(problem, explanation)
        except ValueError as error:
            return str(error)
        found = self.values(problem, explanation)
        if isinstance(explanation, Sampling):
            fits = found.shape == (len(problem.population),) and ((found >= 0) & (found <= 1)).all()
            return None if fits else "wanted a probability for each of the two groups' people"
        return None if np.isin(found, (0, 1)).all() else "decisions are 0 or 1"

    def values(self, problem: FairwashingProblem, explanation: Any) -> Values:
        """Of a sample how likely each person is in it; of models what the first says of each."""
        if isinstance(explanation, Sampling):
            return explanation.designs[0].inclusion
        first = explanation.candidates[0][:1]
        return np.array([one.model.predict(problem.columns) for one in first], dtype=float).T

    def reordered(
        self, problem: FairwashingProblem, rng: np.random.Generator
    ) -> Iterator[tuple[FairwashingProblem, Back]]:
        """The people."""
        order = rng.permutation(len(problem.groups))
        parts = ("columns", "inputs", "decisions", "labels", "groups")
        people = {name: getattr(problem, name)[order] for name in parts}
        yield replace(problem, **people), lambda values: values[np.argsort(order)]

    def first_rows(self, problem: FairwashingProblem) -> None:
        return None

    def constant(self, problem: FairwashingProblem) -> None:
        return None

    def black_box(self, problem: FairwashingProblem) -> None:
        return None

    def truth(self) -> Truth:
        """A black box that is unfair through one column, and otherwise says what a second says:
        the list of the second alone is nine tenths true, and fair."""
        problem = toy_decisions()

        def washed(explanation: Any) -> float:
            if isinstance(explanation, Sampling):
                chance = explanation.designs[0].inclusion
                rates = [_rate(chance, problem, group) for group in (0, 1)]
                own = [problem.decisions[problem.groups == group].mean() for group in (0, 1)]
                return float(1 - abs(rates[1] - rates[0]) / abs(own[1] - own[0]))
            found = looks(
                [one.model for one in explanation.candidates[0]],
                problem.measure,
                problem.columns,
                problem.decisions,
                problem.groups,
                problem.labels,
            )
            return washability(found.least, found.own)

        return problem, washed, 0.3


def _rate(chance: np.ndarray, problem: FairwashingProblem, group: int) -> float:
    """Of positive decisions about a group, in a sample of these probabilities."""
    own = problem.groups[problem.population] == group
    decisions = problem.decisions[problem.population]
    return float(chance[own] @ decisions[own] / chance[own].sum())


@dataclass(frozen=True)
class UnifiedProbe:
    """Query points, features and training rows in another order, and one feature that tells."""

    def wrong(self, problem: UnifiedProblem, explanation: Any) -> str | None:
        try:
            read(explanation, problem)
        except ValueError as error:
            return str(error)
        return None

    def values(self, problem: UnifiedProblem, explanation: Explanation) -> Values:
        """For each query point the features' values, the training rows' places, what is said;
        0 for what isn't there."""
        both = read(explanation, problem)
        found = np.zeros((problem.n, problem.features.p + len(problem.train) + 1))
        if both.features is not None:
            found[:, : problem.features.p] = both.features.values
        if both.data is not None:
            found[:, problem.features.p : -1] = np.argsort(both.data.order, axis=1)
        if both.says is not None:
            found[:, -1] = both.says
        return found

    def reordered(
        self, problem: UnifiedProblem, rng: np.random.Generator
    ) -> Iterator[tuple[UnifiedProblem, Back]]:
        """Query points, then features called by other numbers, then training rows dealt anew."""
        features, columns, p = problem.features, problem.columns, problem.features.p
        rows = rng.permutation(problem.n)
        yield _queries(problem, rows), lambda values: values[np.argsort(rows)]
        renamed, back = next(AttributionProbe().reordered(features, rng))
        yield (
            replace(problem, features=renamed),
            lambda values: np.concatenate([back(values[:, :p]), values[:, p:]], axis=1),
        )
        order = rng.permutation(len(problem.train))
        place, old = np.argsort(order), problem.companion
        model, train = _dealt_anew(problem.model, problem.train, order)
        told = old.train
        told = Rows(told.literals.rows(order), told.labels[order], told.black_box[order])
        confidence, pool = old.confidence[order], _pool(old.pool.rules, told)
        yield (
            replace(
                problem,
                features=replace(features, model=model),
                train=train,
                companion=replace(old, train=told, confidence=confidence, pool=pool),
                columns=replace(columns, train=columns.train[order]),
            ),
            lambda values: np.concatenate(
                [values[:, :p], values[:, p:-1][:, place], values[:, -1:]], axis=1
            ),
        )

    def first_rows(self, problem: UnifiedProblem) -> UnifiedProblem:
        return _queries(problem, np.arange(problem.n - 1))

    def constant(self, problem: UnifiedProblem) -> None:
        return None

    def black_box(self, problem: UnifiedProblem) -> UnifiedProblem:
        return replace(problem, features=replace(problem.features, model=plain(problem.model)))

    def truth(self) -> Truth:
        """Two clouds apart in the first feature alone: it comes first, and so do the rows of the
        query points' own cloud."""
        rng = np.random.default_rng(0)
        labels = np.where(np.arange(64) < 4, 1, np.arange(64) % 2)
        inputs = rng.normal(size=(64, 4)) * np.array([0.3, 1, 1, 1])
        inputs[:, 0] += 2 * (2 * labels - 1)
        samples = Samples(torch.tensor(inputs).float(), torch.tensor(labels), 2)
        problem = toy_problem(samples, 4, rng=rng)
        own = problem.train.targets.numpy() == 1

        def agreement(explanation: Explanation) -> float:
            both, found = read(explanation, problem), []
            if both.features is not None:
                found.append(float((both.features.values.argmax(axis=1) == 0).mean()))
            if both.data is not None:
                found.append(float(own[both.data.order[:, : problem.removed]].mean()))
            return min(found)

        return problem, agreement, 0.9


def _queries(problem: UnifiedProblem, rows: np.ndarray) -> UnifiedProblem:
    """The same problem for these query points, in this order."""
    columns = replace(problem.columns, queries=problem.columns.queries[rows])
    features, queries = _rows(problem.features, rows), problem.queries.rows(rows)
    return replace(problem, features=features, queries=queries, columns=columns)


def _wrong_array(values: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return f"wanted an array of real numbers, not {type(values).__name__}"
    if values.shape != shape:
        return f"wanted the shape {shape}, not {values.shape}"
    return None if np.isfinite(values).all() else "some values aren't finite"


PROBES: dict[str, Probe] = {
    "attribution": AttributionProbe(),
    "cleansing": CleansingProbe(),
    "companion": CompanionProbe(),
    "fairwashing": FairwashingProbe(),
    "unified": UnifiedProbe(),
}
"""By the task's name."""

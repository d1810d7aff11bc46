"""The case of a fairwash: a black box, the people who sue, and those whom an auditor knows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from bench.data import Data, Encoding, Images, Split, Table, encode, read_scheme, split
from bench.models.base import Recipe
from bench.rules import Literals, binarize
from bench.rules.exact import Limits
from bench.rules.fair_search import Goal
from bench.rules.fairness import NEITHER, two_groups
from bench.rules.patterns import MOST_COLUMNS
from bench.rules.rationalize import FairList, Suing, rationalize
from bench.scores.disparity import disparity
from bench.tasks.base import Case, Unsupported
from bench.tasks.fairwashing_problem import FairwashingProblem, Region, Scope, Unfairness

FEWEST = 30
"""People of a level at least, where the pair of groups is looked for."""
PRICE = 0.005
"""Of a rule in an honest list: ICML 2019, Sec. 5."""
_SECONDS, _EACH = 30.0, 1.0
"""CPU seconds for the most faithful list, and for each honest one: the best one met then does."""


@dataclass(frozen=True)
class FairwashingSetting:
    """What changes the problem.

    Parameters
    ----------
    scope : whether what is published has to look fair before all (`global`: a readable model of
        all decisions, or a sample of them) or before each person who complains (`local`: a model
        for each).
    measure : of unfairness, see `bench.rules.fairness.gaps`.
    split : a scheme of `bench.data.split`: the black box's training rows, the suing group (in the
        place of the validation rows), and the test rows, which auditors know.
    group : the level of the sensitive column that is protected; of a number a range, `30 to 60`,
        ends included. None: what the data say, else of two levels the one that the black box
        favours less, of more the pair of levels that it treats most differently. The record
        names them.
    other : the level that `group` is compared with; none: everyone else.
    favourable : name or index of the class that people wish for; none: what the data say, else
        the last.
    decisions : whether the black box decides, or the data's own targets are the decisions.
    columns, bins, support : a readable model may use at most so many binary columns; numbers are
        cut at their quantiles into so many bins; columns hold for at least this share of the
        suing group, and for at most one less it. The most telling of the decisions are taken.
    group_column : whether a readable model may ask for the sensitive column itself.
    users, neighbours, least : of `local`: so many rejected people of the protected group at
        most; their neighbourhood is this share of the suing group, the nearest ones; only
        those whose neighbourhood's unfairness is larger than `least` complain.
    audit_size : people in a published sample, and people whom an auditor asks about.
    audits : how often an auditor looks, each time at others: for detection power.
    honest : models, each honestly fitted to a bootstrap of the suing group, whose statistics a
        detector knows.
    rate : of positive decisions in a sample; none: that of all.
    """

    shown: ClassVar[tuple[str, ...]] = ("scope", "measure")

    scope: Scope = "global"
    measure: Unfairness = "demographic_parity"
    split: str = "percent 34/33/33"
    group: str | None = None
    other: str | None = None
    favourable: str | int | None = None
    decisions: Literal["model", "data"] = "model"
    columns: int = 36
    bins: int = 5
    support: float = 0.05
    group_column: bool = False
    users: int = 20
    neighbours: float = 0.1
    least: float = 0.05
    audit_size: int = 200
    audits: int = 100
    honest: int = 39
    rate: float | None = None

    def __post_init__(self) -> None:
        read_scheme(self.split)
        if not 1 <= self.columns <= MOST_COLUMNS:
            raise ValueError(f"columns={self.columns}: wanted 1 to {MOST_COLUMNS}")
        for name, least in (("bins", 2), ("users", 1), ("audit_size", 5), ("audits", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")
        if self.honest < 0:
            raise ValueError(f"honest={self.honest}: wanted 0 or more")
        for name, most in (("support", 0.5), ("neighbours", 1.0), ("least", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}={getattr(self, name)}: wanted a share, 0 to {most:g}")
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise ValueError(f"rate={self.rate}: wanted a share, 0 to 1")


@dataclass(frozen=True)
class People:
    """Whom an auditor knows: rows that neither black box nor attacker has seen.

    Attributes
    ----------
    columns, inputs, decisions, labels, groups : see `FairwashingProblem`.
    """

    columns: Bool[np.ndarray, "n c"]
    inputs: Float[np.ndarray, "n d"]
    decisions: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Held:
    """What scoring needs and no attacker sees.

    Attributes
    ----------
    test : people.
    group_names : of the protected group and of the other.
    accuracy : of the decisions among these people.
    others : for each other black box its decisions about them.
    faithful : the list most faithful to the black box on the suing group; none: not asked for.
    honest : such lists for bootstraps of the suing group.
    audits : how often an auditor looks. seed : of what auditors draw.
    """

    test: People
    group_names: tuple[str, str]
    accuracy: float
    others: dict[str, Int[np.ndarray, " n"]]
    faithful: FairList | None
    honest: tuple[FairList, ...]
    audits: int
    seed: int


FairwashingCase = Case[FairwashingProblem, Held]


def fairwashing_case(
    data: Table,
    recipe: Recipe,
    others: tuple[Recipe, ...],
    setting: FairwashingSetting,
    rng: np.random.Generator,
) -> FairwashingCase:
    """Split, train the black boxes, choose groups and columns, find honest models."""
    split_rng, _noise_rng, model_rng, case_rng = rng.spawn(4)
    user_rng, honest_rng, audit_rng, *other_rngs = case_rng.spawn(3 + len(others))
    parts = split(data, setting.split, rng=split_rng)
    check_parts(parts, setting)
    encoding, favourable = encode(data, parts.train), favourable_class(data, setting)
    labels = (data.targets == favourable).astype(np.int64)
    decisions = labels
    if setting.decisions == "model":
        decisions = _decided(recipe, encoding, parts, favourable, model_rng)
    suing, test = parts.validation, parts.test
    groups, group_names = grouped(data, decisions, suing, setting)
    literals = _columns(data, parts, decisions, setting)
    inputs = _without_group(data, encoding)
    whole = setting.scope == "global"
    other_decisions = {
        f"{place} {type(other).__name__}": _decided(other, encoding, parts, favourable, other_rng)[
            test
        ]
        for place, (other, other_rng) in enumerate(
            zip(others if whole else (), other_rngs, strict=False), start=1
        )
    }
    names = class_names_of(data, favourable)
    problem = FairwashingProblem(
        setting.scope,
        literals.values[suing],
        literals.names,
        names,
        inputs[suing],
        decisions[suing],
        labels[suing],
        groups[suing],
        setting.measure,
        (Region(np.arange(len(suing))),),
        setting.audit_size,
        setting.rate,
    )
    if setting.scope == "local":
        problem = _local(problem, setting, user_rng)
    people = People(
        literals.values[test], inputs[test], decisions[test], labels[test], groups[test]
    )
    _check_people(people, setting)
    held = Held(
        people,
        group_names,
        float((decisions[test] == labels[test]).mean()),
        other_decisions,
        _faithful(problem.suing(problem.regions[0]), _SECONDS) if whole else None,
        tuple(_honest_lists(problem, setting.honest if whole else 0, honest_rng)),
        setting.audits,
        int(audit_rng.integers(2**31)),
    )
    return Case(problem, held)


def check_parts(parts: Split, setting: FairwashingSetting) -> None:
    """Raise `ValueError` where there is nobody to sue or to audit."""
    for name, rows in (("the suing group", parts.validation), ("the test part", parts.test)):
        if not len(rows):
            raise ValueError(
                f"split={setting.split!r} leaves {name} without people: as 'percent 34/33/33'"
            )


def favourable_class(data: Data, setting: FairwashingSetting) -> int:
    """The index of the class that people wish for.

    Raises
    ------
    ValueError
        where there is no such class.
    """
    wanted, names = setting.favourable, data.class_names
    if wanted is None and isinstance(data, Table):
        wanted = data.favourable
    if wanted is None:
        return len(names) - 1
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    raise ValueError(f"favourable={wanted!r} is no class of {data.name}: {', '.join(names)}")


def class_names_of(data: Data, favourable: int) -> tuple[str, str]:
    """Names of the decisions 0 and 1."""
    names = data.class_names
    rest = [name for place, name in enumerate(names) if place != favourable]
    return (rest[0] if len(rest) == 1 else f"not {names[favourable]}"), names[favourable]


def _decided(
    recipe: Recipe, encoding: Encoding, parts: Split, favourable: int, rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """1 where a model trained on the training rows says the favourable class."""
    model = recipe.fit(encoding.samples.rows(parts.train), rng=rng)
    with torch.no_grad():
        said = model.margins(encoding.samples.inputs).argmax(dim=1).numpy()
    decided: np.ndarray = (said == favourable).astype(np.int64)
    if len(np.unique(decided[parts.validation])) < 2:
        raise Unsupported("the black box decides the same for all of the suing group")
    return decided


def grouped(
    data: Table,
    decisions: Int[np.ndarray, " n"],
    suing: Int[np.ndarray, " m"],
    setting: FairwashingSetting,
) -> tuple[Int[np.ndarray, " n"], tuple[str, str]]:
    """Each row's group, and the names of the protected group and of the other.

    Raises
    ------
    ValueError
        where a level is unknown, or a number is given no range.
    """
    assert data.sensitive is not None
    levels = next(column.levels for column in data.columns if column.name == data.sensitive)
    values, (group, other) = data.column(data.sensitive), _wanted_groups(data, setting)
    if not levels:
        low, high = _range(group, data)
        inside = (low <= values) & (values <= high)
        return inside.astype(np.int64), (f"{data.sensitive} {group}", "others")
    codes = values.astype(np.int64)
    if group is not None:
        return _named(codes, levels, group, other, data)
    pairs = _pairs(codes[suing], levels)
    if not pairs:
        raise Unsupported(f"fewer than two levels of {data.sensitive} have {FEWEST} people who sue")
    gaps = [_gap(decisions[suing], two_groups(codes[suing], *pair)) for pair in pairs]
    worst = int(np.argmax(np.abs(gaps)))
    worse, better = pairs[worst] if gaps[worst] <= 0 else pairs[worst][::-1]
    return two_groups(codes, worse, better), (levels[worse], levels[better])


def _wanted_groups(data: Table, setting: FairwashingSetting) -> tuple[str | None, str | None]:
    """The setting's, else the data's own."""
    if setting.group is not None:
        return setting.group, setting.other
    own: list[str | None] = [*data.protected, None, None]
    return own[0], own[1]


def _named(
    codes: Int[np.ndarray, " n"],
    levels: tuple[str, ...],
    group: str,
    other: str | None,
    data: Table,
) -> tuple[Int[np.ndarray, " n"], tuple[str, str]]:
    for level in filter(None, (group, other)):
        if level not in levels:
            known = ", ".join(levels)
            raise ValueError(f"no level {level!r} of {data.sensitive}: there are {known}")
    rest = [level for level in levels if level != group]
    named = other or (rest[0] if len(rest) == 1 else f"not {group}")
    against = None if other is None else levels.index(other)
    return two_groups(codes, levels.index(group), against), (group, named)


def _gap(decisions: Int[np.ndarray, " m"], groups: Int[np.ndarray, " m"]) -> float:
    """How much more often group 1 gets what it wishes for than group 0."""
    return float(disparity("demographic_parity", decisions, groups, decisions).signed)


def _pairs(codes: Int[np.ndarray, " m"], levels: tuple[str, ...]) -> list[tuple[int, int]]:
    """Levels that enough people have, two by two."""
    sizes = np.bincount(codes, minlength=len(levels))
    large = [level for level in range(len(levels)) if sizes[level] >= FEWEST]
    return list(combinations(large, 2))


def _range(text: str | None, data: Table) -> tuple[float, float]:
    """`30 to 60` as numbers."""
    try:
        low, high = (text or "").split(" to ")
        return float(low), float(high)
    except ValueError:
        raise ValueError(
            f"{data.sensitive} of {data.name} is a number, and group={text!r} no range of it: "
            "wanted as in group='30 to 60'"
        ) from None


def _columns(
    data: Table, parts: Split, decisions: Int[np.ndarray, " n"], setting: FairwashingSetting
) -> Literals:
    """The binary columns that readable models may use."""
    found, suing = binarize(data, parts.train, setting.bins), parts.validation
    share = found.values[suing].mean(axis=0)
    enough = (share >= setting.support) & (share <= 1 - setting.support)
    own = tuple(f"{data.sensitive} {sign} " for sign in ("=", "!=", ">", "<="))
    kept = [
        j
        for j in np.flatnonzero(enough & (share > 0) & (share < 1))
        if j not in found.excluding and (setting.group_column or not found.names[j].startswith(own))
    ]
    if not kept:
        raise Unsupported(f"no column holds for {setting.support:.0%} to {1 - setting.support:.0%}")
    told = [information(found.values[suing, j], decisions[suing]) for j in kept]
    order = np.argsort(-np.round(told, 12), kind="stable")[: setting.columns]
    chosen = sorted(kept[place] for place in order)
    return Literals(found.values[:, chosen], tuple(found.names[j] for j in chosen))


def information(holds: Bool[np.ndarray, " n"], decisions: Int[np.ndarray, " n"]) -> float:
    """What a column tells of the decisions, in nats; the same for its negation."""
    joint = np.bincount(2 * holds + decisions, minlength=4).reshape(2, 2) / len(decisions)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _without_group(data: Table, encoding: Encoding) -> Float[np.ndarray, "n d"]:
    """The black box's inputs but those of the sensitive column."""
    place = [column.name for column in data.columns].index(str(data.sensitive))
    kept = [j for j, origin in enumerate(encoding.column_of) if origin != place]
    inputs: np.ndarray = encoding.samples.inputs[:, kept].numpy().astype(np.float64)
    return inputs


def _local(
    problem: FairwashingProblem, setting: FairwashingSetting, rng: np.random.Generator
) -> FairwashingProblem:
    """With a region for each of the people who complain."""
    rejected = np.flatnonzero((problem.groups == 1) & (problem.decisions == 0))
    regions: list[Region] = []
    for person in rng.permutation(rejected):
        region = Region(_nearest(problem.inputs, int(person), setting.neighbours), int(person))
        if _complains(problem, region, setting.least):
            regions.append(region)
        if len(regions) == setting.users:
            break
    if not regions:
        raise Unsupported(
            f"none of {len(rejected)} rejected people of the protected group has a neighbourhood "
            f"with both decisions and a {setting.measure} above {setting.least:g}"
        )
    return replace(problem, regions=tuple(regions))


def _nearest(inputs: Float[np.ndarray, "n d"], person: int, share: float) -> Int[np.ndarray, " m"]:
    """The person and the nearest others, in ascending order."""
    squares = ((inputs - inputs[person]) ** 2).sum(axis=1)
    squares[person] = -1.0
    size = max(2, round(share * len(inputs)))
    return np.asarray(np.sort(np.argsort(squares, kind="stable")[:size]))


def _complains(problem: FairwashingProblem, region: Region, least: float) -> bool:
    """Whether the black box is unfair here, as far as that is defined."""
    at = region.rows
    if len(np.unique(problem.decisions[at])) < 2 or not {0, 1} <= set(problem.groups[at].tolist()):
        return False
    try:
        return own_unfairness(problem, region) > least
    except ValueError:  # a group without a label that the measure looks at
        return False


def own_unfairness(problem: FairwashingProblem, region: Region) -> float:
    """The black box's, in [0, 1]; NaN where undefined."""
    at = region.rows
    given = problem.decisions[at], problem.groups[at], problem.labels[at]
    found = disparity(problem.measure, *given)
    return float(found.absolute)


def _check_people(people: People, setting: FairwashingSetting) -> None:
    """Raise `ValueError` where the test part is too small for an auditor."""
    known = int((people.groups != NEITHER).sum())
    wanted = 2 * setting.audit_size
    if setting.scope == "global" and known < wanted:
        raise ValueError(
            f"auditors know {known} people of the two groups: wanted {wanted} for "
            f"audit_size={setting.audit_size}; take a smaller one, or a larger test part"
        )


def _faithful(suing: Suing, seconds: float) -> FairList:
    """The list that is most faithful to the black box, whatever its unfairness."""
    return rationalize(suing, Goal(price=PRICE), limits=Limits(seconds))


def _honest_lists(
    problem: FairwashingProblem, count: int, rng: np.random.Generator
) -> Iterator[FairList]:
    """As anyone would fit them who had met other people of the same kind."""
    n = len(problem.groups)
    for _ in range(count):
        yield _faithful(problem.suing(Region(rng.integers(n, size=n))), _EACH)


def refusal(data: Data | None, setting: FairwashingSetting) -> str | None:
    """Why there is no case on such data, or None."""
    if data is None:
        return None
    if isinstance(data, Images):
        return "fairwashing needs a table with a sensitive column, not images"
    if not data.class_names:
        return "decisions are classes: this data predicts a number"
    if data.sensitive is None:
        return f"{data.name} names no sensitive column: there are no groups to be fair to"
    if len(np.unique(data.targets)) < 2:
        return "all rows have one label"
    try:
        favourable_class(data, setting)
        column = next(c for c in data.columns if c.name == data.sensitive)
        group, other = _wanted_groups(data, setting)
        if not column.levels:
            _range(group, data)
        elif group is not None:
            codes = data.column(data.sensitive).astype(np.int64)
            _named(codes, column.levels, group, other, data)
    except ValueError as error:
        return str(error)
    return None

"""Bins of rows, and how many of each a sample needs that looks fair.

A condition is a set of rows within which all groups are to have the same rate of positive
decisions: all rows (demographic parity), those whose label is positive (equal opportunity), those
of each label (equalized odds).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Int, Shaped

Labels = Shaped[np.ndarray, " n"]


@dataclass(frozen=True)
class Bins:
    """A partition of rows by group, condition and decision.

    Attributes
    ----------
    of : each row's bin.
    names : of each bin, for people.
    group : each bin's place in `groups`.
    condition : each bin's place in `conditions`; -1 where rates are free.
    decision : each bin's decision, 1 is positive; -1 where both are in it.
    groups, conditions : their names.
    """

    of: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    group: Int[np.ndarray, " bins"]
    condition: Int[np.ndarray, " bins"]
    decision: Int[np.ndarray, " bins"]
    groups: tuple[str, ...]
    conditions: tuple[str, ...]

    @classmethod
    def demographic_parity(cls, groups: Labels, decisions: Labels) -> "Bins":
        """Bins (s, y): the same rate of positive decisions in every group.

        Parameters
        ----------
        groups : each row's group, two or more of them.
        decisions : 0 or 1; of the model, or whatever is published.

        Raises
        ------
        ValueError
            where a group or a decision is missing, or a decision is no label.
        """
        names, place = _groups(groups)
        decided = _binary("decisions", decisions)
        whole = np.zeros(len(decided), dtype=np.int64)
        return cls._partition(names, place, ("all",), whole, decided)

    @classmethod
    def equal_opportunity(cls, groups: Labels, decisions: Labels, labels: Labels) -> "Bins":
        """Bins (s, label 1, y) and (s, label 0): the same true positive rate in every group."""
        names, place = _groups(groups)
        decided, true = _binary("decisions", decisions), _binary("labels", labels)
        return cls._partition(
            names, place, ("label 1",), true - 1, np.where(true == 1, decided, -1)
        )

    @classmethod
    def equalized_odds(cls, groups: Labels, decisions: Labels, labels: Labels) -> "Bins":
        """Bins (s, label, y): the same true and false positive rates in every group."""
        names, place = _groups(groups)
        decided, true = _binary("decisions", decisions), _binary("labels", labels)
        return cls._partition(names, place, ("label 0", "label 1"), true, decided)

    @classmethod
    def _partition(
        cls,
        groups: tuple[str, ...],
        group: Int[np.ndarray, " n"],
        conditions: tuple[str, ...],
        condition: Int[np.ndarray, " n"],
        decision: Int[np.ndarray, " n"],
    ) -> "Bins":
        """A bin for each kind of row that there can be, those without rows too."""
        kinds = [(c, y) for c in range(len(conditions)) for y in (0, 1)]
        kinds = [(-1, -1), *kinds] if (condition < 0).any() else kinds
        bins = np.array([(s, *kind) for s, kind in product(range(len(groups)), kinds)])
        rows = np.stack([group, condition, decision], axis=1)
        of = (rows[:, None] == bins[None]).all(axis=2).argmax(axis=1)
        names = tuple(
            _name(groups[s], ("free", *conditions)[c + 1], y) for s, c, y in bins.tolist()
        )
        found = cls(of, names, bins[:, 0], bins[:, 1], bins[:, 2], groups, conditions)
        found._check_strata()
        return found

    @property
    def sizes(self) -> Int[np.ndarray, " bins"]:
        """Rows in each bin."""
        return np.bincount(self.of, minlength=len(self.names))

    def rates(self, counts: Int[np.ndarray, " bins"]) -> Float[np.ndarray, "conditions groups"]:
        """Rate of positive decisions in samples with so many of each bin; NaN where none is."""
        return np.array(
            [
                [
                    _rate(*(int(counts[self._place(c, s, y)]) for y in (0, 1)))
                    for s in self._each_group
                ]
                for c in range(len(self.conditions))
            ]
        )

    def disparity(self, counts: Int[np.ndarray, " bins"]) -> float:
        """The largest difference of rates between two groups, over the conditions; in [0, 1].

        Conditional, as |P(y=1 | s) - P(y=1 | s')|; of more than two groups the worst pair, which
        `worst_pair` names. NaN where a group is missing.
        """
        rates = self.rates(counts)
        return float((rates.max(axis=1) - rates.min(axis=1)).max())

    def worst_pair(self, counts: Int[np.ndarray, " bins"]) -> tuple[str, str]:
        """The groups that differ most, that with the larger rate first."""
        rates = self.rates(counts)
        worst = rates[(rates.max(axis=1) - rates.min(axis=1)).argmax()]
        return self.groups[int(worst.argmax())], self.groups[int(worst.argmin())]

    def pooled_rates(self) -> tuple[float, ...]:
        """Each condition's rate of positive decisions over all rows."""
        positive = [self.sizes[(self.condition == c) & (self.decision == 1)].sum() for c in self._c]
        return tuple(float(positive[c] / self.sizes[self.condition == c].sum()) for c in self._c)

    def wanted(
        self, size: int, rates: Sequence[float] | None = None, *, slack: int = 0
    ) -> Int[np.ndarray, " bins"]:
        """How many rows of each bin make a sample of `size` rows fair.

        Each group keeps its share of rows (and its share within each condition) up to rounding;
        within it the rate of positive decisions is set. Whole numbers can't always give equal
        rates: `disparity` of what is returned says what is left.

        Parameters
        ----------
        rates : for each condition the rate of positive decisions; unless given, `pooled_rates`.
        slack : by how many rows each group may depart from its share, in a condition, to make
            the rates more equal; the least departure that does it is taken.

        Raises
        ------
        ValueError
            where a bin has too few rows, with the rates and the sizes that are feasible.
        """
        if not 0 < size <= len(self.of):
            raise ValueError(f"a sample of {size} rows: wanted 1 to {len(self.of)}, the rows given")
        target = self.pooled_rates() if rates is None else tuple(rates)
        if len(target) != len(self.conditions) or not all(0 <= rate <= 1 for rate in target):
            raise ValueError(
                f"rates={target}: wanted a number in [0, 1] for each of {self.conditions}"
            )
        counts = np.zeros(len(self.names), dtype=np.int64)
        strata = [(c, s) for c in sorted(set(self.condition.tolist())) for s in self._each_group]
        shares = _apportioned(np.array([self._stratum(c, s) for c, s in strata]), size)
        share = dict(zip(strata, shares, strict=True))
        for s in self._each_group if (-1, 0) in share else ():
            counts[(self.condition == -1) & (self.group == s)] = share[-1, s]
        for c in self._c:
            drawn = np.array([share[c, s] for s in self._each_group])
            drawn, positive = _most_equal(drawn, target[c], slack)
            for s in self._each_group:
                counts[self._place(c, s, 1)] = positive[s]
                counts[self._place(c, s, 0)] = drawn[s] - positive[s]
        self._check_feasible(counts, size)
        return counts

    @property
    def _each_group(self) -> range:
        return range(len(self.groups))

    @property
    def _c(self) -> range:
        return range(len(self.conditions))

    def _place(self, condition: int, group: int, decision: int) -> int:
        same = (self.condition == condition) & (self.group == group) & (self.decision == decision)
        return int(np.flatnonzero(same)[0])

    def _stratum(self, condition: int, group: int) -> int:
        """How many rows."""
        return int(self.sizes[(self.condition == condition) & (self.group == group)].sum())

    def _check_strata(self) -> None:
        for c, s in product(self._c, self._each_group):
            if not self._stratum(c, s):
                raise ValueError(
                    f"group {self.groups[s]} has no row in condition {self.conditions[c]}: "
                    "its rate isn't defined; leave the group out or take another measure"
                )

    def _check_feasible(self, counts: Int[np.ndarray, " bins"], size: int) -> None:
        sizes = self.sizes
        if (counts <= sizes).all():
            return
        short = np.flatnonzero(counts > sizes)
        lacking = "; ".join(f"{self.names[g]}: {counts[g]} of {sizes[g]}" for g in short)
        largest = int(min(size * sizes[g] / counts[g] for g in short))
        raise ValueError(
            f"too few rows for a sample of {size} ({lacking}); feasible are "
            f"{self._ranges(counts)}; or, at these rates, samples of at most about {largest} rows"
        )

    def _ranges(self, counts: Int[np.ndarray, " bins"]) -> str:
        """Of each condition the rates that every group has rows for, at these groups' sizes."""
        found = []
        for c in self._c:
            places = [[self._place(c, s, y) for y in (0, 1)] for s in self._each_group]
            drawn = [counts[pair].sum() for pair in places]
            low = max(1 - self.sizes[no] / k for (no, _), k in zip(places, drawn, strict=True))
            high = min(self.sizes[yes] / k for (_, yes), k in zip(places, drawn, strict=True))
            told = f"{max(low, 0):.4g} to {min(high, 1):.4g}" if low <= high else "none"
            found.append(f"rates for {self.conditions[c]}: {told}")
        return ", ".join(found)


def located(inputs: Float[np.ndarray, "n d"], groups: Labels) -> Float[np.ndarray, "n d_and_s"]:
    """The points [x, s] between which samples are moved: two rows of different groups are at
    squared distance 1 if their inputs are the same.

    Two groups are 0 and 1, in one column, as in the paper; more have a column each.
    """
    names, place = _groups(groups)
    codes = np.eye(len(names))[place] / np.sqrt(2) if len(names) > 2 else place[:, None]
    return np.hstack([inputs.astype(np.float64), codes])


def _groups(groups: Labels) -> tuple[tuple[str, ...], Int[np.ndarray, " n"]]:
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"groups {names.tolist()}: wanted at least two, to compare them")
    if names.dtype.kind == "f" and (names % 1 != 0).any():
        raise ValueError(f"groups hold {names[names % 1 != 0][0]}: wanted a category of each row")
    return tuple(str(name) for name in names), place.astype(np.int64)


def _binary(what: str, values: Labels) -> Int[np.ndarray, " n"]:
    found = np.unique(values)
    strange = found[~np.isin(found, (0, 1))]
    if len(strange):
        raise ValueError(
            f"{what} hold {strange[0]}: wanted 0 or 1; cut probabilities at a threshold"
        )
    if len(found) < 2:
        raise ValueError(f"{what} are all {found.tolist()}: wanted both 0 and 1")
    return values.astype(np.int64)


def _name(group: str, condition: str, decision: int) -> str:
    parts = [f"group {group}", "" if condition == "all" else condition]
    parts.append("" if decision < 0 else f"decision {decision}")
    return ", ".join(part for part in parts if part)


def _rate(negative: int, positive: int) -> float:
    return float(positive / (negative + positive)) if negative + positive else float("nan")


def _apportioned(parts: Int[np.ndarray, " k"], total: int) -> Int[np.ndarray, " k"]:
    """`total` in whole numbers, as near to the proportions of `parts` as can be: each gets the
    floor of its quota, the largest remainders one more (whole numbers throughout)."""
    floors, remainders = np.divmod(parts * total, parts.sum())
    more = np.argsort(-remainders, kind="stable")[: total - floors.sum()]
    floors[more] += 1
    return floors


def _most_equal(
    drawn: Int[np.ndarray, " groups"], rate: float, slack: int
) -> tuple[Int[np.ndarray, " groups"], Int[np.ndarray, " groups"]]:
    """Rows and positive rows of each group: of all ways within `slack` to share the same sum,
    that with the most equal rates, then the least departure."""
    best = None
    for step in product(range(-slack, slack + 1), repeat=len(drawn)):
        rows = drawn + np.array(step)
        if sum(step) or (rows < 0).any():
            continue
        positive = np.rint(rate * rows).astype(np.int64)
        rates = [_rate(int(n - p), int(p)) for n, p in zip(rows, positive, strict=True) if n]
        key = (max(rates) - min(rates) if rates else 0.0, int(np.abs(step).sum()))
        if best is None or key < best[0]:
            best = key, rows, positive
    assert best is not None  # no step at all is among them
    return best[1], best[2]

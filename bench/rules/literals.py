"""What can be said of a row in a word: a table as true and false."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bench.data import Column, Data, Images


@dataclass(frozen=True)
class Literals:
    """What can be said of a row in a word, such as `age > 44` or `workclass = Private`.

    Attributes
    ----------
    values : whether a row satisfies a literal.
    names : one a literal. Literal j and literal j ^ 1 are each other's negation.
    excluding : the literals that only say which of three or more levels a category hasn't.
    """

    values: Bool[np.ndarray, "n d"]
    names: tuple[str, ...]
    excluding: frozenset[int] = frozenset()

    def rows(self, index: np.ndarray) -> "Literals":
        """The rows at `index` (integers or a boolean mask)."""
        return Literals(self.values[index], self.names, self.excluding)


def binarize(data: Data, fit_rows: Int[np.ndarray, " m"], bins: int = 7) -> Literals:
    """The literals of all rows.

    A category gives `name = level` and its negation. A number is cut at its quantiles 1/bins,
    ..., (bins-1)/bins on `fit_rows`, each cut written with as few digits as tell the two
    neighbouring values apart, and gives `name > cut` and `name <= cut`. An image's pixels are
    numbers. Literals that are constant on `fit_rows` are left out.

    Raises
    ------
    ValueError
        where values are missing: neither a literal nor its negation would hold.
    """
    values, names, excluding = [], [], set()
    for column, numbers in _columns(data):
        if np.isnan(numbers).any():
            raise ValueError(f"{data.name} has missing values in {column.name}: impute them first")
        found = (
            _levels(column, numbers) if column.levels else _cuts(column, numbers, fit_rows, bins)
        )
        for name, negation, holds in found:
            if 0 < holds[fit_rows].sum() < len(fit_rows):
                values += [holds, ~holds]
                names += [name, negation]
                if len(column.levels) > 2:
                    excluding.add(len(names) - 1)
    empty = np.zeros((len(data.targets), 0), dtype=bool)
    stacked = np.stack(values, axis=1) if values else empty
    return Literals(stacked, tuple(names), frozenset(excluding))


def _columns(data: Data) -> Iterator[tuple[Column, Float[np.ndarray, " n"]]]:
    if not isinstance(data, Images):
        yield from zip(data.columns, data.values.T, strict=True)
        return
    _, channels, height, width = data.pixels.shape
    for channel, row, place in np.ndindex(channels, height, width):
        name = f"pixel {row},{place}" + (f" of channel {channel}" if channels > 1 else "")
        yield Column(name), np.asarray(data.pixels[:, channel, row, place], dtype=float)


_Found = Iterator[tuple[str, str, Bool[np.ndarray, " n"]]]


def _levels(column: Column, codes: Float[np.ndarray, " n"]) -> _Found:
    """(literal, its negation, where it holds) for each level; one for a column of two."""
    equal = [f"{column.name} = {level}" for level in column.levels]
    if len(equal) == 2:
        yield equal[0], equal[1], codes == 0
        return
    for code, name in enumerate(equal):
        yield name, f"{column.name} != {column.levels[code]}", codes == code


def _cuts(
    column: Column, numbers: Float[np.ndarray, " n"], fit_rows: Int[np.ndarray, " m"], bins: int
) -> _Found:
    """(literal, its negation, where it holds) for each quantile."""
    distinct = np.unique(numbers[fit_rows])
    shares = np.arange(1, bins) / bins
    quantiles = np.quantile(numbers[fit_rows], shares, method="inverted_cdf")
    # The largest value cuts nothing off: where it is a quantile, the cut goes just below it.
    places = np.minimum(np.searchsorted(distinct, quantiles), len(distinct) - 2)
    for place in np.unique(places[places >= 0]):
        cut = _shortest(distinct[place], distinct[place + 1])
        yield f"{column.name} > {cut}", f"{column.name} <= {cut}", numbers > float(cut)


def _shortest(low: float, high: float) -> str:
    """The shortest decimal t with low <= t < high."""
    for digits in range(17):
        text = (
            np.format_float_positional(low, precision=digits, fractional=False, trim="-")
            if digits
            else "0"
        )
        if low <= float(text) < high:
            return text
    return repr(float(low))

"""Columns of texts as a table's numbers and codes, and what becomes of missing cells."""

import csv
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

from bench.components import ConfigError
from bench.data import Column

Missing = Literal["level", "drop", "refuse"]
"""What becomes of a missing cell: a level "unknown" of its column, its row left out, or an error
that names the columns."""

UNKNOWN = "unknown"

Texts = Mapping[str, np.ndarray]
"""Column -> its cells as texts."""


def read(data: bytes, delimiter: str = ",") -> dict[str, np.ndarray]:
    """The columns of a csv file with a header.

    Raises
    ------
    ValueError
        where a row has more or fewer cells than the header, or a name stands twice.
    """
    header, *rows = csv.reader(data.decode("utf-8-sig").splitlines(), delimiter=delimiter)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} cells, the header {len(header)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"columns that stand twice: {', '.join(twice)}")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {n: np.array(cells, dtype=str) for n, cells in zip(header, columns, strict=True)}


def settled(name: str, texts: Texts, missing: Missing, empty: Collection[str]) -> Texts:
    """The columns of the data set `name` without the cells that are `empty`.

    Raises
    ------
    ConfigError
        where there are some and `missing` is `refuse`.
    """
    lacking = {column: np.isin(cells, list(empty)) for column, cells in texts.items()}
    counts = {column: int(cells.sum()) for column, cells in lacking.items() if cells.any()}
    if missing == "refuse" and counts:
        named = ", ".join(f"{column} ({count} rows)" for column, count in counts.items())
        raise ConfigError(
            f"{name} has missing cells in {named}: missing=level makes a level 'unknown' of them, "
            "missing=drop leaves their rows out"
        )
    if missing == "level":
        return {c: np.where(lacking[c], UNKNOWN, cells) for c, cells in texts.items()}
    whole = ~np.any(list(lacking.values()), axis=0)
    return {column: cells[whole] for column, cells in texts.items()}


def number(name: str, texts: np.ndarray) -> tuple[Column, Float[np.ndarray, " n"]]:
    """A column of numbers."""
    return Column(name), texts.astype(float)


def category(
    name: str, texts: np.ndarray, names: Mapping[str, str] | None = None
) -> tuple[Column, Float[np.ndarray, " n"]]:
    """A category and its codes.

    Parameters
    ----------
    names : text -> level, in the order of the levels; texts of one level are merged. By default
        each text is a level, in alphabetical order. Levels without a row are left out.
    """
    if names is None:
        names = {str(text): str(text) for text in np.unique(texts)}
    found, codes = np.unique(texts, return_inverse=True)
    met = [names[str(text)] for text in found]
    levels = [level for level in dict.fromkeys(names.values()) if level in met]
    return Column(name, tuple(levels)), np.array([levels.index(m) for m in met], float)[codes]

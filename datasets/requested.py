"""Tables that may not be passed on: the user asks for them and puts them into the data folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from bench.components import ConfigError
from bench.data import Column, DataMissing, Table

from .columns import category, number, read, settled


@dataclass(frozen=True)
class Requested:
    """A csv file with a header, of which the user says what its columns are.

    A column whose cells are all numbers is a number, any other one a category.

    The planner remembers a data set by the fields here, not by its file: name `sha256`, and a
    file that has changed is noticed.

    Parameters
    ----------
    name : of the data set.
    file : where it lies below the data folder.
    about, home : what it is, and where to ask for it.
    target : the column to predict; it has to be named.
    positive : the cell of `target` that is class 1, all others being class 0; by default each
        cell is a class, in alphabetical order.
    categories : columns whose numbers are codes.
    ignored : columns that are no features.
    sensitive : the column of the protected group.
    empty : cells that mean that nothing is known.
    missing : what becomes of these; see `Missing` in `columns`. A number has no level "unknown".
    sha256 : of the file.
    licence : of the data.

    References
    ----------
    .. [1] Pan, Wang, Hara, "Interpretable Companions for Black-Box Models", AISTATS 2020, whose
       data sets juvenile, frisk and recidivism are such.
    """

    name: str
    file: str
    about: str
    home: str
    target: str | None = None
    positive: str | None = None
    categories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    sensitive: str | None = None
    empty: tuple[str, ...] = ("", "NA", "?")
    missing: Literal["level", "drop", "refuse"] = "refuse"
    sha256: str | None = None
    licence: str = "to be asked for; not to be passed on"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        texts = read(self._contents())
        self._check(texts)
        kept = {name: cells for name, cells in texts.items() if name not in self.ignored}
        kept = dict(settled(self.name, kept, self.missing, self.empty))
        classes, targets = self._targets(kept.pop(str(self.target)))
        pairs = [self._column(name, cells, texts[name]) for name, cells in kept.items()]
        return Table(
            name=self.name,
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=targets,
            class_names=classes,
            licence=self.licence,
            source=self.home,
            sensitive=self.sensitive,
        )

    def _contents(self) -> bytes:
        folder = os.environ.get("EARNEST_DATA")
        try:
            found = (Path(folder or "") / self.file).read_bytes() if folder else None
        except FileNotFoundError:
            found = None
        if found is None:
            raise DataMissing(self._where(folder))
        met = sha256(found).hexdigest()
        if self.sha256 not in (None, met):
            raise DataMissing(f"{self.file} has the sha256 {met}, wanted is {self.sha256}")
        return found

    def _where(self, folder: str | None) -> str:
        return (
            f"{self.name} is not here and can't be downloaded: {self.about} Ask for it at "
            f"{self.home} and put it as a csv file with a header at {self.file} in the data "
            f"folder ({folder or 'set data_dir=FOLDER or EARNEST_DATA'}). Then name the column to "
            f"predict, {self._named()}."
        )

    def _named(self) -> str:
        return f"dataset='{{{self.name}: {{target: COLUMN}}}}'"

    def _check(self, texts: Mapping[str, np.ndarray]) -> None:
        """Raise `ConfigError` where a named column isn't there, or the target has missing cells."""
        named = {*self.categories, *self.ignored, *filter(None, [self.sensitive, self.target])}
        unknown = sorted(named - set(texts))
        if unknown or self.target is None:
            lacks = f"no column {', '.join(unknown)}" if unknown else f"no target, {self._named()}"
            raise ConfigError(f"{self.name}: {lacks}; its columns are {', '.join(texts)}")
        lacking = int(np.isin(texts[self.target], self.empty).sum())
        if lacking and self.missing != "drop":
            raise ConfigError(
                f"{self.name}: {lacking} rows have no {self.target}: missing=drop leaves them out"
            )

    def _targets(self, cells: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        if self.positive is None:
            column, codes = category("", cells)
            return column.levels, codes.astype(np.int64)
        if self.positive not in cells:
            met = f"{self.target} is {', '.join(np.unique(cells))}"
            raise ConfigError(f"{self.name}: positive={self.positive!r}, but {met}")
        return (f"not {self.positive}", self.positive), (cells == self.positive).astype(np.int64)

    def _column(
        self, name: str, cells: np.ndarray, as_read: np.ndarray
    ) -> tuple[Column, Float[np.ndarray, " n"]]:
        known = as_read[~np.isin(as_read, self.empty)]
        if name in self.categories or not _are_numbers(known):
            return category(name, cells)
        if self.missing == "level" and len(known) < len(as_read):
            raise ConfigError(
                f"{self.name}: a number such as {name} has no level 'unknown': missing=drop, or "
                f"name it among the categories or the ignored"
            )
        return number(name, cells)


def _are_numbers(cells: np.ndarray) -> bool:
    try:
        return bool(np.isfinite(cells.astype(float)).all())
    except ValueError:
        return False

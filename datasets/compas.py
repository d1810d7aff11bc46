"""COMPAS: is a person of Broward County charged with a crime again within two years?"""

import csv
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Column, DataMissing, Table
from bench.download import DataFile, contents

_HOME = "https://github.com/propublica/compas-analysis"


def _file(size: int, sha256: str) -> DataFile:
    url = f"{_HOME}/raw/master/compas-scores-two-years.csv"
    return DataFile("compas/compas-scores-two-years.csv", size, sha256, (url,))


PUBLISHED = _file(2_546_489, "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d")
EMPTIED = _file(2_127_220, "873148a4dbb099b891ddd96d8f78cd63587d04256c3a74be4efa14a8ac78fcac")
"""The same rows without the names, birth dates and case numbers, which are never used here."""

_NUMBERS = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
_CATEGORIES = ("sex", "race", "c_charge_degree")
_DECIDING = ("days_b_screening_arrest", "is_recid", "score_text", "two_year_recid")
"""Columns that say which rows count and what their targets are, and no features."""

_LARGEST = ("African-American", "Caucasian")
_DAYS = 30


@dataclass(frozen=True)
class Compas:
    """6,172 persons by 5 numbers and 3 categories; the sensitive column is `race`.

    Parameters
    ----------
    rows : `analysed`, those of the published analysis [1]_: screened within 30 days of the
        arrest, with a score, a case that was found and no ordinary traffic offence; or `all`
        7,214.
    races : `all` six, or `largest`: African-American and Caucasian persons alone, the two
        that the published analysis compares (5,278 rows).
    target : `recidivism`, a new charge within two years; or `score`, whether COMPAS itself
        says "Medium" or "High" and not "Low", the published analysis' target.

    References
    ----------
    .. [1] Larson, Mattu, Kirchner, Angwin, "How We Analyzed the COMPAS Recidivism Algorithm",
       ProPublica, 2016.
    """

    rows: Literal["analysed", "all"] = "analysed"
    races: Literal["all", "largest"] = "all"
    target: Literal["recidivism", "score"] = "recidivism"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        texts = _columns(_contents())
        chosen = self._chosen(texts)
        texts = {name: column[chosen] for name, column in texts.items()}
        columns, values = [], []
        for name in (*_NUMBERS, *_CATEGORIES):
            if name in _NUMBERS:
                columns.append(Column(name))
                values.append(texts[name].astype(float))
            else:
                levels, codes = np.unique(texts[name], return_inverse=True)
                columns.append(Column(name, tuple(levels.tolist())))
                values.append(codes.astype(float))
        by_score = self.target == "score"
        positive = texts["score_text"] != "Low" if by_score else texts["two_year_recid"] == "1"
        return Table(
            name="compas",
            values=np.stack(values, axis=1),
            columns=tuple(columns),
            targets=positive.astype(np.int64),
            class_names=("low", "medium or high") if by_score else ("no new charge", "new charge"),
            licence="none stated by the authors",
            source=_HOME,
            sensitive="race",
            protected=_LARGEST,
            favourable="low" if by_score else "no new charge",
        )

    def _chosen(self, texts: dict[str, np.ndarray]) -> np.ndarray:
        chosen = np.ones(len(texts["race"]), dtype=bool)
        if self.rows == "analysed":
            days = np.array([float(day or "nan") for day in texts["days_b_screening_arrest"]])
            chosen &= np.abs(days) <= _DAYS
            chosen &= (texts["is_recid"] != "-1") & (texts["c_charge_degree"] != "O")
            chosen &= texts["score_text"] != "N/A"
        if self.races == "largest":
            chosen &= np.isin(texts["race"], _LARGEST)
        return chosen


def _contents() -> bytes:
    try:
        return contents(PUBLISHED)
    except DataMissing as error:
        try:
            return contents(EMPTIED)
        except DataMissing:
            raise error from None


def _columns(data: bytes) -> dict[str, np.ndarray]:
    """The columns that are used, as texts; a name that stands twice means the first of them."""
    lines = csv.reader(data.decode("utf-8").splitlines())
    header = next(lines)
    names = (*_NUMBERS, *_CATEGORIES, *_DECIDING)
    places = [header.index(name) for name in names]
    kept = [[line[place] for place in places] for line in lines]
    return dict(zip(names, np.array(kept).T, strict=True))

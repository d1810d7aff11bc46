"""Adult: does a person of the 1994 census earn more than 50,000 dollars a year?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from bench.data import Column, Table
from bench.download import DataFile, contents

_HOME = "https://archive.ics.uci.edu"


def _file(name: str, size: int, sha256: str) -> DataFile:
    urls = (
        f"{_HOME}/ml/machine-learning-databases/adult/{name}",
        f"{_HOME}/static/public/2/adult.zip#{name}",
    )
    return DataFile(f"adult/{name}", size, sha256, urls)


TRAIN = _file(
    "adult.data", 3_974_305, "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"
)
TEST = _file(
    "adult.test", 2_003_153, "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"
)

_NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_NAMES = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)

_SCHOOL = "1st-4th 5th-6th 7th-8th 9th 10th 11th 12th"
_WESTERN = "England Germany Canada Italy France Greece Philippines"
_EASTERN = "India Iran Cambodia Taiwan Japan Yugoslavia China Hong"
_POORER = (
    "Mexico Puerto-Rico Honduras Jamaica Columbia Laos Portugal Haiti Dominican-Republic "
    "El-Salvador Guatemala Peru Trinadad&Tobago Outlying-US(Guam-USVI-etc) Nicaragua Vietnam "
    "Holand-Netherlands"
)
_OTHERS = "South Poland Ireland Hungary Scotland Thailand Ecuador"
MERGED: dict[str, dict[str, str]] = {
    "workclass": dict.fromkeys(("Without-pay", "Never-worked"), "no pay"),
    "education": dict.fromkeys(_SCHOOL.split(), "no high-school degree"),
    "marital-status": {"Married-AF-spouse": "Married-civ-spouse"},
    "occupation": {"Armed-Forces": "unknown"},
    "native-country": {
        **dict.fromkeys(("United-States", "Cuba", "?"), "United-States or Cuba or unknown"),
        **dict.fromkeys(_WESTERN.split(), "Canada to Philippines"),
        **dict.fromkeys(_EASTERN.split(), "Cambodia to Yugoslavia"),
        **dict.fromkeys(_POORER.split(), "Columbia to Vietnam"),
        **dict.fromkeys(_OTHERS.split(), "Ecuador to Thailand"),
    },
}
"""Column -> level -> the level that it is merged into, as in [2]_ of `Adult`."""


@dataclass(frozen=True)
class Adult:
    """48,842 persons by 6 numbers and 8 categories; the sensitive column is `sex`.

    The provider's split: 32,561 rows to train, 16,281 to test.

    Parameters
    ----------
    missing : 3,620 rows hold a "?" in workclass, occupation or native-country. `level` keeps
        all rows and makes "unknown" a level of its own, `drop` leaves 45,222 rows.
    levels : `all`, or `merged` as in the section 7.1 experiments of [2]_: rare levels are
        merged and fnlwgt enters as log(1 + fnlwgt), which makes 62 inputs instead of 108.

    References
    ----------
    .. [1] Becker, Kohavi, "Adult", UCI Machine Learning Repository, 1996,
       doi:10.24432/C5XW20.
    .. [2] Hara, Nitanda, Maehara, "Data Cleansing for Models Trained with SGD", NeurIPS 2019.
    """

    missing: Literal["level", "drop"] = "level"
    levels: Literal["all", "merged"] = "all"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, the training rows first."""
        train, test = _rows(contents(TRAIN)), _rows(contents(TEST))
        texts = np.concatenate([train, test])
        is_train = np.arange(len(texts)) < len(train)
        if self.missing == "drop":
            whole = (texts != "?").all(axis=1)
            texts, is_train = texts[whole], is_train[whole]
        pairs = [self._column(name, text) for name, text in zip(_NAMES, texts.T[:-1], strict=True)]
        return Table(
            name="adult",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=(texts[:, -1] == ">50K").astype(np.int64),
            class_names=("<=50K", ">50K"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/2",
            sensitive="sex",
            given_split={"train": np.flatnonzero(is_train), "test": np.flatnonzero(~is_train)},
        )

    def _column(self, name: str, texts: np.ndarray) -> tuple[Column, Float[np.ndarray, " n"]]:
        merged = self.levels == "merged"
        if name in _NUMBERS:
            numbers = texts.astype(float)
            return Column(name), np.log1p(numbers) if merged and name == "fnlwgt" else numbers
        renamed = {"?": "unknown", **(MERGED.get(name, {}) if merged else {})}
        found, codes = np.unique(texts, return_inverse=True)
        levels, recode = np.unique(
            [renamed.get(str(level), str(level)) for level in found], return_inverse=True
        )
        return Column(name, tuple(levels.tolist())), recode[codes].astype(float)


def _rows(data: bytes) -> np.ndarray:
    """The fields of each person; the test file opens with a comment and ends lines by a dot."""
    lines = (line.rstrip(".") for line in data.decode("ascii").splitlines())
    return np.array([line.split(", ") for line in lines if ", " in line])

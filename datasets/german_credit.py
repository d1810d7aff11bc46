"""German credit: is a person a good or a bad credit risk for a bank of the 1970s?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Table
from bench.download import DataFile, contents

from .columns import category, number

_HOME = "https://archive.ics.uci.edu"

FILE = DataFile(
    "german_credit/german.data",
    79_793,
    "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
    (
        f"{_HOME}/ml/machine-learning-databases/statlog/german/german.data",
        f"{_HOME}/static/public/144/statlog+german+credit+data.zip#german.data",
    ),
)

_BOTH = "personal status and sex"
_SEX, _STATUS = "sex", "personal status"
_NAMES = (
    "checking account",
    "duration",
    "credit history",
    "purpose",
    "credit amount",
    "savings",
    "employment since",
    "installment rate",
    _BOTH,
    "other debtors",
    "residence since",
    "property",
    "age",
    "other installment plans",
    "housing",
    "existing credits",
    "job",
    "people liable",
    "telephone",
    "foreign worker",
)
"""The attributes of german.doc, in order; a month, a German mark, a percentage or a year is the
unit of each number that is no count."""

LEVELS = {
    "checking account": {
        "A11": "below 0 DM",
        "A12": "0 to 200 DM",
        "A13": "200 DM or more, or salary for a year",
        "A14": "none",
    },
    "credit history": {
        "A30": "none taken, or all paid back duly",
        "A31": "all at this bank paid back duly",
        "A32": "existing ones paid back duly till now",
        "A33": "delay in paying off in the past",
        "A34": "critical account, or credits elsewhere",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture or equipment",
        "A43": "radio or television",
        "A44": "domestic appliances",
        "A45": "repairs",
        "A46": "education",
        "A47": "vacation",
        "A48": "retraining",
        "A49": "business",
        "A410": "others",
    },
    "savings": {
        "A61": "below 100 DM",
        "A62": "100 to 500 DM",
        "A63": "500 to 1000 DM",
        "A64": "1000 DM or more",
        "A65": "unknown or none",
    },
    "employment since": {
        "A71": "unemployed",
        "A72": "below 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years or more",
    },
    "other debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "property": {
        "A121": "real estate",
        "A122": "savings agreement or life insurance",
        "A123": "car or other",
        "A124": "unknown or none",
    },
    "other installment plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "job": {
        "A171": "unemployed, or unskilled and non-resident",
        "A172": "unskilled and resident",
        "A173": "skilled employee or official",
        "A174": "management, self-employed or highly qualified",
    },
    "telephone": {"A191": "none", "A192": "under the customer's name"},
    "foreign worker": {"A201": "yes", "A202": "no"},
    _SEX: {"A91": "male", "A92": "female", "A93": "male", "A94": "male", "A95": "female"},
    _STATUS: {
        "A91": "divorced or separated",
        "A92": "divorced, separated or married",
        "A93": "single",
        "A94": "married or widowed",
        "A95": "single",
    },
}
"""Column -> code -> level, as german.doc reads."""


@dataclass(frozen=True)
class GermanCredit:
    """1,000 persons by 20 attributes, 700 of them good risks; class 1 is the bad risk.

    The attribute "personal status and sex" makes two columns, so there are 21 in 20 groups.

    Its levels are those of UCI's german.doc, which many papers use. A later study of the data's
    origin [2]_ finds several of them wrong: of the codes read here as women, A92 also holds
    single men, while A94, read as men, is said to hold single women. What a method finds about
    `sex` is about these codes; nothing is known to be wrong with `age`.

    Parameters
    ----------
    sensitive : the column of the protected group, `sex` or `age` (a number, in years).

    References
    ----------
    .. [1] Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994,
       doi:10.24432/C5NC77.
    .. [2] Groemping, "South German Credit", UCI Machine Learning Repository, 2020,
       doi:10.24432/C5QG88.
    """

    sensitive: Literal["sex", "age"] = "sex"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        rows = [line.split() for line in contents(FILE).decode("ascii").splitlines()]
        *attributes, risk = np.array(rows).T
        texts = dict(zip(_NAMES, attributes, strict=True))
        parts = {name: (_SEX, _STATUS) if name == _BOTH else (name,) for name in _NAMES}
        pairs = [
            category(part, texts[name], LEVELS[part])
            if part in LEVELS
            else number(part, texts[name])
            for name in _NAMES
            for part in parts[name]
        ]
        return Table(
            name="german_credit",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=(risk == "2").astype(np.int64),
            class_names=("good", "bad"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/144",
            groups=parts,
            sensitive=self.sensitive,
            protected=("0 to 25",) if self.sensitive == "age" else (),
            favourable="good",
        )

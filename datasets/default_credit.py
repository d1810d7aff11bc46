"""Default of credit card clients: does a client in Taiwan fail to pay in October 2005?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Table
from bench.download import DataFile

from .columns import UNKNOWN, category, number, read
from .copies import any_of

_HOME = "https://archive.ics.uci.edu"

FILE = DataFile(
    "default_credit/UCI_Credit_Card.csv",
    2_905_603,
    "023eb2c3ad9efd15e7869616fa50a0143f25223105c7069ba632431530afdb61",
    (f"{_HOME}/static/public/350/data.csv",),
)
_NOTE = (
    f"The data set's home, {_HOME}/dataset/350, ships the same values as an Excel file (.xls). "
    "Wanted are they as a csv file with the header ID,X1,...,X23,Y, lines that end in CR LF, and "
    "nothing else, so that the sha256 above is met."
)

_PAID = ("PAY_0", *(f"PAY_{month}" for month in range(2, 7)))
_NAMES = (
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    *_PAID,
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
)
"""X1 to X23, as the second header of the Excel file calls them."""

LEVELS = {
    "SEX": {"1": "male", "2": "female"},
    "EDUCATION": {
        "1": "graduate school",
        "2": "university",
        "3": "high school",
        "4": "others",
        **dict.fromkeys(("0", "5", "6"), UNKNOWN),
    },
    "MARRIAGE": {"1": "married", "2": "single", "3": "others", "0": UNKNOWN},
}
"""Column -> code -> level; codes that the provider doesn't explain are unknown."""


@dataclass(frozen=True)
class DefaultCredit:
    """30,000 clients by 20 numbers and 3 categories, 6,636 of whom default; `SEX` is sensitive.

    LIMIT_BAL, BILL_AMT and PAY_AMT are New Taiwan dollars: the credit, and the bills and payments
    of six months, September 2005 first. PAY is the state of repayment in the same months: so many
    months of delay, and -2 to 0 without one.

    References
    ----------
    .. [1] Yeh, "Default of Credit Card Clients", UCI Machine Learning Repository, 2009,
       doi:10.24432/C55S3H.
    .. [2] Yeh, Lien, "The comparisons of data mining techniques for the predictive accuracy of
       probability of default of credit card clients", Expert Systems with Applications, 2009.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file, without the clients' numbers."""
        texts = read(any_of(FILE, note=_NOTE))
        numbered = [(name, texts[f"X{place}"]) for place, name in enumerate(_NAMES, start=1)]
        pairs = [
            category(name, cells, LEVELS[name]) if name in LEVELS else number(name, cells)
            for name, cells in numbered
        ]
        return Table(
            name="default_credit",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=texts["Y"].astype(np.int64),
            class_names=("paid", "default"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/350",
            sensitive="SEX",
            favourable="paid",
        )

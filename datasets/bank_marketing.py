"""Bank marketing: does a client who is called up subscribe a term deposit?"""

import gzip
import io
import zipfile
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.data import Table
from bench.download import DataFile, contents

from .columns import UNKNOWN, category, number, read, settled
from .copies import any_of

_HOME = "https://archive.ics.uci.edu"
_FILES = f"{_HOME}/ml/machine-learning-databases/00222"

ADDITIONAL = DataFile(
    "bank_marketing/bank-additional-full.csv",
    5_834_924,
    "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8",
    (f"{_FILES}/bank-additional.zip#bank-additional/bank-additional-full.csv",),
)
PACKED = DataFile(
    "bank_marketing/bank-additional-full.csv.gz",
    353_533,
    "25ef5a7f820659c9010405d079b068761b9e4a75c232a6271ee6a77fc3de52ae",
    ADDITIONAL.urls,
)
"""The same file, packed by gzip; the provider packs it otherwise."""
FULL = DataFile(
    "bank_marketing/bank.zip",
    579_043,
    "99d7e8eb12401ed278b793984423915411ea8df099e1795f9fefe254f513fe5e",
    (f"{_FILES}/bank.zip", f"{_HOME}/static/public/222/bank+marketing.zip#bank.zip"),
)

_CATEGORIES = (
    *("job", "marital", "education", "default", "housing", "loan", "contact"),
    *("month", "day_of_week", "poutcome"),
)


@dataclass(frozen=True)
class BankMarketing:
    """41,188 phone calls of a Portuguese bank; the sensitive column is `age`, in years.

    4,640 calls end with a deposit. `pdays` counts the days since the client was called in an
    earlier campaign; 999 stands for never (-1 in the edition `full`).

    Parameters
    ----------
    edition : `additional`, 41,188 calls from May 2008 to November 2010 by 10 numbers, five of
        them of the economy, and 10 categories; or `full`, the older 45,211 calls by 7 numbers,
        the balance among them, and 9 categories.
    duration : whether the call's duration is a feature. It is known only when the call has
        ended, and then so is the target: the provider says to leave it out of realistic models,
        so by default it is left out.
    missing : what the file calls "unknown" stays a level (`level`), or its rows are left out
        (`drop`: 30,488 rows stay, or 7,842 of `full`, where it includes clients who were never
        called before), or is an error (`refuse`).

    References
    ----------
    .. [1] Moro, Rita, Cortez, "Bank Marketing", UCI Machine Learning Repository, 2014,
       doi:10.24432/C5K306.
    .. [2] Moro, Cortez, Rita, "A data-driven approach to predict the success of bank
       telemarketing", Decision Support Systems, 2014.
    """

    edition: Literal["additional", "full"] = "additional"
    duration: bool = False
    missing: Literal["level", "drop", "refuse"] = "level"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        texts = dict(settled("bank_marketing", self._texts(), self.missing, {UNKNOWN}))
        subscribed = texts.pop("y") == "yes"
        if not self.duration:
            del texts["duration"]
        pairs = [
            category(name, cells) if name in _CATEGORIES else number(name, cells)
            for name, cells in texts.items()
        ]
        return Table(
            name="bank_marketing",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=subscribed.astype(np.int64),
            class_names=("no deposit", "deposit"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/222",
            sensitive="age",
            protected=("30 to 60",),
        )

    def _texts(self) -> dict[str, np.ndarray]:
        if self.edition == "full":
            with zipfile.ZipFile(io.BytesIO(contents(FULL))) as archive:
                return read(archive.read("bank-full.csv"), ";")
        found = any_of(ADDITIONAL, PACKED)
        return read(gzip.decompress(found) if found[:2] == b"\x1f\x8b" else found, ";")

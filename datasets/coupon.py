"""In-vehicle coupons: does a driver accept a coupon that is offered on the way?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from bench.data import Column, Table
from bench.download import DataFile

from .columns import category, number, read, settled
from .copies import any_of

_HOME = "https://archive.ics.uci.edu"
_NAME = "in-vehicle-coupon-recommendation.csv"


def _file(size: int, sha256: str) -> DataFile:
    urls = (
        f"{_HOME}/ml/machine-learning-databases/00603/{_NAME}",
        f"{_HOME}/static/public/603/in+vehicle+coupon+recommendation.zip#{_NAME}",
    )
    return DataFile(f"coupon/{_NAME}", size, sha256, urls)


CR_LF = _file(2_163_456, "d47897367f5a12a31dece0f4e42d7bd9da76d7016b568da511b50335d08dcb43")
LF = _file(2_150_771, "87e841f5d41cdaf31a09d0a0770187b2fc9cabe4171c30bf7ea2182dd074abaa")
"""The same text with other ends of lines. The provider's file has the size of the first; its
sha256 is not published."""
_NOTE = (
    f"Its home is {_HOME}/dataset/603. Several copies with small differences are about: wanted is "
    "the comma-separated one of 12,684 rows and 26 columns, with lines that end in LF or CR LF."
)

_TARGET, _KIND, _DEGREES = "Y", "coupon", "temperature"
_FLAGS = (
    *("has_children", "toCoupon_GEQ5min", "toCoupon_GEQ15min", "toCoupon_GEQ25min"),
    *("direction_same", "direction_opp"),
)

Kind = Literal[
    "Coffee House", "Bar", "Carry out & Take away", "Restaurant(<20)", "Restaurant(20-50)", "all"
]


@dataclass(frozen=True)
class Coupon:
    """3,996 offers of a coffee house's coupon in a survey; 1,995 are accepted.

    A row is a situation that a person was asked about, one of up to 22 for the same person.
    Columns with one value in all rows, such as the kind of the coupon where one is chosen, are
    left out: 23 stay, a number (degrees Fahrenheit) and 22 categories.

    Parameters
    ----------
    coupon : the kind of coupon whose rows are taken, or `all` 12,684. [2]_ takes
        `Coffee House`.
    missing : empty cells, of which `car` holds 99 %, the five columns of habits 1 to 2 %: a level
        "unknown" of their own (`level`); `drop` leaves out the column `car` and then the rows
        with any, which leaves 3,816; `refuse` raises an error that names them.

    References
    ----------
    .. [1] Wang, Rudin, "In-Vehicle Coupon Recommendation", UCI Machine Learning Repository, 2020,
       doi:10.24432/C5GS4P.
    .. [2] Pan, Wang, Hara, "Interpretable Companions for Black-Box Models", AISTATS 2020.
    """

    coupon: Kind = "Coffee House"
    missing: Literal["level", "drop", "refuse"] = "level"

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Numbers and codes, in the order of the file."""
        texts = read(any_of(CR_LF, LF, note=_NOTE))
        chosen = (texts[_KIND] == self.coupon) | (self.coupon == "all")
        texts = {name: cells[chosen] for name, cells in texts.items()}
        if self.missing == "drop":
            del texts["car"]
        texts = dict(settled("coupon", texts, self.missing, {""}))
        accepted = texts.pop(_TARGET) == "1"
        pairs = [_column(name, cells) for name, cells in texts.items() if len(np.unique(cells)) > 1]
        return Table(
            name="coupon",
            values=np.stack([values for _, values in pairs], axis=1),
            columns=tuple(column for column, _ in pairs),
            targets=accepted.astype(np.int64),
            class_names=("declined", "accepted"),
            licence="CC BY 4.0",
            source=f"{_HOME}/dataset/603",
        )


def _column(name: str, texts: np.ndarray) -> tuple[Column, Float[np.ndarray, " n"]]:
    if name == _DEGREES:
        return number(name, texts)
    return category(name, texts, {"0": "no", "1": "yes"} if name in _FLAGS else None)

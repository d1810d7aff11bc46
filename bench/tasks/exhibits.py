"""The most harmful and the most helpful training rows, as a record carries them to a figure."""

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from bench.data import Column, Data, Images, Samples, corrected

EACH = 6
"""Rows shown at each end of the ranking."""
TELLING, LETTERS = 4, 120
"""Columns that a row of a table is told by, and the letters of that text, at most."""
PACKED = 600
"""Bytes of a compressed picture, at most: a dozen of them make 10 KB of a record."""
COLOURS = 16
"""Shades of each channel that are left in a picture which is made smaller."""
SPARSE = 0.9
"""From this share of zeros on, numbers of at least 0 are the weights of words in a text."""


@dataclass(frozen=True)
class Exhibits:
    """What it takes to show training rows to a person.

    Attributes
    ----------
    class_names : of the labels.
    right : the right label of each training row.
    columns : of a table; none for images.
    values : the table's training rows, numbers as they are and categories as codes; empty for
        images, whose pixels the model sees unchanged.
    """

    class_names: tuple[str, ...]
    right: Int[np.ndarray, " n_train"]
    columns: tuple[Column, ...]
    values: Float[np.ndarray, "n_train c"]

    @classmethod
    def of(cls, data: Data, rows: Int[np.ndarray, " n_train"]) -> "Exhibits":
        """The training rows at `rows`, in single precision: they are read, not computed with."""
        right = corrected(data).targets[rows]
        if isinstance(data, Images):
            return cls(data.class_names, right, (), np.zeros((len(rows), 0), dtype=np.float32))
        return cls(data.class_names, right, data.columns, data.values[rows].astype(np.float32))

    def chosen(
        self,
        train: Samples,
        rows: Int[np.ndarray, " n_train"],
        values: Float[np.ndarray, " n_train"],
    ) -> list[dict[str, Any]]:
        """The rows of smallest and of largest value, the most extreme first, ready for JSON.

        Parameters
        ----------
        train : the training rows with the labels that were trained on.
        rows : the place of each in the data set.
        values : of an explanation, negative = harmful.

        Returns
        -------
        Of each `EACH` rows, fewer where there are fewer than twice as many: `row`, its place in
        the data set; `kind`, `harmful` or `helpful`; `value`; `label`; `truly`, the right
        label where that is another one; `picture`, its `shape` and its bytes, or `text`.
        """
        order = np.argsort(values, kind="stable")
        each = min(EACH, len(order) // 2)
        shown = [("harmful", int(j)) for j in order[:each]]
        shown += [("helpful", int(j)) for j in order[::-1][:each]]
        looks = self._looks(train, [j for _, j in shown])
        return [
            {"row": int(rows[j]), "kind": kind, "value": float(values[j])}
            | self._labels(int(train.targets[j]), int(self.right[j]))
            | look
            for (kind, j), look in zip(shown, looks, strict=True)
        ]

    def _labels(self, label: int, right: int) -> dict[str, str]:
        names = {"label": self.class_names[label]}
        return names if label == right else {**names, "truly": self.class_names[right]}

    def _looks(self, train: Samples, rows: list[int]) -> Iterator[dict[str, Any]]:
        if self.columns:
            of_text = is_text(self.columns, self.values)
            texts = [words(self, j) for j in rows] if of_text else telling(self, rows)
            yield from ({"text": text} for text in texts)
        else:
            for j in rows:
                yield {"picture": packed(train.inputs[j].cpu().numpy())}


def is_text(columns: tuple[Column, ...], values: Float[np.ndarray, "n c"]) -> bool:
    """Whether the columns are words: numbers of at least 0, nearly all of them 0."""
    numbers = not any(column.levels for column in columns)
    return numbers and bool(values.min(initial=0) >= 0 and (values == 0).mean() > SPARSE)


def words(exhibits: Exhibits, row: int) -> str:
    """The words of a text that weigh most, the heaviest first."""
    values = exhibits.values[row]
    order = np.argsort(-values, kind="stable")
    return _joined([exhibits.columns[i].name for i in order[: 2 * TELLING] if values[i]], " ")


def telling(exhibits: Exhibits, rows: list[int]) -> list[str]:
    """The columns in which each row is rarest, as `education=Masters, hours-per-week=60`.

    Rare is what few training rows share: a category, or a number as far from the median.
    """
    columns = zip(exhibits.columns, exhibits.values.T, strict=True)
    rarity = np.stack([_shared(column, values, rows) for column, values in columns], axis=1)
    told = []
    for row, own in zip(rows, rarity, strict=True):
        order, values = np.argsort(own, kind="stable")[:TELLING], exhibits.values[row].tolist()
        told.append(_joined([_text(exhibits.columns[i], values[i]) for i in order], ", "))
    return told


def _shared(
    column: Column, values: Float[np.ndarray, " n_train"], rows: list[int]
) -> Float[np.ndarray, " r"]:
    """The share of training rows that are as each of `rows`, or as far out."""
    if column.levels:
        return np.asarray((values == values[rows, None]).mean(1))
    away = np.abs(values - np.median(values))
    return np.asarray((away >= away[rows, None]).mean(1))


def _text(column: Column, value: float) -> str:
    return f"{column.name}={column.levels[int(value)] if column.levels else f'{value:.4g}'}"


def _joined(parts: list[str], between: str) -> str:
    """As many of the parts as fit, whole."""
    text = ""
    for part in parts:
        longer = f"{text}{between}{part}" if text else part
        if len(longer) <= LETTERS:
            text = longer
    return text


def packed(pixels: Float[np.ndarray, "channels height width"]) -> dict[str, Any]:
    """A picture of pixels in [0, 1] as `shape` and `zlib`: bytes, compressed, in base64.

    One that takes more than `PACKED` bytes is made smaller until it doesn't, in fewer colours.
    """
    whole = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    found, side = whole, max(whole.shape[1:])
    while len(squeezed := zlib.compress(found.tobytes(), 9)) > PACKED and side > 1:
        side = side * 7 // 8
        found = _smaller(whole, side)
    return {"shape": list(found.shape), "zlib": base64.b64encode(squeezed).decode("ascii")}


def _smaller(
    pixels: UInt8[np.ndarray, "channels height width"], side: int
) -> UInt8[np.ndarray, "channels h w"]:
    """Means over rectangles, `side` of them along the longer edge, in `COLOURS` shades."""
    scale = side / max(pixels.shape[1:])
    height, width = (max(1, round(scale * edge)) for edge in pixels.shape[1:])
    whole = torch.from_numpy(pixels).float()
    mean = torch.nn.functional.adaptive_avg_pool2d(whole, (height, width)).numpy()
    step = 255 / (COLOURS - 1)
    return np.rint(np.rint(mean / step) * step).astype(np.uint8)

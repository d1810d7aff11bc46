"""Data as the providers mean it, and what a model sees of it: encoding and splits."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : as the provider calls it.
    levels : names of the categories, in the order of their codes; empty for a number.
    """

    name: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A tabular data set, not yet encoded or scaled.

    Attributes
    ----------
    name : the data set's name.
    values : numbers as they are, categories as codes into `levels`, NaN where missing.
    columns : one per column of `values`.
    targets : class indices, or numbers for regression.
    class_names : empty for regression.
    groups : natural groups of columns by name (each column in exactly one); empty: each alone.
    sensitive : name of the column that says which protected group a row belongs to, if any.
    protected : of that column the level that is usually protected, and that with which it is
        usually compared (none: all others); of a number a range, `30 to 60`. Empty: any.
    favourable : the class that people wish for; none: the last.
    given_split : rows of the provider's own parts ("train", "test"), if any.
    licence, source : terms and home of the data.
    clean : the right labels, where some of `targets` are known to be wrong.

    Raises
    ------
    ValueError
        where these don't fit together.
    """

    name: str
    values: Float[np.ndarray, "n c"]
    columns: tuple[Column, ...]
    targets: Int[np.ndarray, " n"] | Float[np.ndarray, " n"]
    class_names: tuple[str, ...]
    licence: str
    source: str
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sensitive: str | None = None
    protected: tuple[str, ...] = ()
    favourable: str | None = None
    given_split: Mapping[str, Int[np.ndarray, " m"]] = field(default_factory=dict)
    clean: Int[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        found = f"{self.name}: values of shape {self.values.shape} and dtype {self.values.dtype}"
        if self.values.dtype.kind not in "biuf":
            raise ValueError(f"{found}: wanted numbers, categories as codes into `levels`")
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns):
            raise ValueError(
                f"{found} with {len(self.columns)} columns: wanted a row an instance and a number "
                "a column"
            )
        for column, numbers in zip(self.columns, self.values.T, strict=True):
            _check_column(self.name, column, numbers)
        _check_targets(self, len(self.values))
        names = {column.name for column in self.columns}
        grouped = (name for group in self.groups.values() for name in group)
        unknown = {*grouped, *filter(None, [self.sensitive])} - names
        if unknown:
            raise ValueError(f"{self.name} has no column {', '.join(sorted(unknown))}")

    @cached_property
    def fingerprint(self) -> str:
        """A digest of values, targets, clean labels and columns."""
        labels = _labels(self.targets, self.clean)
        return _digest(self.values, *labels, repr((self.columns, self.class_names)))

    def column(self, name: str) -> Float[np.ndarray, " n"]:
        """The values of the column called `name`."""
        return self.values[:, [column.name for column in self.columns].index(name)]


@dataclass(frozen=True)
class Images:
    """An image data set.

    Attributes
    ----------
    name : the data set's name.
    pixels : in [0, 1].
    targets : class indices.
    class_names : one a class.
    given_split : rows of the provider's own parts ("train", "test"), if any.
    licence, source : terms and home of the data.
    clean : the right labels, where some of `targets` are known to be wrong.

    Raises
    ------
    ValueError
        where these don't fit together.
    """

    name: str
    pixels: Float[np.ndarray, "n channels height width"]
    targets: Int[np.ndarray, " n"]
    class_names: tuple[str, ...]
    licence: str
    source: str
    sensitive: None = None
    given_split: Mapping[str, Int[np.ndarray, " m"]] = field(default_factory=dict)
    clean: Int[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4:
            raise ValueError(
                f"{self.name}: pixels of shape {self.pixels.shape}: wanted four axes, rows, "
                "channels, height and width (one channel: pixels[:, None])"
            )
        least, most = self.pixels.min(initial=0), self.pixels.max(initial=0)
        if not (least >= 0 and most <= 1):  # nor is NaN
            raise ValueError(
                f"{self.name}: pixels from {least:g} to {most:g}: wanted finite numbers in [0, 1] "
                "(bytes: pixels / 255)"
            )
        _check_targets(self, len(self.pixels))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of pixels, targets and clean labels."""
        return _digest(self.pixels, *_labels(self.targets, self.clean), repr(self.class_names))


def _labels(targets: np.ndarray, clean: np.ndarray | None) -> tuple[np.ndarray, ...]:
    return (targets,) if clean is None else (targets, clean)


Data = Table | Images


def _check_column(name: str, column: Column, numbers: Float[np.ndarray, " n"]) -> None:
    known = numbers[~np.isnan(numbers)]
    if np.isinf(known).any():
        raise ValueError(f"{name}: infinite numbers in {column.name}")
    levels = len(column.levels)
    if levels and not np.isin(known, np.arange(levels)).all():
        raise ValueError(f"{name}: codes in {column.name} beyond 0 to {levels - 1}, its levels")


def _check_targets(data: Data, n: int) -> None:
    """Raise `ValueError` where targets, clean labels or the provider's split don't fit n rows."""
    classes = len(data.class_names)
    for what, found in (("targets", data.targets), ("clean labels", data.clean)):
        if found is None:
            continue
        if np.shape(found) != (n,):
            raise ValueError(f"{data.name}: {what} of shape {np.shape(found)} for {n} rows")
        if not classes and not np.isfinite(found).all():
            raise ValueError(f"{data.name}: {what} hold NaN or infinite numbers")
        if classes and found.dtype.kind not in "iu":
            raise ValueError(
                f"{data.name}: {what} of dtype {found.dtype}: wanted whole numbers, the indices "
                f"of {classes} classes"
            )
        if classes and n and not 0 <= found.min() <= found.max() < classes:
            raise ValueError(
                f"{data.name}: {what} from {found.min()} to {found.max()}: wanted 0 to "
                f"{classes - 1}, the indices of {classes} classes"
            )
    for part, rows in data.given_split.items():
        if len(rows) and not 0 <= np.min(rows) <= np.max(rows) < n:
            raise ValueError(f"{data.name}: its part {part!r} names rows beyond 0 to {n - 1}")


def wrong_labels(data: Data) -> Bool[np.ndarray, " n"]:
    """The rows whose target is known to be wrong; none where no clean labels are known."""
    if data.clean is None:
        return np.zeros(len(data.targets), dtype=bool)
    return np.asarray(data.targets != data.clean)


def corrected(data: Data) -> Data:
    """The same rows with the right labels: what validation and test want, and training not."""
    return data if data.clean is None else replace(data, targets=data.clean, clean=None)


@runtime_checkable
class Dataset(Protocol):
    """A frozen dataclass that loads one data set, without a seed.

    `kind` and `predicts` let the planner refuse pairs that don't fit before anything is
    loaded; `version` rises when the same files load differently.
    """

    version: ClassVar[int]
    kind: ClassVar[Literal["table", "images"]]
    predicts: ClassVar[Literal["classes", "number"]]

    def load(self) -> Data:
        """The whole data set; raises `DataMissing` where a file is absent or damaged."""
        ...


class DataMissing(Exception):
    """A data file is absent or damaged; the text names file, checksum, home and setting."""


@dataclass(frozen=True)
class Samples:
    """Rows as a model sees them.

    Attributes
    ----------
    inputs : float32.
    targets : class indices (int64), or numbers (float32) where `n_classes` is 0.
    n_classes : 0 for regression.
    """

    inputs: Float[Tensor, "n *features"]
    targets: Int[Tensor, " n"] | Float[Tensor, " n"]
    n_classes: int

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, index: np.ndarray | Tensor) -> "Samples":
        """The rows at `index` (integers or a boolean mask)."""
        chosen = index if isinstance(index, Tensor) else torch.as_tensor(np.asarray(index))
        return Samples(self.inputs[chosen], self.targets[chosen], self.n_classes)

    def to(self, device: str | torch.device) -> "Samples":
        """The rows on that device."""
        return Samples(self.inputs.to(device), self.targets.to(device), self.n_classes)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of inputs and targets, for cache keys."""
        inputs, targets = self.inputs.cpu().numpy(), self.targets.cpu().numpy()
        return _digest(inputs, targets, str(self.n_classes))


@dataclass(frozen=True)
class Encoding:
    """How a data set's rows become a model's inputs, fitted on the training rows.

    Attributes
    ----------
    samples : all rows, encoded.
    names : a name for each input feature, e.g. `age` or `workclass = Private`; "" for pixels.
    column_of : the column that each input feature came from; empty for images.
    """

    samples: Samples
    names: tuple[str, ...]
    column_of: tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Row indices of three disjoint parts."""

    train: Int[np.ndarray, " n_train"]
    validation: Int[np.ndarray, " n_validation"]
    test: Int[np.ndarray, " n_test"]


def encode(
    data: Data, fit_rows: Int[np.ndarray, " m"], rows: Int[np.ndarray, " k"] | None = None
) -> Encoding:
    """Standardise numbers and one-hot categories; images stay in [0, 1].

    Mean and standard deviation come from `fit_rows` alone. One-hot columns are standardised
    too, as in the section 7.1 protocol of Hara, Nitanda, Maehara (2019). A column constant on
    `fit_rows` becomes 0 there. The targets of a regression are standardised likewise, so that
    one learning rate fits them in any unit. Missing values are refused: impute them on purpose
    first.

    Parameters
    ----------
    rows : which are encoded, in this order; all unless given, which takes long where few of many
        are wanted.
    """
    n_classes, chosen = len(data.class_names), slice(None) if rows is None else rows
    targets = _encode_targets(data, fit_rows)[chosen]
    if isinstance(data, Images):
        pixels = torch.as_tensor(data.pixels[chosen], dtype=torch.float32)
        return Encoding(Samples(pixels, targets, n_classes), (), ())
    missing = np.isnan(data.values).any(axis=0)
    if missing.any():
        names = ", ".join(c.name for c, m in zip(data.columns, missing, strict=True) if m)
        raise ValueError(f"{data.name} has missing values in {names}: impute or drop them first")
    names_: list[str] = []
    origin: list[int] = []
    for index, column in enumerate(data.columns):
        levels = [f"{column.name} = {level}" for level in column.levels]
        names_ += levels or [column.name]
        origin += [index] * max(len(levels), 1)
    fitted, features = _features(data, fit_rows), _features(data, chosen)
    inputs = torch.as_tensor(_standardised(features, fitted), dtype=torch.float32)
    return Encoding(Samples(inputs, targets, n_classes), tuple(names_), tuple(origin))


def _features(data: Table, rows: Int[np.ndarray, " k"] | slice) -> Float[np.ndarray, "k p"]:
    """Numbers as they are, a column for each level of a category."""
    blocks = [
        np.eye(len(column.levels))[values.astype(int)] if column.levels else values[:, None]
        for column, values in zip(data.columns, data.values[rows].T, strict=True)
    ]
    return np.concatenate(blocks, axis=1)


def _encode_targets(data: Data, fit_rows: Int[np.ndarray, " m"]) -> Tensor:
    if data.class_names:
        return torch.as_tensor(data.targets).to(torch.int64)
    fitted = data.targets[fit_rows]
    return torch.as_tensor(_standardised(data.targets, fitted), dtype=torch.float32)


def _standardised(
    values: Float[np.ndarray, "n *c"], fitted: Float[np.ndarray, "m *c"]
) -> Float[np.ndarray, "n *c"]:
    mean, spread = fitted.mean(axis=0), fitted.std(axis=0)
    # The computed spread of a constant column can be a rounding error above 0.
    constant = fitted.min(axis=0) == fitted.max(axis=0)
    centre, scale = np.where(constant, fitted[0], mean), np.where(constant, 1.0, spread)
    standardised: np.ndarray = (values - centre) / scale
    return standardised


_SCHEME = re.compile(
    r"(?P<kind>percent|rows) (?P<train>\d+)/(?P<validation>\d+)/(?P<test>\d+)$"
    r"|(fold (?P<fold>\d+)/(?P<folds>\d+)|given) validation (?P<held>\d\d?)$"
    r"|given rows (?P<fit>\d+)/(?P<check>\d+)$"
)


def read_scheme(scheme: str) -> re.Match[str]:
    """The parts of a split scheme; raises `ValueError` where it is none."""
    found = _SCHEME.fullmatch(scheme)
    if found is None:
        raise ValueError(
            f"split scheme {scheme!r}: wanted 'percent 60/20/20', 'rows 200/200/200', "
            "'fold 1/5 validation 20', 'given validation 20' or 'given rows 50000/10000'"
        )
    return found


def split(data: Data, scheme: str, *, rng: np.random.Generator) -> Split:
    """Rows for training, validation and test.

    Parameters
    ----------
    data : any data set.
    scheme : one of
        `percent 60/20/20` (stratified by class),
        `rows 200/200/200` (a plain random draw without replacement, as the papers do),
        `fold 1/5 validation 20` (the first of five stratified folds is the test part, 20 % of
        the other rows validate),
        `given validation 20` (the provider's test part, 20 % of its training part validates),
        `given rows 50000/10000` (the provider's test part, so many rows of its training part
        train and validate).
        A part of 0 is empty on purpose.
    rng : decides which rows.

    Raises
    ------
    ValueError
        where the scheme isn't one of these, wants more rows than there are, or leaves the
        training part, or a part that isn't 0 on purpose, without rows.
    """
    found = read_scheme(scheme)
    if found["held"]:
        rest, test = _given(data) if found["fold"] is None else _fold(data, found, rng)
        held = int(found["held"])
        parts = [*_stratified(rest, data, np.array([100 - held, held]), rng), test]
    elif found["fit"]:
        rest, test = _given(data)
        parts = [*_drawn(rest, np.array([int(found["fit"]), int(found["check"])]), data, rng), test]
    else:
        shares = np.array([int(found[part]) for part in ("train", "validation", "test")])
        every = np.arange(len(data.targets))
        by_rows = found["kind"] == "rows"
        parts = _drawn(every, shares, data, rng) if by_rows else _by_percent(data, shares, rng)
    if not len(parts[0]):
        raise ValueError(f"split {scheme!r} of {data.name} leaves no rows to train on")
    return Split(*parts)


def _drawn(
    rows: np.ndarray, sizes: np.ndarray, data: Data, rng: np.random.Generator
) -> list[np.ndarray]:
    """Parts of these sizes, drawn from `rows` without replacement."""
    n, wanted = len(rows), sizes.sum()
    if wanted > n:
        raise ValueError(f"a split into {wanted} rows is wanted, {data.name} has {n}")
    return np.split(rows[rng.permutation(n)[:wanted]], np.cumsum(sizes)[:-1])


def _by_percent(data: Data, percents: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    if percents.sum() != 100:
        raise ValueError(f"the percentages of a split add to {percents.sum()}, not to 100")
    return _stratified(np.arange(len(data.targets)), data, percents, rng)


def _given(data: Data) -> tuple[np.ndarray, np.ndarray]:
    if not data.given_split:
        raise ValueError(f"{data.name} comes without a split of its own")
    return np.asarray(data.given_split["train"]), np.asarray(data.given_split["test"])


def _fold(
    data: Data, found: re.Match[str], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    fold, folds = int(found["fold"]), int(found["folds"])
    if folds < 2 or not 1 <= fold <= folds:
        raise ValueError(f"there is no fold {fold}/{folds}: the first of five is 1/5")
    rows = np.arange(len(data.targets))
    parts = _stratified(rows, data, np.ones(folds, dtype=int), rng)
    return np.concatenate(parts[: fold - 1] + parts[fold:]), parts[fold - 1]


def _stratified(
    rows: np.ndarray, data: Data, shares: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Deal `rows` at random into parts in proportion to the whole numbers `shares`.

    Every class is dealt in that proportion, up to one row.
    """
    strata = data.targets[rows] if data.class_names else np.zeros(len(rows), dtype=int)
    quotas = _quotas(np.unique(strata, return_counts=True)[1], shares)
    order = rng.permutation(len(rows))
    order = order[np.argsort(strata[order], kind="stable")]
    part_of = np.repeat(np.tile(np.arange(len(shares)), len(quotas)), quotas.ravel())
    parts = [rng.permutation(rows[order[part_of == part]]) for part in range(len(shares))]
    for part, share in zip(parts, shares, strict=True):
        if share and not len(part):
            raise ValueError(f"{data.name} has too few rows: a part of the split gets none")
    return parts


def _quotas(
    class_sizes: Int[np.ndarray, " c"], shares: Int[np.ndarray, " k"]
) -> Int[np.ndarray, "c k"]:
    """How many rows of each class go to each part.

    The exact proportion rounded down; what is left of a class goes one by one to the parts
    that lack most rows so far.
    """
    exact = np.outer(class_sizes, shares)
    quotas: np.ndarray = exact // shares.sum()
    owed = exact - quotas * shares.sum()
    lacking = np.zeros(len(shares), dtype=int)
    for size, dealt, owing in zip(class_sizes, quotas, owed, strict=True):
        lacking += owing
        extra = np.lexsort((-owing, -lacking))[: size - dealt.sum()]
        dealt[extra] += 1
        lacking[extra] -= shares.sum()
    return quotas


def flip_labels(
    targets: Int[Tensor, " n"], share: float, n_classes: int, *, rng: np.random.Generator
) -> tuple[Int[Tensor, " n"], Bool[np.ndarray, " n"]]:
    """Give a random `share` of the rows another class, drawn evenly from the others.

    Returns
    -------
    the new targets, and which rows were flipped (exactly round(share n)).
    """
    if n_classes < 2 or not 0 <= share <= 1:
        raise ValueError(f"a share of {share:g} can't be flipped among {n_classes} classes")
    flipped = np.zeros(len(targets), dtype=bool)
    flipped[rng.permutation(len(targets))[: round(share * len(targets))]] = True
    shift = torch.as_tensor(rng.integers(1, n_classes, size=len(targets)))
    moved = (targets + shift) % n_classes
    return torch.where(torch.as_tensor(flipped), moved, targets), flipped


Noise = Literal["uniform", "class", "group"]
"""Who gets a wrong label, and which: see `label_noise`."""


def label_noise(
    targets: Int[Tensor, " n"],
    groups: Int[np.ndarray, " n"] | None,
    kind: Noise,
    share: float,
    n_classes: int,
    *,
    rng: np.random.Generator,
) -> tuple[Int[Tensor, " n"], Bool[np.ndarray, " n"]]:
    """Give rows a wrong label.

    Parameters
    ----------
    targets : class indices.
    groups : which protected group each row belongs to; used by `group` alone.
    kind : `uniform`, a `share` of all rows gets another class, drawn evenly from the others;
        `class`, a `share` of all rows goes from class i to i + 1, the last to the first (the
        asymmetric noise of [1]_: each class is taken for one other);
        `group`, a `share` of the rows of the smallest group (among equals the lowest code) gets
        another class, drawn evenly from the others: labels are worse where people are fewer [2]_.
    share : from 0 to 1.
    n_classes : 2 or more.

    Returns
    -------
    the new targets, and which rows got a wrong one: exactly round(share n), n the number of
    rows that could.

    References
    ----------
    .. [1] Patrini, Rozza, Menon, Nock, Qu, "Making Deep Neural Networks Robust to Label Noise: a
       Loss Correction Approach", CVPR 2017.
    .. [2] Wang, Liu, Levy, "Fair Classification with Group-Dependent Label Noise", FAccT 2021.
    """
    rows = np.arange(len(targets))
    if kind == "group":
        if groups is None:
            raise ValueError("noise 'group' wants a sensitive attribute: this data set has none")
        codes, sizes = np.unique(groups, return_counts=True)
        rows = np.flatnonzero(groups == codes[np.argmin(sizes)])
    some, wrong_there = flip_labels(targets[rows], share, n_classes, rng=rng)
    if kind == "class":
        some = torch.where(torch.as_tensor(wrong_there), (targets + 1) % n_classes, targets)
    noisy, wrong = targets.clone(), np.zeros(len(targets), dtype=bool)
    noisy[rows], wrong[rows] = some, wrong_there
    return noisy, wrong


def _digest(*parts: np.ndarray | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]

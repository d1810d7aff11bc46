"""Features that a user groups: as a text, a file of names, or an array of numbers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from jaxtyping import Int
from torch import Tensor

from bench.components import did_you_mean

Groups = Mapping[str, tuple[str, ...]]
"""Columns by the name of their group."""


def groups_from_text(text: str, columns: Sequence[str]) -> Groups:
    """The groups in `age, sex | race`, each called by its columns.

    Raises
    ------
    ValueError
        where a column is unknown, stands twice or is missing; so do the others here.

    Examples
    --------
    >>> groups_from_text("age, sex | race", ["age", "race", "sex"])
    {'age, sex': ('age', 'sex'), 'race': ('race',)}
    """
    listed = [[name.strip() for name in group.split(",")] for group in text.split("|")]
    return _checked(((", ".join(group), group) for group in listed), columns)


def groups_from_file(path: Path, columns: Sequence[str]) -> Groups:
    """The groups in a json or yaml file that maps each group's name to its columns."""
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if not isinstance(read, dict) or not all(
        isinstance(group, list) and all(isinstance(name, str) for name in group)
        for group in read.values()
    ):
        raise ValueError(f"{path} wants to map each group's name to a list of columns")
    return _checked(((str(name), group) for name, group in read.items()), columns)


def membership_from(path: Path, shape: tuple[int, ...]) -> Int[Tensor, "*features"]:
    """The feature of each input position, from an `.npy` file.

    It holds whole numbers 0 .. p - 1, each at least once, in the shape of an encoded input; an
    image's may leave out the channels, which are then one feature.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu":
        raise ValueError(f"{path} wants to be an array of whole numbers")
    if found.shape not in (shape, shape[1:] if len(shape) == 3 else shape):
        raise ValueError(f"{path} is of shape {found.shape}, an input of {shape}")
    numbers = np.unique(found)
    if not np.array_equal(numbers, np.arange(len(numbers))):
        some = f"{numbers[:8].tolist()}{'..' if len(numbers) > 8 else ''}"
        raise ValueError(f"{path} holds {some}: wanted 0 .. p - 1, each at least once")
    return torch.from_numpy(np.broadcast_to(found, shape).astype(np.int64))


def _checked(groups: Iterable[tuple[str, Sequence[str]]], columns: Sequence[str]) -> Groups:
    """The groups, if they part the columns."""
    checked: dict[str, tuple[str, ...]] = {}
    group_of: dict[str, str] = {}
    for group, members in groups:
        if not members:
            raise ValueError(f"group {group!r} has no columns")
        for name in members:
            if name not in columns:
                raise ValueError(str(did_you_mean(name, columns, "column")))
            if name in group_of:
                raise ValueError(f"column {name!r} is in {group_of[name]!r} and in {group!r}")
            group_of[name] = group
        checked[group] = tuple(members)
    missing = [name for name in columns if name not in group_of]
    if missing:
        raise ValueError(f"no group has {', '.join(missing)}: each column wants one")
    return checked

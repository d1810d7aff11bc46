"""Plug-ins by name: a yaml names a class and its numbers, this finds it and builds the object."""

import difflib
import importlib
import importlib.resources
import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

Config = dict[str, Any]


class ConfigError(Exception):
    """A configuration that can't be used, with the way out: nothing has been run."""


def did_you_mean(name: str, known: Iterable[str], what: str) -> ConfigError:
    """The error for an unknown `name`, with the nearest known ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return ConfigError(f"unknown {what} {name!r}: {hint}")


class Shelf:
    """The yaml files of the installed `conf` and of the user's own folders, by group.

    Parameters
    ----------
    folders : `--config-dir` folders, searched before the installed configuration. They are
        put on the import path, so that `mine/method/attribution/mine.yaml` may name a class
        in `mine/mine.py`.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise ConfigError(f"--config-dir {folder} is not a folder")
            if str(folder.resolve()) not in sys.path:
                sys.path.insert(0, str(folder.resolve()))
        installed = Path(str(importlib.resources.files("earnest.conf")))
        self.folders = (*(folder.resolve() for folder in folders), installed)

    def names(self, group: str) -> list[str]:
        """Names in a group such as `method/attribution`, sorted."""
        return sorted(
            {path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")}
        )

    def config(self, group: str, name: str) -> Config:
        """The contents of `group/name.yaml`."""
        for folder in self.folders:
            path = folder / group / f"{name}.yaml"
            if path.is_file():
                return _read(path)
        raise did_you_mean(name, self.names(group), group)


def _read(path: Path) -> Config:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no mapping of keys to values")
    return {str(key): value for key, value in loaded.items()}


def target(config: Config) -> Any:
    """The class that `_target_` names."""
    if "_target_" not in config:
        raise ConfigError(f"no _target_ in {config}: it names the class to build")
    path = str(config["_target_"])
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # an import may raise anything
        raise ConfigError(f"{path} can't be imported: {error}") from error
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ConfigError(f"{path} is no dataclass: a yaml names nothing else")
    return found


def merged(config: Config, overrides: Mapping[str, Any], what: str) -> Config:
    """`config` with fields replaced; an unknown field is refused with "did you mean".

    Fields given for a part, `{architecture: {activation: gelu}}`, replace those of the part; with
    a `_target_` among them they replace the part.
    """
    known = {field.name for field in fields(target(config)) if field.init}
    found = dict(config)
    for name, value in overrides.items():
        if name not in known:
            raise did_you_mean(name, known, f"key of {what}")
        of_part = isinstance(value, Mapping) and "_target_" not in value
        part = config.get(name)
        if of_part and isinstance(part, Mapping) and "_target_" in part:
            value = merged(dict(part), value, f"{what} {name}")
        found[name] = value
    return found


def build(config: Config, what: str = "configuration") -> Any:
    """The object that a configuration describes, nested ones first; lists become tuples."""
    cls = target(config)
    values = {key: value for key, value in config.items() if key != "_target_"}
    hints = typing.get_type_hints(cls)
    known = {field.name for field in fields(cls) if field.init}
    for key, value in values.items():
        if key not in known:
            raise did_you_mean(key, known, f"key of {what}")
        if not _fits(value, hints[key]):
            raise ConfigError(f"{what}: {key}={value!r} is no {_readable(hints[key])}")
    try:
        return cls(**{key: _convert(value, what) for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {error}") from error


def _convert(value: Any, what: str) -> Any:
    if isinstance(value, dict):
        return build(value, what) if "_target_" in value else value
    if isinstance(value, list):
        return tuple(_convert(item, what) for item in value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a yaml value may fill a field; types that yaml has no word for are left alone."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, list | tuple)
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    if hint is str:
        return isinstance(value, str)
    if hint is types.NoneType:
        return value is None
    return True


def _readable(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    return hint.__name__ if isinstance(hint, type) else str(hint)

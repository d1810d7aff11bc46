"""The command that runs a record's cell again."""

import json
import re
import shlex
from typing import Any

from bench.record import Record

AXES = ("task", "setting", "dataset", "model", "method", "seed")
_PLAIN = re.compile(r"[A-Za-z0-9_][\w.-]*")


def command_of(record: Record) -> str:
    """`earnest run ...` for a shell; what a stranger's record holds stays one word of it.

    Examples
    --------
    >>> choices = {"task": "cleansing", "setting": {"flip": 0.1}, "method": "random", "seed": 0}
    >>> command_of(Record("", "s", "", "", "", "", "", 0, "ok", choices=choices))
    "earnest run suite=s task=cleansing 'setting={flip:0.1}' method=random seed=0"
    """
    chosen = {"suite": record.suite, **{a: record.choices[a] for a in AXES if a in record.choices}}
    if record.device != "cpu":
        chosen["device"] = "cuda"
    words = (f"{axis}={hydra_text(value)}" for axis, value in chosen.items())
    return " ".join(["earnest run", *map(shlex.quote, words)])


def hydra_text(value: Any) -> str:
    """A value in Hydra's grammar for overrides."""
    if isinstance(value, dict):
        fields = (f"{hydra_text(str(name))}:{hydra_text(item)}" for name, item in value.items())
        return "{" + ",".join(fields) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(hydra_text, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and not _looks_otherwise(value) else _quoted(value)
    return "null" if value is None else str(value)


def _looks_otherwise(text: str) -> bool:
    """Whether Hydra would read a plain text as a number, a truth value or nothing."""
    if text.lower() in ("null", "true", "false", "nan", "inf"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "\\${")

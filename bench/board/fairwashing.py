"""What all figures of fairwashing share: what was published, honest methods, settings in order."""

import json
import re
from collections.abc import Sequence
from typing import Any

from bench.board import figure_companion
from bench.board.panels import SOFT
from bench.board.rows import number
from bench.record import Record

HONEST = ("honest_list", "honest_sample")
"""Methods that wash nothing: what others are compared with."""
RANDOM = ("random_list",)

Style = tuple[str, Any, str]
"""A method, its colour, its dashes."""


def published(records: Sequence[Record], kind: str) -> list[Record]:
    """Those of which a `model`, models for `people`, or a `sample` was published."""
    return [record for record in records if record.details.get("kind") == kind]


def is_control(method: str) -> bool:
    """Whether a method washes nothing, or chooses at random."""
    return method.split(" ")[0] in (*HONEST, *RANDOM)


def styled(records: Sequence[Record]) -> list[Style]:
    """Methods with their colours and dashes; controls are grey, those at random dotted."""
    return [
        (method, SOFT, "-") if method.split(" ")[0] in HONEST else (method, colour, dashes)
        for method, colour, dashes in figure_companion.styled(records, is_control)
    ]


def share(value: Any) -> float:
    """A number from 0 to 1, or NaN for whatever else a record may hold."""
    found = number(value)
    return found if 0 <= found <= 1 else float("nan")


def without(record: Record, *fields: str) -> tuple[str, str]:
    """A record's setting without these fields: what tells it from others, and its short text."""
    rest = {name: value for name, value in record.settings.items() if name not in fields}
    text = record.setting
    for name in fields:
        shown = re.escape(f"{name}={record.settings.get(name)}")
        text = re.sub(rf"(?<!\S){shown}(?!\S)", "", text)
    return json.dumps(rest, sort_keys=True, default=str), " ".join(text.split())

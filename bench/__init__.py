"""earnest: how earnest is an explanation of a machine-learning model?

evaluate : methods, data and a model in, scores out, with no files.
run_cells : many cells in isolated processes, a record each.
read_records : the records of a suite.
leaderboard : the table of a suite.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.board import leaderboard
    from bench.evaluation import evaluate
    from bench.record import read_all as read_records
    from bench.runner import run_cells

__all__ = ["evaluate", "leaderboard", "read_records", "run_cells"]

_HOMES = {
    "evaluate": ("bench.evaluation", "evaluate"),
    "run_cells": ("bench.runner", "run_cells"),
    "read_records": ("bench.record", "read_all"),
    "leaderboard": ("bench.board", "leaderboard"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import bench` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)

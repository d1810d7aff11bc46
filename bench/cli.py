"""The command line: run, plan, list, show, failures, leaderboard, doctor.

Exit codes: 0 all is well; 1 usage or configuration; 3 some cells failed, all others are
written; 4 cells were tried and no cell has an answer, be it that all failed or that no method can;
130 interrupted.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bench.components import ConfigError

EXIT_USAGE, EXIT_SOME_FAILED, EXIT_NONE_OK, EXIT_INTERRUPTED = 1, 3, 4, 130

OVERRIDES = """\
KEY=VALUE pairs as in Hydra, for example
  experiment=quickstart                      a named grid (earnest list experiments)
  task=attribution dataset=digits model=cnn method=[lime,occlusion] seed=[0,1,2]
  method='{lime: {samples: 2000}}'           a field replaced
  setting='{reference: mean}'                another setting of the task
  resume=failed jobs=2 seconds=60 results_dir=FOLDER data_dir=FOLDER
-m 'shard=range(16)' n_shards=16 hydra/launcher=submitit_slurm   one job a shard
--config-dir FOLDER                          your own method/, dataset/, model/ yamls
"""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Errors of usage go to stderr in one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command not in ("run", "plan"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    handler: Callable[[argparse.Namespace, list[str]], int] = known.handler
    try:
        return handler(known, rest)
    except ConfigError as error:
        print(f"earnest: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("\nearnest: stopped; the same command goes on where it was", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """Leaves with `EXIT_USAGE` on what it doesn't understand, not with argparse's own 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="earnest", description="How earnest is an explanation of a machine-learning model?"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, handler: Callable[..., int], text: str) -> _Parser:
        command = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.set_defaults(handler=handler)
        return command

    add("run", _run, "run what is missing of an experiment").epilog = OVERRIDES
    add("plan", _plan, "say what an experiment would run, and run nothing").epilog = OVERRIDES
    listing = add("list", _list, "list what can be named")
    listing.add_argument("what", choices=sorted(LISTS), nargs="?", default="methods")
    listing.add_argument("--config-dir", type=Path, action="append", default=[])
    show = add("show", _show, "show a record by the first digits of its key, or a yaml by name")
    show.add_argument("name", help="a record's key, or a name such as lime or quickstart")
    failures = add("failures", _failures, "show what failed in a suite, and why")
    failures.add_argument("suite", help="a suite's name or folder")
    board = add("leaderboard", _leaderboard, "print the leaderboard of a suite")
    board.add_argument("suite", help="a suite's name or folder")
    form = board.add_mutually_exclusive_group()
    for kind in ("json", "csv", "markdown", "html"):
        form.add_argument(f"--{kind}", dest="form", action="store_const", const=kind)
    board.add_argument(
        "--metric",
        action="append",
        default=[],
        help="a metric to print, may be given again (default: each task's headline, of json and "
        "csv all)",
    )
    for command in (show, failures, board):
        command.add_argument("--results-dir", help="folder of suites")
    add("doctor", _doctor, "say what earnest finds on this machine")
    return parser


def _run(_known: argparse.Namespace, overrides: list[str]) -> int:
    from bench import app

    return app.run(overrides)


def _plan(_known: argparse.Namespace, overrides: list[str]) -> int:
    from bench import app

    return app.show_plan(overrides)


LISTS = {
    "methods": "method",
    "datasets": "dataset",
    "models": "model",
    "tasks": "task",
    "experiments": "experiment",
}


def _list(known: argparse.Namespace, _rest: list[str]) -> int:
    from bench.components import Shelf

    shelf = Shelf(known.config_dir)
    if known.what != "methods":
        print("\n".join(shelf.names(LISTS[known.what])))
        return 0
    for task in shelf.names("task"):
        for name in shelf.names(f"method/{task}"):
            print(f"{task}/{name}")
    return 0


def _show(known: argparse.Namespace, _rest: list[str]) -> int:
    from bench import inspection

    return inspection.show(known.name, _root(known))


def _failures(known: argparse.Namespace, _rest: list[str]) -> int:
    from bench import inspection

    return inspection.failures(_suite(known))


def _leaderboard(known: argparse.Namespace, _rest: list[str]) -> int:
    from bench import inspection

    return inspection.leaderboard(_suite(known), known.form, known.metric)


def _doctor(_known: argparse.Namespace, _rest: list[str]) -> int:
    from bench import inspection

    return inspection.doctor()


def _root(known: argparse.Namespace) -> Path:
    from bench.settings import results_root

    return results_root(known.results_dir, os.environ)


def _suite(known: argparse.Namespace) -> Path:
    """The folder of the suite that was named, by itself or below the results folder."""
    from bench.components import did_you_mean

    for folder in (_root(known) / known.suite, Path(known.suite)):
        if folder.is_dir():
            return folder
    root = _root(known)
    suites = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    raise did_you_mean(known.suite, suites, f"suite in {root}")

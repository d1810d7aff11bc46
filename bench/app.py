"""`earnest run` and `earnest plan`: from Hydra's configuration to records and a page."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bench.cache import Cache, cache_root
from bench.cell import Cell
from bench.cli import EXIT_NONE_OK, EXIT_SOME_FAILED, EXIT_USAGE
from bench.components import ConfigError, Shelf, did_you_mean, target
from bench.devices import CPU, check_device, check_present
from bench.plan import Plan, estimate, make_plan
from bench.progress import Progress, status_table
from bench.record import Record, read_all, sweep_drafts
from bench.settings import (
    Axes,
    Settings,
    experiment_of,
    from_hydra,
    limits_of,
    register,
    results_root,
    with_axes,
)

ARGPARSE_USAGE = 2

FAILURES = ("failed", "timeout", "memory", "crashed")

_exit_codes: list[int] = []
"""Exit codes of the jobs that ran in this process: Hydra's launchers return nothing."""


def run(arguments: Sequence[str]) -> int:
    """`earnest run`: through Hydra, so that `-m`, launchers and `--cfg job` work."""
    _refuse_typos(arguments)
    register()
    _exit_codes.clear()
    before, sys.argv = sys.argv, ["earnest", *_ordered(arguments)]
    try:
        hydra.main(config_path="pkg://earnest.conf", config_name="config", version_base="1.3")(
            _job
        )()
    except SystemExit as stopped:  # Hydra's parser leaves with 2 on what it doesn't understand
        if stopped.code == ARGPARSE_USAGE:
            return EXIT_USAGE
        raise
    finally:
        sys.argv = before
    return together(_exit_codes)


def together(codes: Sequence[int]) -> int:
    """The exit code of all jobs: no cell gave an answer only where that is so in each of them."""
    worst = max(codes, default=0)
    return EXIT_SOME_FAILED if worst == EXIT_NONE_OK and min(codes) != worst else worst


def _ordered(arguments: Sequence[str]) -> list[str]:
    """Overrides after the flags and their values: Hydra's parser wants them in one piece."""
    overrides = [word for word in arguments if "=" in word and not word.startswith("-")]
    flags = [word for word in arguments if word not in overrides]
    return [*flags, *map(with_axes, overrides)]


def show_plan(arguments: Sequence[str]) -> int:
    """`earnest plan`: what would be run, and how long it may take."""
    _refuse_typos(arguments)
    folders, overrides = _folders(arguments)
    settings, shelf = compose(overrides, folders), Shelf(folders)
    plan, done = _planned(settings, shelf)
    left = plan.left(done, _resume(settings))
    print(f"{plan.suite}: {len(plan.cells)} cells, {len(left)} to run")
    for status, count in sorted(plan.counts(done).items()):
        if count:
            print(f"  {status:12}{count:6}")
    seconds = estimate(left, done.values(), settings.jobs or os.cpu_count() or 1)
    if left:
        text = (
            "unknown, no cell like these was run" if seconds is None else f"about {seconds:.0f} s"
        )
        print(f"time left: {text}")
    _print_left_out(plan)
    return 0


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> Settings:
    """The settings that `earnest run` would get from these overrides."""
    register()
    search = [f"hydra.searchpath=[{','.join(f'file://{f.resolve()}' for f in folders)}]"]
    with hydra.initialize_config_module("earnest.conf", version_base="1.3"):
        try:
            composed = hydra.compose(
                "config", [*map(with_axes, overrides), *(search if folders else [])]
            )
        except Exception as error:  # Hydra's errors have no common base below Exception
            raise ConfigError(str(error)) from error
    return from_hydra(composed)


def _job(config: DictConfig) -> None:
    """One Hydra job: a shard of an experiment. It returns, so that no launcher raises."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(s.path) for s in sources if s.provider == "command-line"]
    try:
        _exit_codes.append(execute(from_hydra(config), Shelf(folders)))
    except ConfigError as error:
        print(f"earnest: {error}", file=sys.stderr)
        _exit_codes.append(EXIT_USAGE)


def execute(settings: Settings, shelf: Shelf) -> int:
    """Plan, run what is missing, print what came of it, publish; returns the exit code."""
    folder = _folder(settings)
    plan, done = _planned(settings, shelf)
    left = plan.left(done, _resume(settings))
    _print_left_out(plan)
    tried: Counter[str] = Counter()
    if left:
        tried = _run_left(plan, left, done, folder, settings)
        done = {record.key: record for record in read_all(folder)}
        print(status_table([done[c.key] for c in plan.cells if c.key in done]))
    _publish(settings, folder, bool(left))
    if not left:
        print(f"{plan.suite}: nothing left to run ({len(plan.cells)} cells in {folder})")
    statuses = plan.counts(done)
    unfinished = tried and statuses["missing"]
    failed = plan.absent or unfinished or any(statuses[s] for s in FAILURES)
    # A shard knows nothing of the others' answers: that a method has none is no failure there.
    if tried and not statuses["ok"] and (failed or settings.n_shards == 1):
        return EXIT_NONE_OK
    return EXIT_SOME_FAILED if failed else 0


def _run_left(
    plan: Plan, left: Sequence[Cell], done: Mapping[str, Record], folder: Path, settings: Settings
) -> Counter[str]:
    from bench.runner import run_cells  # late: a finished suite needs no workers

    check_present(settings.device)
    # One lane for a GPU unless told otherwise: each holds the card's context and its data.
    jobs = settings.jobs or (0 if settings.device == CPU else 1)
    attempts = {key: record.attempt for key, record in done.items()}
    left = [replace(cell, device=settings.device) for cell in left]
    with Progress(len(left), plan.suite) as progress:
        try:
            return run_cells(
                left,
                folder,
                jobs=jobs,
                limits=limits_of(settings),
                attempts=attempts,
                report=progress.tick,
            )
        except OSError as error:
            raise ConfigError(
                f"a record can't be written into {folder} ({error}): make room or give "
                "results_dir=FOLDER; all records written so far are kept"
            ) from error


def _publish(settings: Settings, folder: Path, changed: bool) -> None:
    from bench import board  # late: a finished suite needs neither tables nor plots

    if not settings.page:
        if changed and (lines := board.trust(folder)):
            print(lines)
        return
    page = board.publish(folder)
    if changed:
        print(board.summary(folder))
    print(f"leaderboard: {page}")


def _planned(settings: Settings, shelf: Shelf) -> tuple[Plan, dict[str, Record]]:
    if settings.data_dir:
        os.environ["EARNEST_DATA"] = settings.data_dir
    if not 0 <= settings.shard < settings.n_shards:
        raise ConfigError(f"shard={settings.shard} is not one of n_shards={settings.n_shards}")
    limits_of(settings)
    plan = make_plan(experiment_of(settings, shelf), shelf, Cache(cache_root()))
    folder = results_root(settings.results_dir, os.environ) / settings.suite
    tasks = {cell.task.choice.name: target(cell.task.config) for cell in plan.cells}
    others = [name for name, task in tasks.items() if not getattr(task, "on_gpu", False)]
    check_device(settings.device, others)
    done = {record.key: record for record in read_all(folder)}
    return plan.shard(settings.shard, settings.n_shards), done


def _folder(settings: Settings) -> Path:
    """The suite's folder, made if it is missing, proved writable."""
    folder = results_root(settings.results_dir, os.environ) / settings.suite
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        sweep_drafts(folder)
    except OSError as error:
        raise ConfigError(
            f"results folder {folder} can't be written ({error}): give results_dir=FOLDER or "
            "set EARNEST_RESULTS"
        ) from error
    return folder


def _resume(settings: Settings) -> tuple[str, ...]:
    """`resume=failed` means the failed ones and the missing ones."""
    words = settings.resume if isinstance(settings.resume, list) else [settings.resume]
    return tuple(map(str, words))


def _print_left_out(plan: Plan) -> None:
    for what, why in (*plan.absent, *plan.refused):
        print(f"left out: {what}: {why}", file=sys.stderr)


def _folders(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders given by `--config-dir` (or `-cd`), and the other arguments."""
    folders: list[Path] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, given, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            folders.append(Path(value if given else next(words, "")))
        else:
            rest.append(word)
    return folders, rest


def _refuse_typos(arguments: Sequence[str]) -> None:
    """Refuse unknown keys, a key given twice and unknown experiments, before Hydra starts."""
    folders, overrides = _folders(arguments)
    shelf, seen = Shelf(folders), set[str]()
    known = {field.name for node in (Settings, Axes) for field in fields(node)}
    for before, override in zip(["", *overrides], overrides, strict=False):
        key, given, value = override.partition("=")
        of_flag = before.startswith("-") and before not in ("-m", "--multirun") and not given
        if (
            of_flag
            or override.startswith("-")
            or "/" in key
            or key.lstrip("+~").startswith("hydra")
        ):
            continue
        if not given:
            raise ConfigError(f"{override!r}: wanted KEY=VALUE, for example experiment=quickstart")
        key = key.lstrip("+~").split(".")[0].split("@")[0]
        if key not in known:
            raise did_you_mean(key, known, "key")
        if key in seen:
            raise ConfigError(f"{key} is given twice: give a list, {key}=[a,b]")
        seen.add(key)
        names = shelf.names("experiment")
        if key == "experiment" and value not in names and "," not in value:
            raise did_you_mean(value, names, "experiment")

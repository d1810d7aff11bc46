"""Many cells on a few workers: each problem is built once, each cell leaves a record."""

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import psutil

from bench import isolation
from bench.cell import PRELOAD, Cell, build_case, run_cell
from bench.components import target
from bench.explainers import Explainers
from bench.isolation import Limits, Outcome, Worker
from bench.record import Record, canonical, write

log = logging.getLogger(__name__)

SCRATCH = "earnest-run-"


@dataclass
class _Problem:
    """A group of cells that share a case, and how far they are.

    `dataset` says which data they share with other groups.
    """

    cells: deque[Cell]
    folder: Path
    dataset: str
    running: int = 0
    built: Outcome | None = None


@dataclass
class _Queue:
    """What is left to do; lanes take from it under its lock."""

    waiting: deque[_Problem]
    scratch: Path
    open: list[_Problem] = field(default_factory=list)
    building: int = 0
    stopped: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, current: _Problem | None) -> tuple[_Problem, Cell | None] | None:
        """The next cell, of the current problem first; or a problem to build; or None: all done."""
        with self.changed:
            while not self.stopped:
                ready = [p for p in (current, *self.open) if p and p.built and p.cells]
                if ready:
                    ready[0].running += 1
                    return ready[0], ready[0].cells.popleft()
                if self.waiting:
                    self.building += 1
                    return self.waiting.popleft(), None
                if not self.building:
                    return None
                self.changed.wait()
            return None

    def opened(self, problem: _Problem, built: Outcome) -> None:
        with self.changed:
            problem.built = built
            self.building -= 1
            self.open.append(problem)
            self.changed.notify_all()

    def finished(self, problem: _Problem) -> None:
        with self.changed:
            problem.running -= 1
            if not problem.cells and not problem.running:
                self.open.remove(problem)
                shutil.rmtree(problem.folder, ignore_errors=True)

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int = 0,
    limits: Limits | None = None,
    attempts: Mapping[str, int] | None = None,
    report: Callable[[Record], None] = lambda record: None,
) -> Counter[str]:
    """Run cells in isolated processes and write a record for each into `folder`.

    Parameters
    ----------
    cells : from `bench.plan`.
    folder : of the suite; it is made where it is missing.
    jobs : how many cells at a time; 0: as many as there are cores.
    limits : wall time and memory of each stage of a cell.
    attempts : how often a cell has been tried, by key.
    report : called with each record once it is written.

    Returns
    -------
    how many cells ended with each status.

    Raises
    ------
    OSError
        where a record can't be written: nothing more is started.
    """
    lanes = _Lanes(folder, limits or Limits(), attempts or {}, report)
    return lanes.run(cells, jobs or os.cpu_count() or 1)


def _imports(cells: Sequence[Cell]) -> list[str]:
    """What these cells' workers would import one by one: tasks, methods, and their packages.

    Of the modules only those that come with earnest: others may do anything when imported.
    """
    configs = [each.config for cell in cells for each in (cell.task, cell.method)]
    targets = {str(config["_target_"]): config for config in configs}
    modules = {name.rpartition(".")[0] for name in targets}
    late = {name for config in targets.values() for name in getattr(target(config), "imports", ())}
    return [
        *sorted(name for name in modules if name.startswith(("bench.", "earnest."))),
        *sorted(name for name in late if find_spec(name.partition(".")[0])),
    ]


class _Lanes:
    """The threads that drive the workers; each holds one scorer for the data set it is at."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        attempts: Mapping[str, int],
        report: Callable[[Record], None],
    ) -> None:
        self._folder, self._limits, self._attempts = folder, limits, attempts
        self._report = report
        self._counts: Counter[str] = Counter()
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def run(self, cells: Sequence[Cell], jobs: int) -> Counter[str]:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        isolation.preload((*PRELOAD, *_imports(cells)))
        _sweep_stale()
        scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))
        queue = _Queue(deque(_problems(cells, scratch)), scratch)
        threads = [
            threading.Thread(target=self._lane, args=(queue,), daemon=True) for _ in range(jobs)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            queue.stop()
            self._ended.set()
            _kill_children()
            shutil.rmtree(scratch, ignore_errors=True)
        if self._error is not None:
            raise self._error
        return self._counts

    def _lane(self, queue: _Queue) -> None:
        current: _Problem | None = None
        scorer: Worker | None = None
        explainers = Explainers(queue.scratch / f"explainer-{threading.get_ident()}.log")
        try:
            while (taken := queue.take(current)) is not None:
                problem, cell = taken
                same = current is not None and problem.dataset == current.dataset
                if scorer is None or not same or not scorer.alive:
                    if scorer is not None:
                        scorer.close()
                    scorer = Worker(queue.scratch / f"worker-{threading.get_ident()}.log")
                current = problem
                if cell is None:
                    first = problem.cells[0]
                    built = scorer.call(build_case, first, problem.folder, limits=self._limits)
                    queue.opened(problem, built)
                else:
                    assert problem.built is not None
                    self._keep(run_cell(cell, problem.built, scorer, explainers, self._limits))
                    queue.finished(problem)
        except BaseException as error:  # a lane's end is the run's end: the caller gets the error
            self._error = self._error or error
            queue.stop()
        finally:
            explainers.close()
            if scorer is not None:
                scorer.close()

    def _keep(self, record: Record) -> None:
        if self._ended.is_set():
            return  # interrupted: a worker that was killed says nothing of its cell
        record = replace(record, attempt=self._attempts.get(record.key, 0) + 1)
        write(record, self._folder)
        with self._lock:
            self._counts[record.status] += 1
            self._report(record)


def _problems(cells: Sequence[Cell], scratch: Path) -> list[_Problem]:
    groups: dict[str, deque[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.problem_key, deque()).append(cell)
    problems = [
        _Problem(group, scratch / key[:16], canonical(group[0].dataset.identity))
        for key, group in groups.items()
    ]
    for problem in problems:
        problem.folder.mkdir()
    return problems


def _sweep_stale() -> None:
    """Remove what a killed run left in the temporary folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        pid = folder.name.removeprefix(SCRATCH).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _kill_children() -> None:
    """End every worker that is still at work, after an interrupt."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            name = " ".join(child.cmdline())
            if "forkserver" in name and child.ppid() != os.getpid():
                child.kill()

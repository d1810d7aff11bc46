"""The command line as users meet it: in a process of its own, from another folder."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from bench.app import together

TOY = Path(__file__).parent / "toy"


@pytest.fixture
def earnest(tmp_path: Path):
    """Runs `earnest ...` in an empty folder; results and cache lie there too."""

    def run(*words: str, toy: bool = True) -> subprocess.CompletedProcess[str]:
        known = ["--config-dir", str(TOY)] if toy and words[0] in ("run", "plan", "list") else []
        return subprocess.run(
            [sys.executable, "-m", "bench", words[0], *known, *words[1:]],
            cwd=tmp_path,
            env={**os.environ, "EARNEST_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_run_plan_and_run_again(earnest, tmp_path: Path):
    """A suite is run once; a second run computes nothing; the plan says so."""
    first = earnest("run", "experiment=toy", "page=false")
    assert first.returncode == 0, first.stderr
    suite = tmp_path / "results/runs/toy"
    written = {path.name: path.stat().st_mtime_ns for path in suite.glob("*.json")}
    assert len(written) == 6
    assert "toy/mean" in first.stdout
    again = earnest("run", "experiment=toy", "page=false")
    assert again.returncode == 0
    assert "nothing left to run" in again.stdout
    assert written == {path.name: path.stat().st_mtime_ns for path in suite.glob("*.json")}
    assert "6 cells, 0 to run" in earnest("plan", "experiment=toy").stdout


COUNTED = """
from dataclasses import dataclass
from pathlib import Path

from toy import ToyData


@dataclass(frozen=True)
class Counted(ToyData):
    def load(self):
        with Path("loads.txt").open("a") as file:
            print("load", file=file)
        return super().load()
"""


def test_data_are_loaded_once_for_all_seeds(earnest, tmp_path: Path):
    """Once to plan, once by the worker that builds the cases of three seeds."""
    counted = tmp_path / "counted"
    shutil.copytree(TOY, counted)
    (counted / "dataset/toy.yaml").write_text("_target_: counted.Counted\n")
    (counted / "counted.py").write_text(COUNTED)
    words = ("experiment=toy", "seed=[0,1,2]", "jobs=1", "page=false")
    ran = earnest("run", "--config-dir", str(counted), *words, toy=False)
    assert ran.returncode == 0, ran.stderr
    assert len(records(tmp_path / "results/runs/toy")) == 9
    assert (tmp_path / "loads.txt").read_text().split() == ["load"] * 2


def test_bad_methods_leave_records_and_the_rest_goes_on(earnest, tmp_path: Path):
    """One raises, one dies of SIGSEGV, one sleeps for ever: three statuses, exit code 3."""
    ran = earnest("run", "experiment=toy_bad", "page=false", "seed=[0,1]")
    assert ran.returncode == 3, ran.stderr
    found = records(tmp_path / "results/runs/toy_bad")
    assert Counter((r["method"], r["status"]) for r in found) == {
        ("mean", "ok"): 2,
        ("raises", "failed"): 2,
        ("crashes", "crashed"): 2,
        ("sleeps", "timeout"): 2,
    }
    reasons = {r["method"]: r["reason"] for r in found}
    assert "I always raise" in reasons["raises"]
    assert "SIGSEGV" in reasons["crashes"]
    assert "3 s" in reasons["sleeps"]
    assert all("RuntimeError" in r["traceback"] for r in found if r["method"] == "raises")
    failures = earnest("failures", "toy_bad")
    assert failures.returncode == 3
    assert "I always raise" in failures.stdout
    assert earnest("run", "experiment=toy_bad", "page=false", "seed=[0,1]").returncode == 3
    alone = earnest("run", "experiment=toy_bad", "page=false", "method=raises", "suite=alone")
    assert alone.returncode == 4


def test_a_run_without_an_answer_says_so(earnest):
    """Cells that no method can answer are no failures, and no success where there is nothing else.

    A shard knows nothing of the others' answers: beside them it is one.
    """
    words = ("experiment=toy", "page=false", "seed=0")
    assert earnest("run", *words, "method=refuses", "suite=none").returncode == 4
    assert earnest("run", *words, "method=refuses", "suite=none").returncode == 0
    assert earnest("run", *words, "method=[mean,refuses]", "suite=some").returncode == 0
    sharded = ("method=refuses", "suite=shards", "n_shards=2", "shard=0,1")
    assert earnest("run", "-m", *words, *sharded).returncode == 0


def test_jobs_are_judged_together():
    """Shards of one run: 4 only where no shard has an answer; the worst of the others."""
    for codes, expected in (
        ([], 0),
        ([0, 0], 0),
        ([4, 4], 4),
        ([0, 4], 3),
        ([3, 4], 3),
        ([1, 0, 3], 3),
        ([0, 1], 1),
    ):
        assert together(codes) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("leaderboard",),
        ("leaderboard", "x", "--jsn"),
        ("lst",),
        ("list", "metods"),
        ("run", "--nonsense", "experiment=toy"),
        ("run", "experiment=toy", "-m", "--nonsense"),
    ],
)
def test_usage_errors_are_1(earnest, words):
    """As the README says, and not argparse's own 2."""
    ran = earnest(*words)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr


OUTSIDE = """
import os
import signal
import time
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Outside:
    how: str
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem, *, rng):
        if self.how == "raises":
            raise RuntimeError("not my day")
        if self.how == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(3600)
"""


def test_outside_methods_may_fail_beside_the_house_s_own(earnest, tmp_path: Path):
    """Given by --config-dir, on real data: failed, crashed, timeout; all others ok; exit code 3."""
    mine = tmp_path / "mine"
    (mine / "method/attribution").mkdir(parents=True)
    (mine / "outside.py").write_text(OUTSIDE)
    hows = ("raises", "crashes", "sleeps")
    for how in hows:
        text = f"_target_: outside.Outside\nhow: {how}\n"
        (mine / f"method/attribution/{how}.yaml").write_text(text)
    ran = earnest(
        *("run", "experiment=quickstart", "--config-dir", str(mine), "task=attribution"),
        *("dataset=wine", "model=logistic", "seed=0", "seconds=4"),
        f"method=[random,occlusion,lime,{','.join(hows)}]",
        toy=False,
    )
    assert ran.returncode == 3, ran.stderr
    suite = tmp_path / "results/runs/quickstart"
    statuses = {r["method"]: r["status"] for r in records(suite) if "blocks" not in r["setting"]}
    assert statuses == {
        **dict.fromkeys(("random", "occlusion", "lime"), "ok"),
        **{"raises": "failed", "crashes": "crashed", "sleeps": "timeout"},
    }
    page = (suite / "leaderboard.html").read_text()
    assert "not my day" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=tyo"], "did you mean toy"),
        (["experiment=toy", "seed=abc"], "seed='abc'"),
        (["experiment=toy", "sede=1"], "did you mean seed"),
        (["experiment=toy", "method=maen"], "did you mean mean"),
        (["experiment=toy", "dataset=tyo"], "did you mean toy"),
        (["experiment=toy", "jobs=many"], "could not be converted"),
        (["experiment=toy", "jobs=-1"], "jobs=-1"),
        (["experiment=toy", "memory=inf"], "memory=inf"),
        (["experiment=toy", "device=cuad"], "wanted cpu, cuda"),
        (["experiment=toy", "device=cuda"], "toy: on the CPU alone"),
        (["task=cleansing", "dataset=wine", "model=mlp", "device=cuda:99"], "torch finds"),
        (["experiment=toy", "method=mean", "method=slow"], "given twice"),
        (["experiment=toy", "setting={levl: 1}"], "did you mean level"),
        (["experiment=toy", "results_dir=/proc/nowhere"], "can't be written"),
        (["task=toy", "dataset=absent", "model=toy"], "data_dir"),
        (["task=toy", "dataset=toy", "model=toy", "method=needs_gradient"], "gradient"),
        ([], "experiment=NAME"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(earnest, tmp_path: Path, words, said: str):
    """One line with the way out, exit code 1, no record."""
    ran = earnest("run", *words)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.rglob("*/toy/*.json"))


def test_a_corrupt_record_is_named_set_aside_and_computed_again(earnest, tmp_path: Path):
    """Nothing is lost: the damaged file stays under another name."""
    earnest("run", "experiment=toy", "page=false")
    suite = tmp_path / "results/runs/toy"
    broken = sorted(suite.glob("*.json"))[0]
    broken.write_text(broken.read_text()[:100])
    again = earnest("run", "experiment=toy", "page=false")
    assert again.returncode == 0
    assert broken.name in again.stderr
    assert json.loads(broken.read_text())["key"] == broken.stem
    assert broken.with_suffix(".damaged").exists()


def test_a_failing_model_fails_its_cells_only(earnest, tmp_path: Path):
    """A training that diverges is a reason in each of its cells, at the stage `train`."""
    ran = earnest("run", "experiment=toy", "model=[toy,diverges]", "page=false", "method=mean")
    assert ran.returncode == 3
    found = records(tmp_path / "results/runs/toy")
    assert Counter((r["model"], r["status"], r["stage"]) for r in found) == {
        ("toy", "ok", ""): 2,
        ("diverges", "failed", "train"): 2,
    }


def test_whether_influence_is_trusted_is_printed_without_a_page(earnest):
    """What the run itself found out; a second run, which trains nothing, doesn't repeat it."""
    words = ("task=cleansing", "dataset=breast_cancer", "model=mlp_small", "method=random")
    wanted = ("run", *words, "seed=0", "page=false")
    line = earnest(*wanted, toy=False).stdout.splitlines()[-1]
    assert line.startswith("influence ")
    assert "(15 rows removed one by one, 1 seed)" in line
    assert "rows removed" not in earnest(*wanted, toy=False).stdout


def test_shards_under_multirun(earnest, tmp_path: Path):
    """Hydra's `-m` runs the shards; together they are the whole suite."""
    ran = earnest("run", "-m", "experiment=toy", "page=false", "n_shards=2", "shard=0,1")
    assert ran.returncode == 0, ran.stderr
    assert len(records(tmp_path / "results/runs/toy")) == 6


def test_the_same_cell_gives_the_same_scores(earnest, tmp_path: Path):
    """Seeds go through one door: two suites agree number for number."""
    for name in ("a", "b"):
        earnest("run", "experiment=toy", "page=false", "method=mean", f"suite={name}", "jobs=2")
    first, second = (records(tmp_path / "results/runs" / name) for name in ("a", "b"))
    assert [r["scores"] for r in first] == [r["scores"] for r in second]


def test_a_record_says_how_to_run_it_again(earnest, tmp_path: Path):
    """The printed command makes a cell of the same key."""
    earnest("run", "experiment=toy", "page=false", "method={mean: {pause: 0.01}}", "seed=1")
    (found,) = records(tmp_path / "results/runs/toy")
    shown = earnest("show", found["key"][:10]).stdout
    command = shown.split("# again: earnest ")[1].strip()
    words = shlex.split(command)
    again = earnest(*words, "page=false")
    assert "nothing left to run" in again.stdout, again.stderr


def test_lists_name_what_is_there(earnest):
    """Every kind of name can be listed, one's own beside the installed ones."""
    assert "toy/mean" in earnest("list", "methods").stdout
    for what, name in (("datasets", "absent"), ("models", "diverges"), ("experiments", "toy_bad")):
        assert name in earnest("list", what).stdout.split()


def test_doctor_and_help(earnest):
    """Both work with nothing set up."""
    assert "torch" in earnest("doctor").stdout
    assert "leaderboard" in earnest("--help", toy=False).stdout


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`earnest run` of toy cells in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "--config-dir", str(TOY), "page=false", *words],
        cwd=folder,
        env={**os.environ, "EARNEST_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(what, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_ctrl_c_loses_no_cell(tmp_path: Path):
    """The cells that were at work leave no record, and the same command runs them."""
    words = ("experiment=toy", "seed=0", "method=[mean,{slow: {pause: 10}}]")
    run = start(tmp_path, *words)
    suite = tmp_path / "results/runs/toy"
    wait_for(lambda: list(suite.glob("*.json")))
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert {record["status"] for record in records(suite)} == {"ok"}
    again = start(tmp_path, *words)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert [record["status"] for record in records(suite)] == ["ok", "ok"]


def test_no_worker_outlives_a_killed_parent(tmp_path: Path):
    """SIGKILL of the parent alone ends a method that sleeps for ever as well."""
    run = start(tmp_path, "experiment=toy_bad", "method=[mean,sleeps]", "seconds=600")
    wait_for(lambda: list((tmp_path / "results/runs/toy_bad").glob("*.json")))
    run.kill()
    run.communicate(timeout=60)

    def all_gone() -> bool:
        left = [p for p in psutil.process_iter(["pid", "status"]) if group(p.pid) == run.pid]
        return all(p.info["status"] == psutil.STATUS_ZOMBIE for p in left)

    wait_for(all_gone)


def group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_other_files_are_left_alone(earnest, tmp_path: Path):
    """Looking at a folder renames nothing that isn't a record's name."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/package.json").write_text("{}")
    earnest("failures", "other")
    earnest("leaderboard", "other")
    assert (tmp_path / "other/package.json").read_text() == "{}"

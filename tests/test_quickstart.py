"""The main job, as the README's first command runs it, with real kills on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


def quickstart(folder: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, its cache empty at first."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "experiment=quickstart"],
        cwd=folder,
        env={**os.environ, "EARNEST_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def written(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in (folder / "results/runs/quickstart").glob("*.json")}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_twenty_times_it_completes(folder: Path):
    """SIGKILL of the whole group at random moments: no cell lost, none twice, none half written."""
    chance = random.Random(20)
    for _ in range(KILLS):
        before = written(folder)
        run = quickstart(folder)
        time.sleep(chance.uniform(1.0, 9.0))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        after = written(folder)
        assert all(json.loads(text)["key"] + ".json" == name for name, text in after.items())
        assert before.items() <= after.items(), "a cell that was done has been run again"
    before = written(folder)
    run = quickstart(folder)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    after = written(folder)
    assert before.items() <= after.items()
    cells = [json.loads(text) for text in after.values()]
    names = ("task", "setting", "dataset", "model", "method", "seed")
    assert len({tuple(cell[name] for name in names) for cell in cells}) == len(cells)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_it_ends_with_a_page_and_no_failed_cell(folder: Path):
    """Three tasks, three seeds or more, fifteen methods or more, all well; again: no work."""
    run = quickstart(folder)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "nothing left to run" in output
    suite = folder / "results/runs/quickstart"
    cells = [json.loads(text) for text in written(folder).values()]
    assert {cell["status"] for cell in cells} <= {"ok", "unsupported"}
    assert {cell["task"] for cell in cells} == {"attribution", "cleansing", "companion"}
    assert len({(c["task"], c["method"]) for c in cells if c["status"] == "ok"}) >= 15
    assert len({cell["seed"] for cell in cells}) >= 3
    assert (suite / "leaderboard.html").stat().st_size > 10_000
    assert len(list((suite / "figures").glob("*.png"))) >= 4


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_ideal_is_the_ideal(folder: Path):
    """The exact optimum's ideal influence is 1 on every problem, the control's about 0."""
    cells = [json.loads(text) for text in written(folder).values()]
    influence = {
        name: [
            cell["scores"]["ideal_influence"]["value"]
            for cell in cells
            if cell["task"] == "attribution" and cell["method"] == name and cell["status"] == "ok"
        ]
        for name in ("exact_optimum", "random")
    }
    assert min(influence["exact_optimum"]) == pytest.approx(1.0, abs=1e-9)
    assert abs(sum(influence["random"]) / len(influence["random"])) < 0.15

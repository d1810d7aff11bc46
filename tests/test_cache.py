import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from bench.cache import Cache

ARRAYS = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x"])}


def test_builds_once_and_reads_back(tmp_path: Path):
    """The second call reads what the first one built."""
    cache, built = Cache(tmp_path), []
    for _ in range(2):
        found = cache.arrays("kind", "abc", lambda: built.append(1) or ARRAYS)
        np.testing.assert_array_equal(found["a"], ARRAYS["a"])
        np.testing.assert_array_equal(found["b"], ARRAYS["b"])
    assert len(built) == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 rubbish", None])
def test_damaged_entry_is_built_again(tmp_path: Path, damage: bytes | None, caplog):
    """An empty, a garbled and a truncated file are named and replaced."""
    cache = Cache(tmp_path)
    cache.arrays("kind", "abc", lambda: ARRAYS)
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    found = cache.arrays("kind", "abc", lambda: ARRAYS)
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])
    assert "damaged" in caplog.text
    assert path.name in caplog.text
    with np.load(path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["a"], ARRAYS["a"])


@pytest.mark.parametrize("change", ["number", "name", "type", "bare"])
def test_a_rewritten_entry_is_not_believed(tmp_path: Path, change: str, caplog):
    """A file that loads but isn't what was written is built again."""
    cache = Cache(tmp_path)
    cache.arrays("kind", "abc", lambda: ARRAYS)
    (path,) = tmp_path.rglob("*.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    if change == "number":
        arrays["a"] = arrays["a"] + 1
    elif change == "name":
        arrays["c"] = arrays.pop("a")
    elif change == "type":
        arrays["a"] = arrays["a"].astype(np.int32)
    with path.open("wb") as file:
        np.save(file, arrays["a"]) if change == "bare" else np.savez(file, **arrays)
    np.testing.assert_array_equal(cache.arrays("kind", "abc", lambda: ARRAYS)["a"], ARRAYS["a"])
    assert "damaged" in caplog.text


def test_pickled_entry_is_never_loaded(tmp_path: Path):
    """An entry that holds objects counts as damaged: no pickle is opened."""
    path = tmp_path / "kind" / "ab" / "abc.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, a=np.array([{"evil": 1}], dtype=object))
    found = Cache(tmp_path).arrays("kind", "abc", lambda: ARRAYS)
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])


def test_unusable_folder_still_gives_the_arrays(tmp_path: Path, caplog):
    """Where nothing can be kept, the arrays are built all the same."""
    (tmp_path / "kind").write_text("a file where a folder should be")
    found = Cache(tmp_path).arrays("kind", "abc", lambda: ARRAYS)
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])
    assert "not kept" in caplog.text


def _slow_build(root: Path, log: Path) -> None:
    def build() -> dict[str, np.ndarray]:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        return ARRAYS

    Cache(root).arrays("kind", "abc", build)


def test_two_processes_build_once(tmp_path: Path):
    """Processes that want the same entry at the same time wait for the one that builds."""
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    jobs = [context.Process(target=_slow_build, args=(tmp_path / "c", log)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert log.read_text() == "built\n"

"""Content-addressed arrays on disk: trained models, SGD trajectories, tables of set functions."""

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

_SEAL = "__seal__"


def cache_root() -> Path:
    """The folder named by `EARNEST_CACHE`, else the user's cache folder."""
    named = os.environ.get("EARNEST_CACHE")
    return Path(named) if named else user_cache_path("earnest")


@dataclass(frozen=True)
class Cache:
    """Arrays by the digest of what made them.

    An entry is built once, however many processes want it at the same time: they wait for the
    one that builds. A damaged entry is reported and built again. Where the disk is full or the
    folder can't be written, the arrays are built and returned without being kept.
    """

    root: Path

    def arrays(self, kind: str, digest: str, build: Callable[[], Arrays]) -> Arrays:
        """The arrays of `kind` under `digest`, from disk or from `build()`."""
        path = self.root / kind / digest[:2] / f"{digest}.npz"
        found = self._read(path)
        if found is not None:
            return found
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{path}.lock")
            lock.acquire()
        except OSError as error:
            log.warning("cache folder %s can't be used (%s): not kept", path.parent, error)
            return build()
        try:
            found = self._read(path, told=True)
            if found is not None:
                return found
            built = build()
            self._write(path, built)
            return built
        finally:
            lock.release()

    def _read(self, path: Path, told: bool = False) -> Arrays | None:
        """None where there is none that is whole, of which the user may have been told."""
        try:
            if path.exists() and not zipfile.is_zipfile(path):
                raise ValueError("it is no archive of arrays")
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if arrays.pop(_SEAL).tobytes() != _seal(arrays):
                raise ValueError("its numbers aren't those that were written")
            return arrays
        except FileNotFoundError:
            return None
        except (zipfile.BadZipFile, ValueError, OSError, KeyError, EOFError, TypeError) as error:
            if not told:
                log.warning("cache entry %s is damaged (%s): it is built again", path, error)
            return None

    def _write(self, path: Path, arrays: Arrays) -> None:
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with draft.open("wb") as file:
                seal = np.frombuffer(_seal(arrays), np.uint8)
                np.savez(file, allow_pickle=False, **arrays, **{_SEAL: seal})
            draft.replace(path)
        except OSError as error:
            log.warning("cache entry %s can't be written (%s): not kept", path, error)
            draft.unlink(missing_ok=True)


def _seal(arrays: Arrays) -> bytes:
    """A digest of names, types, shapes and numbers; a rewritten entry is valid to zip alone."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.digest()

"""Data files known by their content: found in the user's folder or the cache, else downloaded."""

import gzip
import io
import logging
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

from bench.cache import cache_root
from bench.data import DataMissing

log = logging.getLogger(__name__)

TIMEOUT = 60
"""Seconds that a server may stay silent."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    Attributes
    ----------
    path : below the data folder, such as `adult/adult.data`.
    size, sha256 : of the file, unpacked.
    urls : where it can be had, tried in turn; what ends in `.gz` is unpacked, and
        `https://.../adult.zip#adult.data` names a member of an archive (zip, or tar.gz).
    """

    path: str
    size: int
    sha256: str
    urls: tuple[str, ...]

    def __post_init__(self) -> None:
        for url in self.urls:
            if not url.startswith("https://"):
                raise ValueError(f"{url} can't be downloaded: only https:// is used")


def contents(file: DataFile) -> bytes:
    """The bytes of `file`, never used before their sha256 is compared.

    It is looked for in the folder named by `data_dir` or `EARNEST_DATA`, then in the folder
    `data` of the cache, where a download is kept.

    Raises
    ------
    DataMissing
        where it is in neither and can't be downloaded, or is damaged in the user's own folder.
        A damaged file in the cache is reported and downloaded again.
    """
    named = os.environ.get("EARNEST_DATA")
    if named and (found := _read(Path(named) / file.path)) is not None:
        if (met := sha256(found).hexdigest()) != file.sha256:
            raise DataMissing(
                f"{Path(named) / file.path} is damaged: its sha256 is {met}, wanted is "
                f"{file.sha256}. Put the file from {file.urls[0]} in its place."
            )
        return found
    kept = cache_root() / "data" / file.path
    found = _read(kept)
    if found is not None:
        if (met := sha256(found).hexdigest()) == file.sha256:
            return found
        log.warning("%s has sha256 %s, not %s: downloaded again", kept, met, file.sha256)
    downloaded = _download(file)
    _keep(downloaded, kept)
    return downloaded


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataMissing(f"{path} can't be read: {error}") from error


def _download(file: DataFile) -> bytes:
    reasons = []
    for url in file.urls:
        log.warning("downloading %s from %s", file.path, url)
        try:
            found = _unpacked(url, b"".join(_pieces(url)), file.size)
        except (
            OSError,
            EOFError,
            KeyError,
            ValueError,
            zipfile.BadZipFile,
            tarfile.TarError,
        ) as error:
            reasons.append(f"{url}: {error}")
            continue
        if (met := sha256(found).hexdigest()) == file.sha256:
            return found
        reasons.append(f"{url}: its sha256 is {met}")
    raise DataMissing(
        f"{file.path} (sha256 {file.sha256}) is not here and can't be downloaded:\n  "
        + "\n  ".join(reasons)
        + "\nSet data_dir=FOLDER or EARNEST_DATA to a folder that holds it under that path."
    )


def _pieces(url: str) -> Iterator[bytes]:
    with urlopen(url.partition("#")[0], timeout=TIMEOUT) as response:
        while piece := response.read(2**20):
            yield piece


def _unpacked(url: str, packed: bytes, size: int) -> bytes:
    """The file itself; one byte more than `size` is read, so that no archive can swell up."""
    packed_url, _, member = url.partition("#")
    if packed_url.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            found = tar.extractfile(member)
            if found is None:
                raise KeyError(f"{member} is no file")
            return found.read(size + 1)
    if member:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive, archive.open(member) as file:
            return file.read(size + 1)
    if url.endswith(".gz"):
        with gzip.open(io.BytesIO(packed)) as file:
            return file.read(size + 1)
    return packed


def _keep(found: bytes, path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(found)
        draft.replace(path)
    except OSError as error:
        log.warning("%s can't be written (%s): not kept", path, error)

import gzip
import io
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path
from urllib.error import URLError

import pytest

from bench import download
from bench.data import DataMissing
from bench.download import DataFile, contents

WHOLE = b"age, workclass\n" * 40
FILE = DataFile(
    "toy/rows.data",
    len(WHOLE),
    sha256(WHOLE).hexdigest(),
    ("https://home.example/rows.data", "https://mirror.example/rows.gz"),
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder and a cache of this test's own, both empty."""
    (tmp_path / "mine" / "toy").mkdir(parents=True)
    monkeypatch.setenv("EARNEST_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("EARNEST_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the servers hold, by address; all else is unreachable."""
    held: dict[str, bytes] = {}

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if url not in held:
            raise URLError("no route to host")
        return io.BytesIO(held[url])

    monkeypatch.setattr(download, "urlopen", urlopen)
    return held


def tarred(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, held in members.items():
            archive.writestr(name, held)
    return buffer.getvalue()


def test_the_users_folder_comes_first(folders: Path, served: dict[str, bytes]):
    """A file in the named folder is read, nothing is downloaded or copied."""
    (folders / "mine/toy/rows.data").write_bytes(WHOLE)
    assert contents(FILE) == WHOLE
    assert not (folders / "cache").exists()


def test_a_download_is_kept(folders: Path, served: dict[str, bytes]):
    """What was downloaded once is read from the cache afterwards, the user's folder untouched."""
    served[FILE.urls[0]] = WHOLE
    assert contents(FILE) == WHOLE
    served.clear()
    assert contents(FILE) == WHOLE
    assert [path.name for path in (folders / "cache/data/toy").iterdir()] == ["rows.data"]
    assert not any((folders / "mine/toy").iterdir())


def test_the_next_home_is_tried(served: dict[str, bytes]):
    """A home that serves something else is passed over; what ends in .gz is unpacked."""
    served[FILE.urls[0]] = b"<html>moved</html>"
    served[FILE.urls[1]] = gzip.compress(WHOLE)
    assert contents(FILE) == WHOLE


def test_a_member_of_an_archive(served: dict[str, bytes]):
    """`#` names the member; no path inside the archive is ever written."""
    file = DataFile(FILE.path, FILE.size, FILE.sha256, ("https://home.example/a.zip#rows",))
    served["https://home.example/a.zip"] = zipped(rows=WHOLE, other=b"")
    assert contents(file) == WHOLE


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("https://home.example/a.zip#rows", zipped(other=WHOLE)),
        ("https://home.example/a.zip#rows", b"no archive"),
        ("https://home.example/a.tar.gz#rows", tarred("other", WHOLE)),
        ("https://home.example/a.tar.gz#rows", tarred("rows", WHOLE)[:-30]),
        ("https://home.example/a.tar.gz#rows", b"no archive"),
        ("https://home.example/rows.gz", gzip.compress(WHOLE)[:-20]),
        ("https://home.example/rows.gz", gzip.compress(bytes(10**6))),
        ("https://home.example/rows.data", WHOLE[:-1]),
    ],
    ids=[
        *("member absent", "no archive", "no tar member", "tar cut short", "no tar"),
        *("cut short", "swells up", "other content"),
    ],
)
def test_broken_downloads_are_refused(served: dict[str, bytes], url: str, held: bytes):
    """None of them is used, and the error names the home that it came from."""
    served[url.partition("#")[0]] = held
    with pytest.raises(DataMissing, match=url):
        contents(DataFile(FILE.path, FILE.size, FILE.sha256, (url,)))


def test_offline_and_absent_says_what_to_do(served: dict[str, bytes]):
    """The error names the file, its checksum, each home, and both ways to set the folder."""
    with pytest.raises(DataMissing) as caught:
        contents(FILE)
    for word in (FILE.path, FILE.sha256, *FILE.urls, "data_dir", "EARNEST_DATA", "no route"):
        assert word in str(caught.value)


def test_a_damaged_file_of_the_user_is_named(folders: Path, served: dict[str, bytes]):
    """Both checksums stand in the error, and the user's file is left as it is."""
    path = folders / "mine/toy/rows.data"
    path.write_bytes(WHOLE[:-1])
    served[FILE.urls[0]] = WHOLE
    with pytest.raises(DataMissing) as caught:
        contents(FILE)
    for word in (str(path), FILE.sha256, sha256(WHOLE[:-1]).hexdigest(), FILE.urls[0]):
        assert word in str(caught.value)
    assert path.read_bytes() == WHOLE[:-1]


def test_a_damaged_download_is_fetched_again(folders: Path, served: dict[str, bytes], caplog):
    """The cache is ours: a damaged file there is named with both checksums and replaced."""
    path = folders / "cache/data/toy/rows.data"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rubbish")
    served[FILE.urls[0]] = WHOLE
    assert contents(FILE) == WHOLE
    assert path.read_bytes() == WHOLE
    assert FILE.sha256 in caplog.text
    assert sha256(b"rubbish").hexdigest() in caplog.text


def test_an_unusable_cache_still_gives_the_file(folders: Path, served: dict[str, bytes], caplog):
    """Where nothing can be kept, the download is used all the same."""
    (folders / "cache").write_text("a file where a folder should be")
    served[FILE.urls[0]] = WHOLE
    assert contents(FILE) == WHOLE
    assert "not kept" in caplog.text


def test_only_https_is_used():
    """A plain http home is refused when the file is described."""
    with pytest.raises(ValueError, match="only https"):
        DataFile("a", 1, "", ("http://home.example/a",))


def test_a_member_of_a_tar_archive(served: dict[str, bytes]):
    """Named after the archive's address, in whatever folder inside."""
    file = DataFile(FILE.path, FILE.size, FILE.sha256, ("https://home.example/a.tar.gz#in/rows",))
    served["https://home.example/a.tar.gz"] = tarred("in/rows", WHOLE)
    assert contents(file) == WHOLE

"""20 Newsgroups, two of them: is a message about the hardware of PCs or of Macs?"""

import codecs
import io
import os
import pickle
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from bench.data import Column, Table
from bench.download import DataFile, contents

_HOME = "http://qwone.com/~jason/20Newsgroups/"
_GROUPS = ("comp.sys.ibm.pc.hardware", "comp.sys.mac.hardware")
_CACHE_NAME = "20news-bydate_py3.pkz"

ARCHIVE = DataFile(
    "20newsgroups/20news-bydate.tar.gz",
    14_464_277,
    "8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610",
    ("https://ndownloader.figshare.com/files/5975967",),
)
"""The messages as scikit-learn downloads them."""

CACHE = DataFile(
    f"20newsgroups/{_CACHE_NAME}",
    15_287_319,
    "6578c0c16a3feee5daeb6a9fccef3e3a0619a0749b61d69cf4ad5dfec89618d4",
    ARCHIVE.urls,
)
"""A pickle that scikit-learn made of them: taken from the user's folder, never downloaded."""


@dataclass(frozen=True)
class Newsgroups:
    """1,945 messages by the tf-idf of their words, as in section 7.1 of [2]_.

    The provider's split is by date: 1,168 messages to train, 777 to test. Vocabulary and
    document frequencies are those of the 1,168, whatever split is asked for later, as in the
    authors' code: they are no function of any label, and the columns stay the same in every
    cell. (Means and standard deviations come from the rows that a cell trains on.)

    Parameters
    ----------
    remove : parts of a message that are cut out first: `headers`, `footers`, `quotes`.
    min_df, max_df : words in a smaller or larger share of the messages are left out.

    References
    ----------
    .. [1] Lang, "NewsWeeder: Learning to Filter Netnews", ICML 1995.
    .. [2] Hara, Nitanda, Maehara, "Data Cleansing for Models Trained with SGD", NeurIPS 2019.
    """

    remove: tuple[str, ...] = ("headers", "footers", "quotes")
    min_df: float = 0.001
    max_df: float = 0.2

    version: ClassVar[int] = 1
    kind: ClassVar[Literal["table", "images"]] = "table"
    predicts: ClassVar[Literal["classes", "number"]] = "classes"

    def load(self) -> Table:
        """Tf-idf of each word, rows in the order of group and message number."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        train, test = _messages(self.remove)
        vectoriser = TfidfVectorizer(
            stop_words="english", min_df=self.min_df, max_df=self.max_df
        ).fit(train.data)
        values = np.concatenate(
            [vectoriser.transform(part.data).toarray() for part in (train, test)]
        )
        rows = np.arange(len(values))
        return Table(
            name="newsgroups",
            values=values,
            columns=tuple(Column(word) for word in vectoriser.get_feature_names_out().tolist()),
            targets=np.concatenate([train.target, test.target]).astype(np.int64),
            class_names=_GROUPS,
            licence="none stated by the authors",
            source=_HOME,
            given_split={"train": rows[: len(train.data)], "test": rows[len(train.data) :]},
        )


def _messages(remove: tuple[str, ...]) -> tuple[Any, Any]:
    """The messages to train and to test, read by scikit-learn from a folder of ours.

    Its loader opens a pickle. It gets one whose sha256 was compared, or one that is made here,
    from the archive; nothing that lies anywhere else.
    """
    from sklearn.datasets import fetch_20newsgroups

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / _CACHE_NAME).write_bytes(_pickle(Path(folder)))
        parts = [
            fetch_20newsgroups(
                data_home=folder,
                subset=subset,
                categories=list(_GROUPS),
                remove=remove,
                shuffle=False,
                download_if_missing=False,
            )
            for subset in ("train", "test")
        ]
    train, test = (_sorted(part) for part in parts)
    return train, test


def _pickle(folder: Path) -> bytes:
    named = os.environ.get("EARNEST_DATA")
    if named and (Path(named) / CACHE.path).exists():
        return contents(CACHE)
    return _packed(contents(ARCHIVE), folder)


def _packed(archive: bytes, folder: Path) -> bytes:
    """The two groups of the archive in the form of scikit-learn's own cache file."""
    from sklearn.datasets import load_files

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        chosen = [member for member in tar if set(Path(member.name).parts) & set(_GROUPS)]
        tar.extractall(folder, chosen, filter="data")
    parts = {
        part: load_files(folder / f"20news-bydate-{part}", encoding="latin1")
        for part in ("train", "test")
    }
    return codecs.encode(pickle.dumps(parts), "zlib_codec")


def _sorted(part: Any) -> Any:
    """By group and message number, so that the rows don't hang on who made the pickle."""
    order = np.lexsort([[int(Path(name).name) for name in part.filenames], part.target])
    part.data, part.target = [part.data[row] for row in order], part.target[order]
    return part

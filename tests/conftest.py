"""Shared by all tests: one thread, caches of their own, skips with a reason."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook(("bench", "earnest.methods", "earnest.datasets"), "typecheck.checked")

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests keep their models and tables out of the user's cache."""
    if "EARNEST_CACHE" in os.environ:
        yield
        return
    os.environ["EARNEST_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["EARNEST_CACHE"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the data folder or a browser where there is none."""
    no_data = pytest.mark.skip(reason="EARNEST_DATA names no folder")
    no_browser = pytest.mark.skip(reason="no chromium on the path")
    data = Path(os.environ.get("EARNEST_DATA", ""))
    for item in items:
        if item.get_closest_marker("data") and (not data.name or not data.is_dir()):
            item.add_marker(no_data)
        if item.get_closest_marker("browser") and not shutil.which("chromium"):
            item.add_marker(no_browser)
